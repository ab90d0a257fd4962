"""A connection taken over after `101 Switching Protocols`: raw bytes both ways, with backpressure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

_HIGH_WATER = 256 * 1024


class UpgradedConnection:
    """The raw byte stream under an aiohttp request. Reading pauses the transport while nobody takes the bytes."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._protocol: Any = request.protocol
        self._transport = request.transport
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    # What aiohttp asks of a payload parser.

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if data:
            self._chunks.append(bytes(data))
            self._size += len(data)
            if self._size >= _HIGH_WATER and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            self._wake()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # The byte stream.

    async def read(self) -> bytes:
        """Some bytes; empty at the end."""
        while not self._chunks and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data, self._chunks, self._size = b"".join(self._chunks), [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Waits while the client does not read. Raises ConnectionError when it is gone."""
        transport = self._transport
        if self._ended or transport is None or transport.is_closing():
            raise ConnectionResetError("the client has closed the connection")
        transport.write(data)
        await self._protocol._drain_helper()

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def upgrade(
    request: web.BaseRequest, headers: Mapping[str, str]
) -> tuple[web.StreamResponse, UpgradedConnection]:
    """Answer 101 with `headers` and take the connection over. The handler returns the response when it is done."""
    response = web.StreamResponse(status=101, headers=dict(headers))
    response.force_close()
    connection = UpgradedConnection(request)
    # From the answer on, what comes is no HTTP any more.
    request.protocol.set_parser(connection)  # type: ignore[arg-type]
    await response.prepare(request)
    return response, connection
