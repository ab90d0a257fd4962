"""One request on its way through the handlers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from apimachinery import decode, errors, schema
from apiserver import negotiation, options
from apiserver.connection import Connection
from apiserver.negotiation import Media
from apiserver.options import ListOptions, WriteOptions
from apiserver.registry.call import Call
from apiserver.request import User
from apiserver.requestinfo import RequestInfo
from apiserver.view import View

Object = dict[str, Any]

#: The largest request body, as Kubernetes has it.
MAX_BODY = 3 << 20


@dataclass(slots=True)
class Exchange:
    """The request, what it is about, who makes it, and the warnings its answer will carry."""

    request: web.BaseRequest
    info: RequestInfo
    user: User
    media: Media
    view: View
    warnings: list[str] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        connection = self.request.protocol
        assert isinstance(connection, Connection)
        return connection

    def query(self, key: str) -> str:
        values = self.info.query.get(key)
        return values[0] if values else ""

    async def body(self) -> bytes:
        return await read_body(self.request)

    async def object(self, node: schema.Schema, validation: str = "Warn") -> Object:
        """The body as an object of a schema. Raises 400, 413 or 415."""
        content = negotiation.body_format(self.request.headers.get("Content-Type", ""))
        obj, warnings = decode.decode(await self.body(), content, node, validation)
        self.warnings.extend(warnings)
        return obj

    def write_options(self, kind: str, *, apply: bool = False) -> WriteOptions:
        agent = self.request.headers.get("User-Agent", "")
        return options.write_options(self.info.query, kind, apply=apply, user_agent=agent)

    def list_options(self, *, watch: bool = False) -> ListOptions:
        return options.list_options(self.info.query, watch=watch)

    def call(self, chosen: WriteOptions) -> Call:
        return Call(self.user, chosen, self.warnings, self.view.resource.api_version)

    async def delete_options(self) -> options.DeleteOptions:
        """DeleteOptions from the body, which may be empty, or the query."""
        body = await self.body()
        parsed: Any = None
        if body.strip():
            content = negotiation.body_format(self.request.headers.get("Content-Type", ""))
            if content == "yaml":
                parsed, _ = decode.decode(body, content, _delete_options_schema(), "Ignore")
            else:
                try:
                    parsed = orjson.loads(body)
                except orjson.JSONDecodeError as error:
                    raise errors.bad_request(
                        f"couldn't get version/kind; json parse error: {error}"
                    ) from None
                if not isinstance(parsed, dict):
                    raise errors.bad_request("the body of the request is not DeleteOptions")
        return options.delete_options(self.info.query, parsed)


def _delete_options_schema() -> schema.Schema:
    node = schema.for_kind("v1", "DeleteOptions")
    assert node is not None
    return node


async def read_body(request: web.BaseRequest) -> bytes:
    """The whole body; one in protobuf as the JSON it stands for. Raises 413 where it is larger than MAX_BODY."""
    length = request.content_length
    if length is not None and length > MAX_BODY:
        raise errors.too_large(f"Request entity too large: limit is {MAX_BODY}")
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise errors.too_large(f"Request entity too large: limit is {MAX_BODY}") from None
    if body and negotiation.is_protobuf(request.headers.get("Content-Type", "")):
        from apimachinery import protobuf

        return orjson.dumps(protobuf.decode(body))
    return body
