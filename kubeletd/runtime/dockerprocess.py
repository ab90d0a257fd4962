"""What goes in and out of containers of the Docker Engine: exec, attach, figures."""

from __future__ import annotations

import asyncio
import logging
import os
import signal as signals
from contextlib import aclosing
from typing import Any

from kubeletd.runtime.cgroups import Cgroups, groups_of_process
from kubeletd.runtime.dockerengine import Engine, failure
from kubeletd.runtime.dockerstream import EngineError, EngineProcess, frames
from kubeletd.runtime.interface import (
    ContainerFiles,
    ContainerNotRunning,
    EngineUnavailable,
    ExecResult,
    ProcessStream,
    RuntimeFailure,
    Usage,
)

log = logging.getLogger(__name__)

_PLACES_KEPT = 1000  # control groups of containers, most of which are no more
_PROMPT = 5.0  # seconds; an engine that takes longer over a question has not let the command run either


class DockerProcesses:
    """The stream methods of interface.Runtime."""

    _engine: Engine
    _cgroups: Cgroups
    _places: dict[str, str]

    async def _inspect(self, container_id: str) -> dict[str, Any]:
        try:
            entry: dict[str, Any] = await self._engine.call("GET", f"/containers/{container_id}/json")
        except EngineError as error:
            raise failure(error, container_id) from error
        return entry

    async def exec_sync(
        self, container_id: str, command: tuple[str, ...], timeout: float, limit: int = 10240
    ) -> ExecResult:
        exec_id = await self._exec_create(
            container_id, command, stdin=False, tty=False, stdout=True, stderr=True
        )
        output = bytearray()
        try:
            async with asyncio.timeout(timeout or None):
                reader, writer = await self._exec_start(exec_id, tty=False)
                try:
                    async with aclosing(frames(reader, tty=False)) as pieces:
                        async for _, data in pieces:
                            output += data[: max(0, limit - len(output))]
                finally:
                    writer.close()
                code = await self._exec_exit_code(exec_id)
        except TimeoutError as error:
            loop = asyncio.get_running_loop()
            asked_at = loop.time()
            await self._exec_kill(exec_id)
            if loop.time() - asked_at > _PROMPT:
                raise EngineUnavailable("the engine did not answer while a command ran") from error
            raise
        return ExecResult(code, bytes(output))

    async def _exec_create(
        self,
        container_id: str,
        command: tuple[str, ...],
        *,
        stdin: bool,
        tty: bool,
        stdout: bool,
        stderr: bool,
    ) -> str:
        body = {
            "AttachStdin": stdin,
            "AttachStdout": stdout,
            "AttachStderr": stderr,
            "Tty": tty,
            "Cmd": list(command),
        }
        try:
            answer = await self._engine.ask("POST", f"/containers/{container_id}/exec", body)
        except EngineError as error:
            raise failure(error, container_id) from error
        return str(answer["Id"])

    async def _exec_start(
        self, exec_id: str, *, tty: bool
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await self._engine.endpoint.open(
                "POST", f"/exec/{exec_id}/start", body={"Detach": False, "Tty": tty}, upgrade=True
            )
        except EngineError as error:
            raise failure(error, exec_id) from error

    async def _exec_exit_code(self, exec_id: str) -> int:
        """The engine closes the streams a moment before it knows the exit code."""
        pause_seconds = 0.002
        while True:
            try:
                entry = await self._engine.ask("GET", f"/exec/{exec_id}/json")
            except EngineError as error:
                raise failure(error, exec_id) from error
            if not entry["Running"]:
                code = entry.get("ExitCode")
                return 0 if code is None else int(code)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, 0.5)

    async def _exec_kill(self, exec_id: str) -> None:
        """The engine cannot end an exec'd command; on this machine its process id is enough."""
        try:
            entry = await self._engine.call("GET", f"/exec/{exec_id}/json")
            if entry["Running"] and entry.get("Pid"):
                os.kill(int(entry["Pid"]), signals.SIGKILL)
        except (EngineError, RuntimeFailure, OSError) as error:
            log.debug("exec %s is left to itself: %s", exec_id, error)

    async def exec(
        self,
        container_id: str,
        command: tuple[str, ...],
        *,
        stdin: bool,
        tty: bool,
        stdout: bool = True,
        stderr: bool = True,
    ) -> ProcessStream:
        exec_id = await self._exec_create(
            container_id, command, stdin=stdin, tty=tty, stdout=stdout, stderr=stderr and not tty
        )
        reader, writer = await self._exec_start(exec_id, tty=tty)

        async def resize(width: int, height: int) -> None:
            await self._resize(f"/exec/{exec_id}/resize", width, height)

        async def exit_code() -> int:
            return await self._exec_exit_code(exec_id)

        return EngineProcess(reader, writer, tty=tty, resize=resize, exit_code=exit_code)

    async def _resize(self, path: str, width: int, height: int) -> None:
        try:
            await self._engine.call("POST", path, {"w": str(width), "h": str(height)})
        except EngineError as error:
            # The process has just ended, or not quite begun; the next resize tells it.
            log.debug("not resized: %s", error.message)

    async def attach(
        self, container_id: str, *, stdin: bool, tty: bool, stdout: bool = True, stderr: bool = True
    ) -> ProcessStream:
        query = {"stream": "1", "stdin": int(stdin), "stdout": int(stdout), "stderr": int(stderr and not tty)}
        try:
            reader, writer = await self._engine.endpoint.open(
                "POST", f"/containers/{container_id}/attach", query, upgrade=True
            )
        except EngineError as error:
            raise failure(error, container_id) from error

        async def resize(width: int, height: int) -> None:
            await self._resize(f"/containers/{container_id}/resize", width, height)

        async def exit_code() -> int:
            entry = await self._inspect(container_id)
            return int(entry["State"].get("ExitCode") or 0)

        return EngineProcess(reader, writer, tty=tty, resize=resize, exit_code=exit_code)

    async def usage(self, container_id: str) -> Usage:
        place = self._places.get(container_id)
        try:
            if place is None:
                place = await self._place(container_id)
            return self._cgroups.read(place)
        except OSError as error:
            self._places.pop(container_id, None)
            raise ContainerNotRunning(f"container {container_id} has no figures: {error}") from error

    async def _place(self, container_id: str) -> str:
        """Where its control groups are. Raises RuntimeFailure, OSError."""
        place = self._cgroups.find(container_id)
        if place is None:
            pid = (await self._inspect(container_id))["State"]["Pid"]
            place = self._cgroups.find(container_id, groups_of_process(pid)) if pid else None
        if place is None:
            raise ContainerNotRunning(f"container {container_id} has no control group that can be read here")
        if len(self._places) >= _PLACES_KEPT:
            self._places.clear()
        self._places[container_id] = place
        return place

    async def files(self, container_id: str) -> ContainerFiles:
        entry = await self._inspect(container_id)
        layers = (entry.get("GraphDriver") or {}).get("Data") or {}
        return ContainerFiles(str(layers.get("UpperDir") or ""), entry.get("LogPath") or "")
