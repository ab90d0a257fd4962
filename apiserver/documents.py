"""What clients ask first: /api, /apis and /openapi, over HTTP with etags."""

from __future__ import annotations

import zlib
from typing import Any

from aiohttp import web

from apimachinery import errors
from apimachinery.resources import Resource
from apiserver import respond
from apiserver.discovery import Discovery
from apiserver.negotiation import Media
from apiserver.openapi import PROTOBUF_V2_ASKED, OpenAPI
from apiserver.request import User
from apiserver.requestinfo import RequestInfo

_GZIP_BYTES = 1024


class Documents:
    """The plain handlers for the first path segments `api`, `apis` and `openapi`.

    `update` replaces what is served, for instance when a custom resource is defined.
    """

    def __init__(self, resources: list[Resource], server_address: str = "") -> None:
        self._address = server_address
        self.update(resources)

    def update(
        self, resources: list[Resource], custom: dict[tuple[str, str], dict[str, Any]] | None = None
    ) -> None:
        self._discovery = Discovery(resources, self._address)
        self._openapi = OpenAPI(resources, dict(custom or {}), before=getattr(self, "_openapi", None))

    async def discovery(
        self, request: web.BaseRequest, info: RequestInfo, user: User, media: Media
    ) -> web.StreamResponse:
        """GET /api, /apis and what is below them that is no resource."""
        _only_reading(info)
        aggregated = self._discovery.aggregated(info.path, request.headers.get("Accept", ""))
        if aggregated is not None:
            headers = {"ETag": f'"{aggregated.etag}"', "Cache-Control": "public", "Vary": "Accept"}
            return _conditional(request, aggregated.body, aggregated.content_type, headers)
        answer = self._discovery.legacy(info.path)
        if answer is None:
            raise errors.path_not_found()
        return respond.plain_object(answer, media)

    async def openapi(
        self, request: web.BaseRequest, info: RequestInfo, user: User, media: Media
    ) -> web.StreamResponse:
        """GET /openapi/v2, /openapi/v3 and /openapi/v3/<group version>[?hash=]."""
        _only_reading(info)
        path = info.path.strip("/").removeprefix("openapi").strip("/")
        accept = request.headers.get("Accept", "")
        if path == "v3":
            return respond.plain_object(self._openapi.index())
        if path == "v2":
            protobuf = any(name in accept for name in PROTOBUF_V2_ASKED)
            found = self._openapi.v2_protobuf() if protobuf else self._openapi.v2()
        elif path.startswith("v3/"):
            document = self._openapi.v3(path[3:])
            if document is None:
                raise errors.path_not_found()
            found = document
            asked = info.query.get("hash", [""])[0]
            if asked and asked != found.etag:
                raise web.HTTPMovedPermanently(f"/openapi/{path}?hash={found.etag}")
        else:
            raise errors.path_not_found()
        headers = {"ETag": f'"{found.etag}"', "Vary": "Accept, Accept-Encoding"}
        if info.query.get("hash"):
            headers["Cache-Control"] = "public, immutable"
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return _conditional(request, found.compressed, found.content_type, headers)
        return _conditional(request, found.body, found.content_type, headers)


def _only_reading(info: RequestInfo) -> None:
    if info.method not in ("GET", "HEAD"):
        raise errors.StatusError(
            405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
        )


def _conditional(
    request: web.BaseRequest, body: bytes, content_type: str, headers: dict[str, str]
) -> web.Response:
    """The document, or 304 where the client has it already."""
    if headers["ETag"] in (part.strip() for part in request.headers.get("If-None-Match", "").split(",")):
        return web.Response(status=304, headers=headers)
    plain = "Content-Encoding" not in headers and len(body) > _GZIP_BYTES
    if plain and "gzip" in request.headers.get("Accept-Encoding", ""):
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        body = packer.compress(body) + packer.flush()
        headers = {**headers, "Content-Encoding": "gzip"}
    return web.Response(body=body, headers={**headers, "Content-Type": content_type})
