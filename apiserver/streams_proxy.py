"""The proxy subresource of pods, services and nodes: plain HTTP from a client to an address in the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict

from apimachinery import errors, resources
from apimachinery.errors import StatusError
from apiserver.request import Object, Reader, User
from apiserver.requestinfo import RequestInfo
from apiserver.streams_nodes import NodeAgents, calls
from apiserver.streams_rewrite import HtmlLinks, link

PODS = resources.get("pods")
SERVICES = resources.get("services")
ENDPOINT_SLICES = resources.get("endpointslices", "discovery.k8s.io")
NODES = resources.get("nodes")
HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", "content-length", "authorization", "cookie", "accept-encoding",
})  # fmt: skip
#: What the client would add of its own to a request that lacks it: what was sent is to arrive.
ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_CHUNK = 64 * 1024
_CONNECT_SECONDS = 10.0


def parse_name(name: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `name`, `name:port` or `scheme:name:port`. Raises 400."""
    parts = name.split(":")
    match parts:
        case [only]:
            return "http", only, ""
        case [host, port]:
            return "http", host, port
        case [scheme, host, port] if scheme in ("http", "https", ""):
            return scheme or "http", host, port
    raise errors.bad_request(f'invalid service request "{name}"')


class Proxy:
    """Handlers of the proxy subresources; the caller has authorized the request."""

    def __init__(self, reader: Reader, agents: NodeAgents) -> None:
        self._reader = reader
        self._agents = agents
        self._session: ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def pod(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        scheme, name, port = parse_name(info.name)
        pod = self._reader.get(PODS, info.namespace, name)
        if pod is None:
            raise errors.not_found("pods", name)
        address = (pod.get("status") or {}).get("podIP")
        if not address:
            raise errors.service_unavailable(
                "address not allowed" if address else f"pod {name} has no address yet"
            )
        return await self._forward(request, info, scheme, address, port or _first_port(pod))

    async def service(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        scheme, name, port = parse_name(info.name)
        service = self._reader.get(SERVICES, info.namespace, name)
        if service is None:
            raise errors.not_found("services", name)
        slices = [
            s
            for s in self._reader.list(ENDPOINT_SLICES, info.namespace)
            if (s["metadata"].get("labels") or {}).get("kubernetes.io/service-name") == name
        ]
        address, target = endpoint_of(service, slices, port)
        return await self._forward(request, info, scheme, address, target)

    async def node(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """The agent's own documents, such as `/stats/summary`; another port is plain HTTP to the node."""
        scheme, name, port = parse_name(info.name)
        node = self._reader.get(NODES, "", name)
        if node is None:
            raise errors.not_found("nodes", name)
        if port and port != "10250":
            addresses = (node.get("status") or {}).get("addresses") or ()
            internal = next((a["address"] for a in addresses if a.get("type") == "InternalIP"), "")
            if not internal:
                raise errors.service_unavailable(f"node {name} has no address")
            return await self._forward(request, info, scheme, internal, port)
        if request.method != "GET":
            raise StatusError(405, "MethodNotAllowed", "405 method not allowed")
        from apiserver import nodeagent_pb2 as pb

        _, path, query = _split(request, info)
        stub = await self._agents.stub(name)
        async with calls():
            parts = [part async for part in stub.Document(pb.DocumentRequest(path=path + query))]
        content_type = parts[0].content_type if parts else "text/plain"
        body = b"".join(part.data for part in parts)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _forward(
        self, request: web.BaseRequest, info: RequestInfo, scheme: str, host: str, port: str
    ) -> web.StreamResponse:
        prefix, path, query = _split(request, info)
        if not path and request.method in ("GET", "HEAD"):
            # Without the slash, a page's relative links would lead out of the proxy.
            return web.Response(status=301, headers={"Location": f"{prefix}/{query}"})
        if self._session is None:
            # Pods' certificates are their own affair: Kubernetes does not verify them either.
            self._session = ClientSession(
                connector=TCPConnector(ssl=False, limit=0),
                timeout=ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                auto_decompress=False,
            )
        from yarl import URL

        authority = f"[{host}]" if ":" in host else host
        authority += f":{port}" if port else ""
        url = URL(f"{scheme}://{authority}{path or '/'}{query}", encoded=True)
        headers: CIMultiDict[str] = CIMultiDict()
        for key, value in request.headers.items():
            if key.lower() not in HOP_BY_HOP and not key.lower().startswith("impersonate-"):
                headers.add(key, value)
        headers["X-Forwarded-Uri"] = request.raw_path.partition("?")[0]
        body = chunks(request) if request.body_exists else None
        if body is not None and request.content_length is not None:
            # Else it would come in chunks, which not every server understands.
            headers["Content-Length"] = str(request.content_length)
        try:
            async with self._session.request(
                request.method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                skip_auto_headers=ADDED,
            ) as answer:
                return await relay(request, answer, authority, prefix)
        except (ClientError, TimeoutError, OSError) as err:
            if isinstance(err, ConnectionError) and request.transport is None:
                raise
            raise errors.service_unavailable(
                f"error trying to reach service: {err or type(err).__name__}"
            ) from err


async def chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The body of a request as it comes."""
    async for chunk in request.content.iter_chunked(_CHUNK):
        yield chunk


async def relay(
    request: web.BaseRequest, answer: Any, authority: str = "", prefix: str = ""
) -> web.StreamResponse:
    """Another server's answer as the answer of this one, as it comes; with a `prefix`, links lead through the proxy."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    plain = not answer.headers.get("Content-Encoding")
    page = HtmlLinks(authority, prefix) if prefix and plain and answer.content_type == "text/html" else None
    for key, value in answer.headers.items():
        name = key.lower()
        if name == "location" and prefix:
            value = link(value, authority, prefix)
        if name not in HOP_BY_HOP or (name == "content-length" and page is None):
            response.headers.add(key, value)
    if answer.content_length is None or page is not None:
        response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_chunked(_CHUNK):
            await response.write(chunk if page is None else page.feed(chunk))
        if page is not None:
            await response.write(page.end())
        await response.write_eof()
    except (ClientError, OSError, asyncio.IncompleteReadError):
        # The answer has begun: cutting it short is all that can still be said.
        response.force_close()
        if request.transport is not None:
            request.transport.close()
    return response


def _split(request: web.BaseRequest, info: RequestInfo) -> tuple[str, str, str]:
    """The raw request line up to `/proxy`, what follows, and the query with its question mark."""
    path, mark, query = request.raw_path.partition("?")
    before, plural, rest = path.partition(f"/{info.plural}/")
    name, proxy, rest = rest.partition("/proxy")
    return before + plural + name + proxy, rest, mark + query


def _first_port(pod: Object) -> str:
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            return str(port["containerPort"])
    return ""


def endpoint_of(service: Object, slices: list[Object], port: str) -> tuple[str, str]:
    """(address, port) of a ready endpoint for a service's port, by name or number. Raises 503 and 400."""
    declared = (service.get("spec") or {}).get("ports") or []
    chosen = next((p for p in declared if port in (p.get("name"), str(p.get("port")))), None)
    if chosen is None and not port and len(declared) == 1:
        chosen = declared[0]
    if chosen is None and not port:
        chosen = next((p for p in declared if not p.get("name")), None)
    name = service["metadata"]["name"]
    if chosen is None:
        raise errors.service_unavailable(f'no service port "{port}" found for service "{name}"')
    for one in slices:
        ports = [p for p in one.get("ports") or () if (p.get("name") or "") == (chosen.get("name") or "")]
        ready = [e for e in one.get("endpoints") or () if (e.get("conditions") or {}).get("ready", True)]
        if ports and ready and ready[0].get("addresses"):
            return str(ready[0]["addresses"][0]), str(ports[0].get("port", ""))
    raise errors.service_unavailable(f'no endpoints available for service "{name}"')
