"""The connection into a pod that port-forward carries: pieces, held back both ways, each direction ended by itself."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from kubeletd.wire import PIECE, Wire, carry

SECONDS = 20


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Wire, socket.socket]]:
    """A wire and the other end of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    wire = await carry(ours)
    async with asyncio.timeout(SECONDS):
        yield wire, theirs
    wire.close()
    theirs.close()


async def test_directions_end_by_themselves(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(theirs, b"question")
    theirs.shutdown(socket.SHUT_WR)
    assert (await wire.read(), await wire.read()) == (b"question", b"")
    await wire.write(b"answer")
    wire.end()
    assert (await loop.sock_recv(theirs, 100), await loop.sock_recv(theirs, 100)) == (b"answer", b"")


async def test_much_comes_in_pieces(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    data = bytes(range(256)) * 20_000

    async def send() -> None:
        await asyncio.get_running_loop().sock_sendall(theirs, data)
        theirs.shutdown(socket.SHUT_WR)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        pieces = []
        while piece := await wire.read():
            pieces.append(piece)
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE


async def test_who_does_not_read_is_waited_for(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    sent = 0

    async def send() -> None:
        nonlocal sent
        for _ in range(1000):
            await wire.write(b"x" * PIECE)
            sent += PIECE
        wire.end()

    received = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        while data := await asyncio.get_running_loop().sock_recv(theirs, 1 << 20):
            received += len(data)
            assert sent - received < 32 << 20
    assert received == 1000 * PIECE


async def test_a_connection_that_breaks_off_says_so(ends: tuple[Wire, socket.socket]) -> None:
    wire, theirs = ends
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with pytest.raises(ConnectionError):
        await wire.read()
    await wire.write(b"to nobody")
