"""One client connection: aiohttp's protocol, with what the API server keeps per connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from apiserver.request import User

if TYPE_CHECKING:
    from apiserver.audit.record import Record


class Connection(RequestHandler):
    """`user` is who the client certificate names, found once; `full` while the transport's buffer is.

    `on_change` is called when the connection drains or is lost: a watch waits for it.
    """

    __slots__ = ("full", "on_change", "peer", "user")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self.full = False
        self.on_change: Callable[[], None] | None = None
        self.user: User | None = None
        self.peer: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer = transport.get_extra_info("peercert") or None
        super().connection_made(transport)

    def all_users(self) -> set[str]:
        """Who the client certificates name, on this and all other connections of the server."""
        others = self._manager.connections if self._manager is not None else []
        peers = [other.peer for other in others if isinstance(other, Connection) and other.peer is not None]
        names = [name for peer in peers for part in peer.get("subject", ()) for name in part]
        return {value for key, value in names if key == "commonName"}

    def pause_writing(self) -> None:
        self.full = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self.full = False
        super().resume_writing()
        if self.on_change is not None:
            self.on_change()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.on_change is not None:
            self.on_change()


class Request(web.BaseRequest):
    """`on_start` are called with the response whose head is about to be sent; `audit` is what records it."""

    ATTRS = web.BaseRequest.ATTRS | frozenset(("audit", "on_start"))

    on_start: tuple[Callable[[web.StreamResponse], None], ...] = ()
    audit: Record | None = None

    @property
    def received(self) -> bytes | None:
        """The body, where it has been read."""
        return self._read_bytes

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        for call in self.on_start:
            call(response)


class ConnectionServer(web.Server):
    """aiohttp's low-level server, making `Connection`s."""

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)
