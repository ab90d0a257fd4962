"""Logs of containers of the Docker Engine: from its files where they can be read here, else by its API.

The engine's own answer costs it a parsed and a written JSON object, and us a frame, for every line.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

from kubeletd.inotify import DirectoryWatch
from kubeletd.runtime.dockerengine import Engine, failure
from kubeletd.runtime.dockerstream import EngineError, frames
from kubeletd.runtime.interface import EngineUnavailable, LogOptions
from kubeletd.runtime.logfiles import LogReader

log = logging.getLogger(__name__)


def file_of(entry: dict[str, Any]) -> str:
    """Where an inspected container's log is, in the form we read; "" where it is not."""
    config = (entry.get("HostConfig") or {}).get("LogConfig") or {}
    compressed = (config.get("Config") or {}).get("compress") == "true"
    return "" if compressed or config.get("Type") != "json-file" else entry.get("LogPath") or ""


class DockerLogs:
    """The log method of interface.Runtime."""

    _engine: Engine
    _inspect: Callable[[str], Awaitable[dict[str, Any]]]

    async def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        entry = await self._inspect(container_id)
        with ExitStack() as opened:
            reader = await self._reader(file_of(entry), options)
            if reader is not None:
                opened.callback(reader.close)
            watch = None
            if reader is not None and options.follow and entry["State"].get("Running"):
                try:
                    watch = opened.enter_context(DirectoryWatch(Path(reader.path).parent, contents=True))
                except OSError as error:  # the kernel gives a user a hundred or so
                    log.debug("the log of %s cannot be watched: %s", container_id, error)
                    reader = None
            if reader is None:
                pieces = self._from_engine(container_id, options, tty=bool(entry["Config"].get("Tty")))
            elif watch is not None:
                pieces = self._followed(container_id, reader, watch)
            else:
                pieces = _read(reader)
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece

    async def _reader(self, path: str, options: LogOptions) -> LogReader | None:
        """None where the engine has to be asked: it is on another machine, or its files are not for us."""
        if not path or not self._engine.endpoint.url.startswith("unix:"):
            return None
        try:
            return await asyncio.to_thread(LogReader, path, options)
        except OSError as error:
            log.debug("%s is not read here: %s", path, error)
            return None

    async def _followed(
        self, container_id: str, reader: LogReader, watch: DirectoryWatch
    ) -> AsyncGenerator[bytes, None]:
        """The log until the container has ended. The engine says so after the last line has been written."""
        try:
            over, writer = await self._engine.endpoint.open("POST", f"/containers/{container_id}/wait")
        except EngineError as error:
            raise failure(error, container_id) from error
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(over.read())]
        try:
            while True:
                last = tasks[0].done()
                while (pieces := await asyncio.to_thread(reader.read)) is not None:
                    for piece in pieces:
                        yield piece
                if last:
                    return
                tasks[1:] = [asyncio.create_task(watch.stirred())]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                tasks[1].cancel()
        except OSError as error:
            raise EngineUnavailable(f"the log of container {container_id} breaks off: {error}") from error
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()

    async def _from_engine(
        self, container_id: str, options: LogOptions, *, tty: bool
    ) -> AsyncGenerator[bytes, None]:
        query: dict[str, Any] = {
            "stdout": int(options.stdout),
            "stderr": int(options.stderr),
            "follow": int(options.follow),
            "timestamps": int(options.timestamps),
            "tail": "all" if options.tail < 0 else str(options.tail),
        }
        if options.since:
            query["since"] = f"{options.since:.9f}"
        try:
            reader, writer = await self._engine.endpoint.open(
                "GET", f"/containers/{container_id}/logs", query
            )
        except EngineError as error:
            raise failure(error, container_id) from error
        try:
            async with aclosing(frames(reader, tty)) as pieces:
                async for _, data in pieces:
                    yield data
        finally:
            writer.close()


async def _read(reader: LogReader) -> AsyncGenerator[bytes, None]:
    while (pieces := await asyncio.to_thread(reader.read)) is not None:
        for piece in pieces:
            yield piece
