"""The agent's port. gRPC is loaded when somebody first comes: an idle node saves its 10 MB.

Until then the event loop listens. The first connection starts the gRPC server on a Unix socket, and from then on the
kernel moves what comes from one socket to the other; TLS is between the two ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kubeletd.interfaces import NodeView, Server, ServerOptions

log = logging.getLogger(__name__)

UNIX = "unix-abstract:"
_PIPE = 256 * 1024  # bytes in the kernel between two sockets
_IN_A_ROW = 16  # times that data is moved before others have their turn
_BACKLOG = 100
_REST_SECONDS = 0.1


class Doorway:
    """A listening server (interfaces.Server)."""

    def __init__(self, view: NodeView, options: ServerOptions) -> None:
        self._view = view
        self._options = options
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._server: asyncio.Task[Server] | None = None
        self._inner = f"pybernetes-agent-{os.getpid()}-{secrets.token_hex(8)}"
        self._connections: set[asyncio.Task[None]] = set()
        self.port = options.port

    async def open(self) -> None:
        family = socket.AF_INET6 if ":" in self._options.address else socket.AF_INET
        address = (self._options.address, self._options.port)
        self._listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(self._listener))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                outer, _ = await loop.sock_accept(listener)
            except OSError as error:
                # That one has gone again; or there are no descriptors, and others have to end first.
                log.warning("a connection is not accepted: %s", error)
                await asyncio.sleep(_REST_SECONDS)
                continue
            task = asyncio.create_task(self._carry(outer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _carry(self, outer: socket.socket) -> None:
        with outer, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inner:
            inner.setblocking(False)
            try:
                await self._serving()
                outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await asyncio.get_running_loop().sock_connect(inner, f"\0{self._inner}")
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pass_on(outer, inner))
                    group.create_task(_pass_on(inner, outer))
            except* OSError as error:
                log.debug("a connection ended: %s", error.exceptions)

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

        return await serve(self._view, replace(self._options, address=UNIX + self._inner, port=0))

    async def close(self, grace_seconds: float) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
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


async def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Moves what comes, to the end of it, without its ever being in this process's memory. Raises OSError."""
    loop = asyncio.get_running_loop()
    ours, kernels = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    flags = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
    try:
        fcntl.fcntl(kernels, fcntl.F_SETPIPE_SZ, _PIPE)
        turns = 0
        while True:
            try:
                held = os.splice(source.fileno(), kernels, _PIPE, flags=flags)
            except BlockingIOError:
                await _until(loop.add_reader, loop.remove_reader, source)
                continue
            if not held:
                target.shutdown(socket.SHUT_WR)
                return
            while held:
                try:
                    held -= os.splice(ours, target.fileno(), held, flags=flags)
                except BlockingIOError:
                    await _until(loop.add_writer, loop.remove_writer, target)
            turns += 1
            if turns % _IN_A_ROW == 0:
                await asyncio.sleep(0)
    finally:
        os.close(ours)
        os.close(kernels)


async def _until(add: Callable[..., Any], remove: Callable[[int], Any], sock: socket.socket) -> None:
    """Waits until a socket is ready, as `add` has the event loop tell it."""
    ready = asyncio.Event()
    add(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock.fileno())


async def open_doorway(view: NodeView, options: ServerOptions) -> Doorway:
    """Listens as `options` say. Raises OSError where the address is taken."""
    doorway = Doorway(view, options)
    await doorway.open()
    return doorway
