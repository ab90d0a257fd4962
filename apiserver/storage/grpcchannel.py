"""gRPC calls over one HTTP/2 connection, on the event loop itself: what etcd is spoken to with.

grpcio hands each call to its own threads and back, which costs more than all else a write does here. Calls in flight
share the connection; each has one answer, or a stream of them. Messages are bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from apiserver.storage import http2
from apiserver.storage.grpcconnection import CallError, Code, Connection

_CONNECT_SECONDS = 2.0


class Channel:
    """Calls to one server. It is connected when the first call is made, and again after a connection is lost."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._context = context
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._blocks: dict[tuple[str, tuple[tuple[str, str], ...]], bytes] = {}
        self._closed = False

    async def call(self, path: str, body: bytes, seconds: float) -> bytes:
        """One message for one message. Raises CallError."""
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connected()
        deadline = asyncio.get_running_loop().time() + seconds
        stream = connection.call(self._block(path), body, deadline, streams=False)
        assert stream.answer is not None
        try:
            return await stream.answer
        finally:
            if not stream.ended:
                connection.cancel(stream)

    async def stream(
        self, path: str, body: bytes, metadata: tuple[tuple[str, str], ...] = (), *, seconds: float = 0.0
    ) -> AsyncIterator[bytes]:
        """The messages that answer one; close the iterator to end the call. Raises CallError, also at its end."""
        connection = await self._connected()
        deadline = asyncio.get_running_loop().time() + seconds if seconds else 0.0
        stream = connection.call(self._block(path, metadata), body, deadline, streams=True)
        try:
            while True:
                while stream.messages:
                    yield stream.messages.popleft()
                connection.release(stream)
                if stream.ended:
                    raise stream.error or CallError(Code.UNAVAILABLE, "the stream has ended")
                stream.waiter = asyncio.get_running_loop().create_future()
                await stream.waiter
        finally:
            connection.cancel(stream)

    def _block(self, path: str, metadata: tuple[tuple[str, str], ...] = ()) -> bytes:
        block = self._blocks.get((path, metadata))
        if block is None:
            tls = self._context is not None
            block = self._blocks[path, metadata] = http2.request_block(
                path, self._authority, tls=tls, metadata=metadata
            )
        return block

    async def _connected(self) -> Connection:
        if self._connection is not None and self._connection.usable:
            return self._connection
        if self._closed:
            raise CallError(Code.CANCELLED, "the channel is closed", sent=False)
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            # Those who asked may have given up.
            self._connecting.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Whoever gives up does not take the connection from the others who wait for it.
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop), self._host, self._port, ssl=self._context
                )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            raise CallError(
                Code.UNAVAILABLE, f"cannot connect to {self._authority}: {why}", sent=False
            ) from None
        self._connection = connection
        return connection

    async def close(self) -> None:
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError, CallError):
                await self._connecting
        if self._connection is not None:
            self._connection.close()
