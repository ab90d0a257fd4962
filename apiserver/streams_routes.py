"""Where the streaming subresources hang in the dispatcher's table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from apiserver import nodemetrics
from apiserver.admission import webhook_review
from apiserver.authz import Authorizer
from apiserver.dispatch import Dispatcher, Handler
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions
from apiserver.pki_files import ClusterFiles
from apiserver.request import User
from apiserver.requestinfo import RequestInfo
from apiserver.streams import PodStreams
from apiserver.streams_nodes import Certificates
from apiserver.streams_proxy import Proxy

_Stream = Callable[[web.BaseRequest, RequestInfo, User], Awaitable[web.StreamResponse]]
_PROXY_VERBS = ("get", "create", "update", "patch", "delete", "options")


def _handler(stream: _Stream, *, connects: bool = False) -> Handler:
    """`connects`: what admission decides on as a CONNECT."""

    async def handle(http: Exchange) -> web.StreamResponse:
        if connects:
            await _admit(http)
        return await stream(http.request, http.info, http.user)

    return handle


def _option(key: str, values: Sequence[str]) -> Any:
    """A parameter of the query as the field of that name in PodExecOptions and its like."""
    if key in ("stdin", "stdout", "stderr", "tty"):
        return values[0].lower() not in ("false", "0")
    if key == "ports":
        return [int(number) for value in values for number in value.split(",") if number.isdigit()]
    return list(values) if key == "command" else values[0]


async def _admit(http: Exchange) -> None:
    info, registry = http.info, http.view.registry
    options = {key: _option(key, values) for key, values in info.query.items()}
    request = registry.admission_request(
        http.call(WriteOptions()), "CONNECT", info.namespace, info.name, options, None, info.subresource
    )
    described = webhook_review.kind_of(request, request.resource)
    options |= {"kind": described["kind"], "apiVersion": "v1"}
    await registry.validate(request)


class StreamRoutes:
    """Puts log, exec, attach, portforward and proxy into the dispatcher; `close` ends what they hold open."""

    def __init__(self, dispatcher: Dispatcher, authorizer: Authorizer, certificates: ClusterFiles) -> None:
        files = Certificates(
            certificates.ca_file, certificates.node_client_cert, certificates.node_client_key
        )
        self._streams = PodStreams(dispatcher.registries, authorizer, files)
        self._proxy = Proxy(dispatcher.registries, self._streams.agents)
        nodemetrics.install(dispatcher, self._streams.agents)
        table, pods = dispatcher.subresources, ("", "pods")
        table[pods, "log", "get"] = _handler(self._streams.log)
        for name, stream in (
            ("exec", self._streams.exec),
            ("attach", self._streams.attach),
            ("portforward", self._streams.portforward),
        ):
            table[pods, name, "get"] = table[pods, name, "create"] = _handler(stream, connects=True)
        for plural, stream in (
            ("pods", self._proxy.pod),
            ("services", self._proxy.service),
            ("nodes", self._proxy.node),
        ):
            for verb in _PROXY_VERBS:
                table[("", plural), "proxy", verb] = _handler(stream, connects=True)

    async def close(self) -> None:
        await self._proxy.close()
        await self._streams.close()
