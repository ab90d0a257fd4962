"""The agent's port opens its gRPC server when somebody first comes; one that could not start is tried again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import kubeletd.server
from kubeletd.doorway import UNIX, open_doorway
from kubeletd.interfaces import ServerOptions


class Echo:
    """In the gRPC server's place."""

    def __init__(self) -> None:
        self.closed = False
        self.port = 0
        self._listener: asyncio.Server | None = None

    async def open(self, options: ServerOptions) -> None:
        assert options.address.startswith(UNIX)
        self._listener = await asyncio.start_unix_server(
            self._answer, "\0" + options.address.removeprefix(UNIX)
        )

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def close(self, grace_seconds: float) -> None:
        self.closed = True
        assert self._listener is not None
        self._listener.close()


async def said(port: int) -> bytes:
    """What the port answers to a line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"here\n")
        writer.write_eof()
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "error", [OSError("no port is free"), RuntimeError("grpc is ill")], ids=["os", "any"]
)
async def test_a_server_that_did_not_start_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    echo = Echo()
    tries: list[Any] = []

    async def serve(view: Any, options: ServerOptions) -> Echo:
        tries.append(options)
        if len(tries) == 1:
            raise error
        await echo.open(options)
        return echo

    monkeypatch.setattr(kubeletd.server, "serve", serve)
    doorway = await open_doorway(None, ServerOptions())  # type: ignore[arg-type]
    assert await said(doorway.port) == b""
    assert await said(doorway.port) == b"here\n"
    assert await said(doorway.port) == b"here\n"
    assert len(tries) == 2
    await doorway.close(0)
    assert echo.closed


async def test_one_that_never_started_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(view: Any, options: ServerOptions) -> Echo:
        raise OSError("no")

    monkeypatch.setattr(kubeletd.server, "serve", serve)
    doorway = await open_doorway(None, ServerOptions())  # type: ignore[arg-type]
    assert await said(doorway.port) == b""
    await doorway.close(0)


async def test_much_goes_both_ways_at_once_and_waits_for_a_slow_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    echo = Echo()

    async def serve(view: Any, options: ServerOptions) -> Echo:
        await echo.open(options)
        return echo

    monkeypatch.setattr(kubeletd.server, "serve", serve)
    doorway = await open_doorway(None, ServerOptions())  # type: ignore[arg-type]
    data = random.Random(1).randbytes(20 << 20)

    async def there_and_back() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", doorway.port)

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            return await reader.read()

    try:
        found = await asyncio.gather(there_and_back(), there_and_back())
        assert [each == data for each in found] == [True, True]
        assert await said(doorway.port) == b"here\n"
    finally:
        await doorway.close(0)
    with pytest.raises(ConnectionRefusedError):
        await said(doorway.port)
