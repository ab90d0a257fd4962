"""HTTP/1.1 to one server over kept-alive connections, TLS or plain: just what the API's clients need.

Unary requests share a bounded pool; every stream (a watch, a log) has a connection of its own. Bodies are handed
on in the pieces they arrive in and joined once. No redirects, cookies, proxies or content codings.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

import orjson

_HIGH_WATER = 4 << 20  # bytes of a stream read ahead of its reader, at most
_MAX_HEAD = 64 << 10
_JOINED_WRITE = 64 << 10
_CONNECT_TIMEOUT = 10.0


class NotSent(ConnectionError):
    """No connection could be made: the server has seen nothing of the request."""


class ConnectionLost(ConnectionError):
    """The connection ended in the middle: the server may or may not have acted on the request."""


class Response:
    """A whole answer. Header names are lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return orjson.loads(self.body)


class _Exchange:
    """The receiving end of one request on one connection."""

    __slots__ = ("connection", "done", "error", "headers", "pieces", "size", "status", "streaming", "waiter")

    def __init__(self, connection: _Connection, streaming: bool, loop: asyncio.AbstractEventLoop) -> None:
        self.connection = connection
        self.streaming = streaming
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: deque[bytes] = deque()
        self.size = 0
        self.done = False
        self.error: Exception | None = None
        self.waiter: asyncio.Future[None] | None = loop.create_future()

    def wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def on_head(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        if self.streaming:
            self.wake()

    def on_piece(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.size += len(piece)
        if self.streaming:
            if self.size > _HIGH_WATER:
                self.connection.pause()
            self.wake()

    def on_end(self, error: Exception | None = None) -> None:
        self.done = True
        self.error = error
        self.wake()


class _Connection(asyncio.Protocol):
    """Parses responses as they arrive. One exchange at a time, no pipelining."""

    __slots__ = ("_buffer", "_exchange", "_left", "_loop", "_paused", "_state", "_transport", "alive")

    # States: waiting for a head, in a body of known length, at a chunk's size line, in a chunk, after a chunk's
    # data, in trailers, in a body that ends with the connection.
    _HEAD, _LENGTH, _SIZE, _CHUNK, _CRLF, _TRAILER, _UNTIL_CLOSE = range(7)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None
        self._buffer = b""
        self._state = self._HEAD
        self._left = 0
        self._paused = False
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self.alive = True
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A peer that vanished without a word (a machine lost) is noticed after about a minute.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, head: bytes, body: bytes, streaming: bool) -> _Exchange:
        assert self._transport is not None and self._exchange is None
        exchange = self._exchange = _Exchange(self, streaming, self._loop)
        if len(body) <= _JOINED_WRITE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return exchange

    def pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None and self.alive:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        self.alive = False
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        exchange = self._exchange
        self._exchange = None
        if exchange is None:
            return
        if self._state == self._UNTIL_CLOSE and exc is None:
            exchange.on_end()
        else:
            exchange.on_end(ConnectionLost(f"the connection was lost: {exc or 'closed by the server'}"))

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.close()  # Nothing was asked: a server's farewell (408 on an idle connection).
            return
        try:
            self._parse(self._buffer + data if self._buffer else data)
        except (ValueError, IndexError) as error:
            exchange, self._exchange = self._exchange, None
            self.close()
            if exchange is not None:
                exchange.on_end(ConnectionLost(f"the server's answer is not HTTP/1.1: {error}"))

    def _parse(self, data: bytes) -> None:
        position, end = 0, len(data)
        while position < end and self._exchange is not None:
            state = self._state
            if state in (self._CHUNK, self._LENGTH):
                take = min(self._left, end - position)
                self._exchange.on_piece(data[position : position + take] if take < end else data)
                position += take
                self._left -= take
                if self._left == 0:
                    if state == self._LENGTH:
                        self._finish()
                    else:
                        self._state = self._CRLF
            elif state == self._UNTIL_CLOSE:
                self._exchange.on_piece(data[position:])
                position = end
            elif state == self._CRLF:
                if end - position < 2:
                    break
                position += 2
                self._state = self._SIZE
            else:
                mark = b"\r\n\r\n" if state == self._HEAD else b"\r\n"
                found = data.find(mark, position)
                if found < 0:
                    if end - position > _MAX_HEAD:
                        raise ValueError("a header is too long")
                    break
                line = data[position:found]
                position = found + len(mark)
                if state == self._HEAD:
                    self._head(line)
                elif state == self._SIZE:
                    self._left = int(line.split(b";", 1)[0], 16)
                    self._state = self._CHUNK if self._left else self._TRAILER
                elif not line:
                    self._finish()
        self._buffer = data[position:] if position < end else b""

    def _head(self, head: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        lines = head.decode("latin-1").split("\r\n")
        version, status_text = lines[0].split(" ", 2)[:2]
        status = int(status_text)
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if 100 <= status < 200:
            return  # An interim answer; the real one follows.
        if headers.get("connection", "").lower() == "close" or version == "HTTP/1.0":
            self.alive = False
        exchange.on_head(status, headers)
        if status in (204, 304):
            self._finish()
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            self._state = self._SIZE
        elif "content-length" in headers:
            self._left = int(headers["content-length"])
            self._state = self._LENGTH
            if self._left == 0:
                self._finish()
        else:
            self._state = self._UNTIL_CLOSE

    def _finish(self) -> None:
        exchange, self._exchange = self._exchange, None
        self._state = self._HEAD
        self.resume()
        if not self.alive and self._transport is not None:
            self._transport.close()
        if exchange is not None:
            exchange.on_end()


class Stream:
    """An answer that is read as it comes: `async for piece in stream`. Use as an async context manager."""

    __slots__ = ("_exchange", "_loop", "headers", "status")

    def __init__(self, exchange: _Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange = exchange
        self._loop = loop
        self.status = exchange.status
        self.headers = exchange.headers

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._exchange.connection.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body's pieces as they arrive; ends with the body, raises `ConnectionLost` where it is cut off."""
        exchange = self._exchange
        while True:
            while exchange.pieces:
                piece = exchange.pieces.popleft()
                exchange.size -= len(piece)
                if exchange.size < _HIGH_WATER // 4:
                    exchange.connection.resume()
                yield piece
            if exchange.done:
                if exchange.error is not None:
                    raise exchange.error
                return
            waiter = exchange.waiter = self._loop.create_future()
            await waiter

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self])


class Connections:
    """The kept-alive connections to one server.

    `limit` bounds unary requests in flight (streams are not counted: their number is their owners' to bound).
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, server_hostname: str = "", limit: int = 64
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._server_hostname = (server_hostname or host) if tls is not None else None
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(limit)
        self._streams: set[_Connection] = set()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._server_hostname,
                )
        except ssl.SSLCertVerificationError:
            raise
        except (OSError, TimeoutError) as error:
            raise NotSent(f"cannot connect to {self._host}:{self._port}: {error}") from error
        return connection

    async def request(self, head: bytes, body: bytes, timeout: float) -> Response:
        """One request, whole answer. Raises NotSent, ConnectionLost or TimeoutError (after `timeout` seconds)."""
        async with self._slots:
            connection: _Connection | None = None
            while self._idle:
                candidate = self._idle.pop()
                if candidate.alive:
                    connection = candidate
                    break
            if connection is None:
                connection = await self._connect()
            exchange = connection.send(head, body, streaming=False)
            waiter = exchange.waiter
            assert waiter is not None
            timer = asyncio.get_running_loop().call_later(timeout, exchange.on_end, TimeoutError("no answer"))
            try:
                await waiter
            finally:
                timer.cancel()
                if not exchange.done or exchange.error is not None:
                    connection.close()
            if exchange.error is not None:
                raise exchange.error
            if connection.alive:
                self._idle.append(connection)
            return Response(exchange.status, exchange.headers, b"".join(exchange.pieces))

    async def stream(self, head: bytes, body: bytes, timeout: float) -> Stream:
        """One request on a connection of its own; returns when the answer's head is there."""
        connection = await self._connect()
        self._streams = {c for c in self._streams if c.alive}
        self._streams.add(connection)
        exchange = connection.send(head, body, streaming=True)
        waiter = exchange.waiter
        assert waiter is not None
        try:
            async with asyncio.timeout(timeout):
                await waiter
            if exchange.error is not None and not exchange.status:
                raise exchange.error
        except BaseException:
            connection.close()
            raise
        return Stream(exchange, asyncio.get_running_loop())

    def close(self) -> None:
        for connection in (*self._idle, *self._streams):
            connection.close()
        self._idle.clear()
        self._streams.clear()
