"""Connections to the Docker Engine that outlive one answer: events, logs, pulls, exec and attach.

The SDK gives these as blocking generators, one thread each; here each is a socket of the event loop.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from kubeletd.runtime.interface import EngineUnavailable, Stream

_CHUNK = 96 * 1024  # malloc maps larger pieces, and the kernel fills them with zeros, each time anew
_HEADER = struct.Struct(">BxxxL")


class EngineError(Exception):
    """An HTTP error of the engine."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the engine is (`unix:///path` or `tcp://host:port`) and the API version agreed on."""

    url: str
    version: str
    tls: ssl.SSLContext | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url.replace("http+unix://", "unix://"))
        try:
            if parts.scheme == "unix":
                return await asyncio.open_unix_connection(parts.path, limit=_CHUNK)
            return await asyncio.open_connection(
                parts.hostname, parts.port or (2376 if self.tls else 2375), ssl=self.tls, limit=_CHUNK
            )
        except OSError as error:
            raise EngineUnavailable(f"cannot connect to the Docker Engine at {self.url}: {error}") from error

    async def open(
        self,
        method: Literal["GET", "POST"],
        path: str,
        query: dict[str, Any] | None = None,
        body: Any = None,
        *,
        upgrade: bool = False,
        headers: dict[str, str] | None = None,
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Sends a request; the reader is at the beginning of the answer's body. Raises EngineError.

        It is an HTTP/1.0 request (1.1 to upgrade), so that the body is not chunked and ends with the connection.
        """
        reader, writer = await self.connect()
        try:
            data = b"" if body is None else json.dumps(body).encode()
            target = f"/v{self.version}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
            lines = [f"{method} {target} HTTP/1.{1 if upgrade else 0}", "Host: docker"]
            if upgrade:
                lines += ["Upgrade: tcp", "Connection: Upgrade"]
            if method == "POST":
                lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
            lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(head.split(" ", 2)[1])
            if status >= 400:
                # An upgrade request is 1.1: the connection would stay open behind the error's few bytes.
                length = next(
                    (
                        int(v)
                        for k, _, v in (h.partition(":") for h in head.splitlines())
                        if k.lower() == "content-length"
                    ),
                    -1,
                )
                text = (
                    await reader.readexactly(length) if length >= 0 else await reader.read(_CHUNK)
                ).decode()
                raise EngineError(status, _message(text))
        except (OSError, asyncio.IncompleteReadError) as error:
            writer.close()
            raise EngineUnavailable(f"the Docker Engine closed the connection: {error}") from error
        except BaseException:
            writer.close()
            raise
        return reader, writer


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()


async def json_lines(reader: asyncio.StreamReader) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON objects of a stream, one a line; a line may be of any length."""
    rest = b""
    while data := await reader.read(_CHUNK):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)


class Demultiplexer:
    """What the engine sends of a container without a terminal: both streams in frames. Pure: pieces of any size in."""

    def __init__(self) -> None:
        self._held = b""  # the beginning of a header
        self._kind: Stream = "stdout"
        self._left = 0  # bytes of the frame begun

    def feed(self, data: bytes) -> list[tuple[Stream, bytes]]:
        """The output in it, what follows on one stream as one piece."""
        found: list[tuple[Stream, bytes]] = []
        parts: list[memoryview] = []
        kind = self._kind
        view, at = memoryview(self._held + data if self._held else data), 0
        while True:
            if self._left:
                part = view[at : at + self._left]
                if not part:
                    break
                if parts and kind != self._kind:
                    found.append((kind, b"".join(parts)))
                    parts = []
                kind = self._kind
                parts.append(part)
                at += len(part)
                self._left -= len(part)
            elif len(view) - at < _HEADER.size:
                break
            else:
                number, self._left = _HEADER.unpack_from(view, at)
                self._kind = "stderr" if number == 2 else "stdout"
                at += _HEADER.size
        self._held = bytes(view[at:])
        if parts:
            found.append((kind, b"".join(parts)))
        return found


async def frames(reader: asyncio.StreamReader, tty: bool) -> AsyncGenerator[tuple[Stream, bytes], None]:
    """Pieces of a container's output; without a terminal the engine multiplexes both streams."""
    demultiplexer = None if tty else Demultiplexer()
    while data := await reader.read(_CHUNK):
        if demultiplexer is None:
            yield "stdout", data
        else:
            for piece in demultiplexer.feed(data):
                yield piece


class EngineProcess:
    """An exec'd command, or the main process attached to (interface.ProcessStream)."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        tty: bool,
        resize: Callable[[int, int], Awaitable[None]],
        exit_code: Callable[[], Awaitable[int]],
    ) -> None:
        self._frames = frames(reader, tty)
        self._writer = writer
        self._resize = resize
        self._exit_code = exit_code

    async def read(self) -> tuple[Stream, bytes] | None:
        try:
            return await anext(self._frames, None)
        except ConnectionError:
            return None

    async def write(self, data: bytes) -> None:
        """What the process does not read any more is dropped, as a closed pipe would."""
        if self._writer.is_closing():
            return
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            self._writer.close()

    async def close_stdin(self) -> None:
        if not self._writer.is_closing() and self._writer.can_write_eof():
            try:
                self._writer.write_eof()
            except OSError:  # the process has ended: its stdin is closed already
                return

    async def resize(self, width: int, height: int) -> None:
        await self._resize(width, height)

    async def exit_code(self) -> int:
        return await self._exit_code()

    async def close(self) -> None:
        self._writer.close()
