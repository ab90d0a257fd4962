"""One HTTP/2 connection that carries gRPC calls: see `grpcchannel`."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum
from typing import cast
from urllib.parse import unquote

from apiserver.storage import http2

_STREAM_WINDOW = 16 << 20
_CONNECTION_WINDOW = 1 << 30
_LARGEST_FRAME = 1 << 20
_TICK_SECONDS = 0.25
_QUIET_SECONDS = 10.0  # etcd refuses pings more often than every 5 s
_PING_SECONDS = 3.0
_LAST_STREAM = 0x7FFF_0000


class Code(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    DEADLINE_EXCEEDED = 4
    RESOURCE_EXHAUSTED = 8
    OUT_OF_RANGE = 11
    INTERNAL = 13
    UNAVAILABLE = 14


class CallError(Exception):
    """A call failed. `code` is one of Code or another number; `sent`: the other side may have acted on it."""

    def __init__(self, code: int, details: str, *, sent: bool = True) -> None:
        super().__init__(details or f"status {code}")
        self.code = code
        self.details = details
        self.sent = sent


class Stream:
    """One call: what is still to be sent, and what has come."""

    __slots__ = (
        "answer", "body", "deadline", "ended", "error", "held", "id", "messages", "unsent", "waiter", "window",
    )  # fmt: skip

    def __init__(self, id: int, window: int, deadline: float) -> None:
        self.id = id
        self.window = window
        self.deadline = deadline  # 0: none
        self.unsent = b""
        self.body = bytearray()
        self.held = 0  # bytes the other side has not been allowed again
        self.error: CallError | None = None
        self.ended = False
        self.answer: asyncio.Future[bytes] | None = None  # of a call with one answer
        self.messages: deque[bytes] = deque()  # of a stream
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Connection(asyncio.Protocol):
    """The frames of one connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._window = http2.DEFAULT_WINDOW
        self._initial_window = http2.DEFAULT_WINDOW
        self._frame_max = 16_384
        self._waiting: deque[Stream] = deque()  # streams with something unsent
        self._outgoing: list[bytes] = []
        self._received = b""
        self._block = b""  # headers that go on in the next frame
        self._block_flags = 0
        self._unacknowledged = 0
        self._heard = 0.0
        self._pinged = 0.0
        self._tick: asyncio.TimerHandle | None = None
        self.usable = False

    # The transport's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by what they do, not by their class.
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        self.usable = True
        self._heard = self._loop.time()
        wanted = {
            http2.HEADER_TABLE_SIZE: 0,
            http2.ENABLE_PUSH: 0,
            http2.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
            http2.MAX_FRAME_SIZE: _LARGEST_FRAME,
        }
        grown = http2.window_update(0, _CONNECTION_WINDOW - http2.DEFAULT_WINDOW)
        self._write(http2.PREFACE + http2.settings(wanted) + grown)
        self._tick = self._loop.call_later(_TICK_SECONDS, self._look_around)

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._transport = None
        if self._tick is not None:
            self._tick.cancel()
        error = CallError(Code.UNAVAILABLE, f"the connection was lost: {exc or 'closed by the other side'}")
        for stream in list(self._streams.values()):
            self._end(stream, error)

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._pinged = 0.0
        if self._received:
            data = self._received + data
        at, end = 0, len(data)
        try:
            while end - at >= http2.HEAD_SIZE:
                size, kind, flags, stream = http2.head(data, at)
                if size > _LARGEST_FRAME:
                    raise ValueError("a frame larger than was allowed")
                following = at + http2.HEAD_SIZE + size
                if following > end:
                    break
                self._frame(kind, flags, stream, data[at + http2.HEAD_SIZE : following])
                at = following
        except (ValueError, IndexError) as error:
            self.close(f"the other side cannot be understood: {error}")
            return
        self._received = data[at:] if at < end else b""

    def close(self, why: str = "closed") -> None:
        self.usable = False
        error = CallError(Code.UNAVAILABLE, why)
        for stream in list(self._streams.values()):
            self._end(stream, error)
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        """Send with whatever else is written in this turn of the loop: calls to the kernel are what a call costs."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None:
            self._transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    # Calling.

    def call(self, block: bytes, body: bytes, deadline: float, *, streams: bool) -> Stream:
        """Begin a call. One that `streams` may be sent more, and is answered by any number of messages."""
        stream = Stream(self._next, self._initial_window, deadline)
        self._next += 2
        if self._next > _LAST_STREAM:
            self.usable = False  # the rest goes over a new connection
        self._streams[stream.id] = stream
        size = len(body) + http2.MESSAGE_HEAD
        opening = http2.frame(http2.HEADERS, http2.END_HEADERS, stream.id, block)
        if not streams:
            stream.answer = self._loop.create_future()
        if size <= self._frame_max and size <= self._window and size <= stream.window and not self._waiting:
            self._window -= size
            stream.window -= size
            flags = 0 if streams else http2.END_STREAM
            self._write(opening + http2.frame(http2.DATA, flags, stream.id, http2.message(body)))
        else:
            self._write(opening)
            stream.unsent = http2.message(body)
            self._waiting.append(stream)
            self._send_waiting()
        return stream

    def _send_waiting(self) -> None:
        """Send what the windows allow, in the order of the calls."""
        for stream in list(self._waiting):
            if self._streams.get(stream.id) is not stream:
                self._waiting.remove(stream)
                continue
            while stream.unsent and (room := min(self._window, stream.window, self._frame_max)) > 0:
                part, stream.unsent = stream.unsent[:room], stream.unsent[room:]
                self._window -= len(part)
                stream.window -= len(part)
                last = not stream.unsent and stream.answer is not None
                self._write(http2.frame(http2.DATA, http2.END_STREAM if last else 0, stream.id, part))
            if not stream.unsent:
                self._waiting.remove(stream)

    def cancel(self, stream: Stream) -> None:
        """Forget a call nobody waits for."""
        if self._streams.pop(stream.id, None) is not None:
            self._write(http2.reset(stream.id, http2.CANCEL))

    def release(self, stream: Stream) -> None:
        """What came is taken: let the other side send as much again."""
        if stream.held >= _STREAM_WINDOW // 2 and stream.id in self._streams:
            self._write(http2.window_update(stream.id, stream.held))
            stream.held = 0

    # Frames.

    def _frame(self, kind: int, flags: int, id: int, payload: bytes) -> None:
        if kind == http2.DATA:
            self._data(flags, id, payload)
        elif kind == http2.HEADERS:
            self._block, self._block_flags = http2.body_of(payload, flags), flags
            if flags & http2.END_HEADERS:
                self._headers(id)
        elif kind == http2.CONTINUATION:
            self._block += payload
            if flags & http2.END_HEADERS:
                self._headers(id)
        elif kind == http2.WINDOW_UPDATE:
            by = http2.word(payload)
            if not id:
                self._window += by
            elif (stream := self._streams.get(id)) is not None:
                stream.window += by
            if self._waiting:
                self._send_waiting()
        elif kind == http2.PING:
            if not flags & http2.ACK:
                self._write(http2.frame(http2.PING, http2.ACK, 0, payload))
        elif kind == http2.SETTINGS:
            if not flags & http2.ACK:
                self._settings(http2.read_settings(payload))
        elif kind == http2.RST_STREAM:
            self._reset(id, http2.word(payload))
        elif kind == http2.GOAWAY:
            self.usable = False
            refused = CallError(Code.UNAVAILABLE, "the other side is going away", sent=False)
            for stream in [s for s in self._streams.values() if s.id > http2.word(payload)]:
                self._end(stream, refused)

    def _data(self, flags: int, id: int, payload: bytes) -> None:
        self._unacknowledged += len(payload)
        if self._unacknowledged >= _CONNECTION_WINDOW // 2:
            self._write(http2.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        stream = self._streams.get(id)
        if stream is None:
            return
        stream.held += len(payload)
        stream.body += http2.body_of(payload, flags) if flags & http2.PADDED else payload
        if stream.answer is None:
            while len(stream.body) >= http2.MESSAGE_HEAD:
                end = http2.MESSAGE_HEAD + http2.message_size(stream.body)
                if len(stream.body) < end:
                    break
                stream.messages.append(bytes(stream.body[http2.MESSAGE_HEAD : end]))
                del stream.body[:end]
            if stream.messages:
                stream.wake()
                return
        # Nobody holds these bytes up: a message may be larger than the window.
        self.release(stream)

    def _headers(self, id: int) -> None:
        block, self._block = self._block, b""
        headers = http2.headers_of(block)
        stream = self._streams.get(id)
        if stream is None or not self._block_flags & http2.END_STREAM:
            return
        status = headers.get("grpc-status")
        if status == "0":
            self._end(stream, None)
        elif status is not None:
            self._end(stream, CallError(int(status), unquote(headers.get("grpc-message", ""))))
        else:
            self._end(stream, CallError(Code.UNAVAILABLE, f"HTTP status {headers.get(':status', 'missing')}"))

    def _settings(self, values: dict[int, int]) -> None:
        self._frame_max = values.get(http2.MAX_FRAME_SIZE, self._frame_max)
        window = values.get(http2.INITIAL_WINDOW_SIZE)
        if window is not None:
            for stream in self._streams.values():
                stream.window += window - self._initial_window
            self._initial_window = window
        self._write(http2.frame(http2.SETTINGS, http2.ACK, 0))
        self._send_waiting()

    def _reset(self, id: int, reason: int) -> None:
        stream = self._streams.get(id)
        if stream is None:
            return
        code = {http2.CANCEL: Code.CANCELLED, http2.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED}.get(
            reason, Code.UNAVAILABLE
        )
        details = f"the stream was reset (reason {reason})"
        self._end(stream, CallError(code, details, sent=reason != http2.REFUSED_STREAM))

    def _end(self, stream: Stream, error: CallError | None) -> None:
        self._streams.pop(stream.id, None)
        stream.error, stream.ended = error, True
        if not self.usable and not self._streams and self._transport is not None:
            self._transport.close()
        answer = stream.answer
        if answer is not None and not answer.done():
            body = stream.body
            if error is None and (
                len(body) < http2.MESSAGE_HEAD or len(body) != http2.MESSAGE_HEAD + http2.message_size(body)
            ):
                error = CallError(Code.INTERNAL, "not one message")
            if error is None:
                answer.set_result(bytes(body[http2.MESSAGE_HEAD :]))
            else:
                answer.set_exception(error)
        stream.wake()

    # Time.

    def _look_around(self) -> None:
        """End calls whose time is over; ask a silent other side whether it is there."""
        now = self._loop.time()
        for stream in [s for s in self._streams.values() if s.deadline and now >= s.deadline]:
            self.cancel(stream)
            self._end(stream, CallError(Code.DEADLINE_EXCEEDED, "no answer in time"))
        if self._pinged:
            if now - self._pinged >= _PING_SECONDS:
                self.close("the other side is silent")
                return
        elif now - self._heard >= _QUIET_SECONDS:
            self._pinged = now
            self._write(http2.frame(http2.PING, 0, 0, b"\0" * 8))
        self._tick = self._loop.call_later(_TICK_SECONDS, self._look_around)
