"""The agent's port. gRPC is loaded when somebody first comes: an idle node saves its 10 MB.

Until then asyncio listens. The first connection starts the gRPC server on a port of the loopback interface, and from
then on bytes are passed on to it; TLS is between the two ends.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from kubeletd.interfaces import NodeView, Server, ServerOptions

log = logging.getLogger(__name__)

_CHUNK = 256 * 1024


class Doorway:
    """A listening server (interfaces.Server)."""

    def __init__(self, view: NodeView, options: ServerOptions) -> None:
        self._view = view
        self._options = options
        self._listener: asyncio.Server | None = None
        self._server: asyncio.Task[Server] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False
        self.port = options.port

    async def open(self) -> None:
        self._listener = await asyncio.start_server(
            self._connected, self._options.address, self._options.port, limit=_CHUNK
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:
            # asyncio's streams would log that we end what they began.
            if not self._closing:
                raise

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            server = await self._serving()
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port, limit=_CHUNK)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(reader, inner_writer))
                    group.create_task(_pass_on(inner_reader, writer))
            finally:
                inner_writer.close()
        except* OSError as error:
            log.debug("a connection ended: %s", error.exceptions)
        finally:
            writer.close()
            self._connections.discard(task)

    async def _serving(self) -> Server:
        """The gRPC server, which the first who comes starts; the next does if it could not be. Raises OSError."""
        if self._server is None or _failed(self._server):
            self._server = asyncio.create_task(self._start())
        try:
            return await asyncio.shield(self._server)
        except OSError as error:
            log.warning("the node's server does not start: %s", error)
            raise
        except Exception as error:
            log.exception("the node's server does not start")
            raise ConnectionAbortedError(str(error)) from error

    async def _start(self) -> Server:
        from kubeletd.server import serve

        return await serve(self._view, replace(self._options, address="127.0.0.1", port=0))

    async def close(self, grace_seconds: float) -> None:
        self._closing = True
        if self._listener is not None:
            self._listener.close()
        if self._server is not None and not _failed(self._server):
            server = await self._server
            await server.close(grace_seconds)
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


def _failed(task: asyncio.Task[Server]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def open_doorway(view: NodeView, options: ServerOptions) -> Doorway:
    """Listens as `options` say. Raises OSError where the address is taken."""
    doorway = Doorway(view, options)
    await doorway.open()
    return doorway
