"""The agent's port opens its gRPC server when somebody first comes; one that could not start is tried again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import kubeletd.server
from kubeletd.doorway import open_doorway
from kubeletd.interfaces import ServerOptions


class Echo:
    """In the gRPC server's place."""

    def __init__(self) -> None:
        self.closed = False
        self.port = 0
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
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
        await echo.open()
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
