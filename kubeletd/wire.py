"""A TCP connection as pieces of bytes, without the buffers of asyncio's streams between: what port-forward carries.

A piece stays below what malloc would map, and the kernel fill with zeros, each time anew (pybctl sets that to 128 kB).
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

PIECE = 96 * 1024
_PIECES_HELD = 2  # then the kernel's buffers fill, and the other side waits


class Wire(asyncio.BufferedProtocol):
    """Both directions, each held back where the other end does not take what is there."""

    def __init__(self) -> None:
        self._buffer = bytearray(PIECE)
        self._pieces: list[bytes] = []
        self._ended = False
        self._error: Exception | None = None
        self._paused = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._pieces.append(bytes(memoryview(self._buffer)[:nbytes]))
        self._readable.set()
        if len(self._pieces) >= _PIECES_HELD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        self._readable.set()
        return True  # the other direction stays open

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._readable.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the one who carries asks

    async def read(self) -> bytes:
        """Some bytes, at most PIECE; empty at the end. Raises ConnectionError where it broke off."""
        while not self._pieces and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        if not self._pieces:
            if isinstance(self._error, ConnectionError):
                raise self._error
            return b""
        piece = self._pieces.pop(0)
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return piece

    async def write(self, data: bytes) -> None:
        """Waits while the other side does not read. What it will never read is dropped."""
        if self._transport.is_closing():
            return
        self._transport.write(data)
        await self._writable.wait()

    def end(self) -> None:
        """Says that no more will be written."""
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        self._transport.close()


async def carry(sock: socket.socket) -> Wire:
    """The wire of a connected socket, which it closes in the end."""
    _, wire = await asyncio.get_running_loop().create_connection(Wire, sock=sock)
    return wire
