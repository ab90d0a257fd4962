"""Streams over SPDY/3.1: how kubectl before 1.31 runs commands and forwards ports.

One reader per connection hands frames to their streams. Every stream holds a bounded number of bytes; when one is
full the connection is read no further, and TCP holds the client back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from apimachinery.errors import StatusError
from apiserver import spdy
from apiserver.streams_session import CHUNK, Resize, Stdin, parse_resize

COMMAND_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
FORWARD_PROTOCOLS = ("portforward.k8s.io",)
PROTOCOL_HEADER = "X-Stream-Protocol-Version"
CREATION_SECONDS = 30.0
_STREAM_BYTES = 256 * 1024
_MAX_STREAMS = 1024


class Transport(Protocol):
    """A byte stream to the client."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class SpdyStream:
    """One stream the client opened. Implements `ByteStream`."""

    def __init__(self, connection: SpdyConnection, number: int, headers: dict[str, str]) -> None:
        self.id = number
        self.headers = headers
        self._connection = connection
        self._data: list[bytes] = []
        self._size = 0
        self._ended = False
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def full(self) -> bool:
        return self._size >= _STREAM_BYTES and not self._ended

    def feed(self, data: bytes, fin: bool) -> None:
        if data and not self._ended:
            self._data.append(data)
            self._size += len(data)
        self._ended = self._ended or fin
        self._changed.set()

    async def room(self) -> None:
        """Wait until the stream takes more."""
        while self.full:
            self._changed.clear()
            await self._changed.wait()

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""
        while not self._data and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        data, self._data, self._size = b"".join(self._data), [], 0
        self._changed.set()
        return data

    async def write(self, data: bytes) -> None:
        """Waits while the client does not read. Raises ConnectionError when it is gone or wants no more."""
        if self._closed:
            raise ConnectionResetError("the stream is closed")
        for at in range(0, len(data), CHUNK):
            await self._connection.send(spdy.Data(self.id, data[at : at + CHUNK]))

    async def close(self) -> None:
        """Say that we send no more."""
        if not self._closed:
            self._closed = True
            await self._connection.send(spdy.Data(self.id, b"", fin=True))

    async def reset(self) -> None:
        self._closed = True
        self.feed(b"", True)
        await self._connection.send(spdy.Reset(self.id, spdy.CANCEL))

    def abandon(self) -> None:
        """The client is gone or has reset the stream."""
        self._closed = True
        self.feed(b"", True)


class SpdyConnection:
    """The server's end. `on_stream` is called for each stream the client opens, before it is acknowledged."""

    def __init__(self, transport: Transport, on_stream: Callable[[SpdyStream], Awaitable[None]]) -> None:
        self._transport = transport
        self._on_stream = on_stream
        self._encoder = spdy.Encoder()
        self._decoder = spdy.Decoder()
        self._sending = asyncio.Lock()
        self._streams: dict[int, SpdyStream] = {}
        self._last = 0

    async def send(self, frame: spdy.Frame) -> None:
        # Encoding and writing are one step: compressed headers must leave in the order they were compressed.
        async with self._sending:
            await self._transport.write(self._encoder.encode(frame))

    def forget(self, stream: SpdyStream) -> None:
        self._streams.pop(stream.id, None)

    async def serve(self) -> None:
        """Read frames until the client is gone; then every stream has ended."""
        try:
            while data := await self._transport.read():
                for frame in self._decoder.feed(data):
                    if isinstance(frame, spdy.GoAway):
                        return
                    await self._handle(frame)
        except (ConnectionError, spdy.SpdyError):
            return
        finally:
            for stream in self._streams.values():
                stream.abandon()

    async def _handle(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.SynStream():
                await self._open(frame)
            case spdy.Data():
                stream = self._streams.get(frame.stream)
                if stream is not None:
                    await stream.room()
                    stream.feed(frame.data, frame.fin)
            case spdy.Reset():
                stream = self._streams.pop(frame.stream, None)
                if stream is not None:
                    stream.abandon()
            case spdy.Ping() if frame.id % 2:  # even ones would be answers to ours
                await self.send(frame)

    async def _open(self, frame: spdy.SynStream) -> None:
        if frame.stream % 2 == 0 or frame.stream <= self._last:
            raise spdy.SpdyError(f"stream {frame.stream} cannot be opened")
        self._last = frame.stream
        if len(self._streams) >= _MAX_STREAMS:
            await self.send(spdy.Reset(frame.stream, spdy.REFUSED_STREAM))
            return
        stream = self._streams[frame.stream] = SpdyStream(self, frame.stream, frame.headers)
        if frame.fin:
            stream.feed(b"", True)
        await self.send(spdy.SynReply(frame.stream, {}))
        await self._on_stream(stream)

    async def close(self) -> None:
        """GOAWAY, then the connection."""
        try:
            await self.send(spdy.GoAway(self._last))
        except ConnectionError:
            return
        finally:
            await self._transport.close()


class SpdyCommand:
    """An exec or attach over SPDY. Implements `RemoteCommandChannels`.

    `wanted` are the stream types the client must open; `run` reads the connection while the command runs.
    """

    def __init__(self, transport: Transport, protocol: str, wanted: set[str]) -> None:
        self.json_status = protocol == "v4.channel.k8s.io"
        self.connection = SpdyConnection(transport, self._opened)
        self._wanted = wanted
        self._streams: dict[str, SpdyStream] = {}
        self._complete = asyncio.Event()
        self._inputs: asyncio.Queue[Stdin | Resize | None] = asyncio.Queue(maxsize=2)
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Read the connection until the client is gone."""
        async with asyncio.TaskGroup() as self._tasks:
            await self.connection.serve()
        self._complete.set()
        await self._inputs.put(None)

    async def _opened(self, stream: SpdyStream) -> None:
        kind = stream.headers.get("streamtype", "")
        if kind not in self._wanted or kind in self._streams or self._tasks is None:
            await stream.reset()
            return
        self._streams[kind] = stream
        if kind == "stdin":
            self._tasks.create_task(self._stdin(stream))
        elif kind == "resize":
            self._tasks.create_task(self._resize(stream))
        if self._wanted <= self._streams.keys():
            self._complete.set()

    async def _stdin(self, stream: SpdyStream) -> None:
        while data := await stream.read():
            await self._inputs.put(Stdin(data))
        await self._inputs.put(Stdin(b""))

    async def _resize(self, stream: SpdyStream) -> None:
        held = b""
        while data := await stream.read():
            *sizes, held = (held + data).replace(b"}", b"}\n").split(b"\n")
            if len(held) > CHUNK:
                return
            for size in map(parse_resize, sizes):
                if size is not None:
                    await self._inputs.put(size)

    async def opened(self) -> bool:
        """Wait for the client's streams; False when they do not come (in time)."""
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                await self._complete.wait()
        except TimeoutError:
            return False
        return self._wanted <= self._streams.keys()

    async def inputs(self) -> AsyncIterator[Stdin | Resize]:
        while (given := await self._inputs.get()) is not None:
            yield given

    async def send(self, channel: str, data: bytes) -> None:
        stream = self._streams.get(channel)
        if stream is not None and data:
            await stream.write(data)

    async def finish(self) -> None:
        for kind in ("stdout", "stderr", "error"):
            if kind in self._streams:
                await self._streams[kind].close()
        await self.connection.close()


class SpdyForward:
    """Port-forward over SPDY: a pair of streams, error and data, with one request id for each connection.

    `forward(port, stream)` carries one connection to its end and raises what went wrong.
    """

    def __init__(self, transport: Transport, forward: Callable[[int, SpdyStream], Awaitable[None]]) -> None:
        self._connection = SpdyConnection(transport, self._opened)
        self._forward = forward
        self._halves: dict[str, SpdyStream] = {}
        self._pairs: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Forward until the client is gone."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._connection.serve()
            for pair in self._pairs:
                pair.cancel()
        await self._connection.close()

    async def _opened(self, stream: SpdyStream) -> None:
        kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
        if kind not in ("data", "error") or not port.isdecimal() or not 1 <= int(port) <= 65535:
            await stream.reset()
            return
        # Clients that send no request id open the error stream first, and the data stream's id follows it.
        request = stream.headers.get("requestid") or str(stream.id if kind == "error" else stream.id - 2)
        other = self._halves.pop(request, None)
        if other is None:
            if len(self._halves) >= _MAX_STREAMS // 2:
                await stream.reset()
                return
            self._halves[request] = stream
            return
        data, error = (stream, other) if kind == "data" else (other, stream)
        assert self._tasks is not None
        pair = self._tasks.create_task(self._pair(int(port), data, error))
        self._pairs.add(pair)
        pair.add_done_callback(self._pairs.discard)

    async def _pair(self, port: int, data: SpdyStream, error: SpdyStream) -> None:
        try:
            try:
                await self._forward(port, data)
            except StatusError as problem:
                await error.write(problem.message.encode())
            await data.close()
            await error.close()
        except ConnectionError:
            return
        finally:
            self._connection.forget(data)
            self._connection.forget(error)
