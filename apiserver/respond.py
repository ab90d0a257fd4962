"""Making HTTP responses: objects, lists, Status, in the representation the client asked for."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from apimachinery.errors import StatusError
from apiserver.entry import Entry
from apiserver.negotiation import JSON, PLAIN, Media
from apiserver.view import View

Object = dict[str, Any]

#: Responses larger than this are compressed where the client accepts gzip.
GZIP_BYTES = 128 << 10
#: Large lists are joined and sent in pieces of this size.
_PIECE_BYTES = 256 << 10
_LIST_END = b"]}"
_CACHE = "no-cache, private"


def raw(body: bytes, status: int = 200, content_type: str = JSON) -> web.Response:
    return web.Response(
        body=body, status=status, headers={"Content-Type": content_type, "Cache-Control": _CACHE}
    )


def text(body: str, status: int = 200) -> web.Response:
    return web.Response(
        text=body,
        status=status,
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "Cache-Control": _CACHE,
            "X-Content-Type-Options": "nosniff",
        },
    )


def encode(obj: Any, media: Media) -> bytes:
    """An object as JSON, or as YAML where that was asked for."""
    if not media.yaml:
        return orjson.dumps(obj)
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return bytes(yaml.dump(obj, Dumper=dumper, encoding="utf-8", sort_keys=True, default_flow_style=False))


def plain_object(obj: Any, media: Media = PLAIN, status: int = 200) -> web.Response:
    """An object that has no other representation (Status, discovery, reviews)."""
    return raw(encode(obj, media), status, media.content_type)


def error(problem: StatusError, media: Media = PLAIN) -> web.Response:
    response = plain_object(problem.to_status(), media, problem.code)
    for key, value in problem.headers.items():
        response.headers[key] = value
    return response


def result(view: View, value: Entry | Object, media: Media, status: int = 200) -> web.Response:
    """What a verb on one object answers: the stored bytes, or another representation of it."""
    if media is PLAIN or media == PLAIN:
        if isinstance(value, Entry) and view.identity:
            return raw(value.data, status)
        return raw(orjson.dumps(view.shown(value)), status)
    obj = view.shown(value)
    if media.kind and obj.get("kind") != "Status":
        if media.kind == "Table":
            obj = view.table([obj], media.version, revision=obj["metadata"].get("resourceVersion", ""))
        else:
            obj = partial(obj, media.version)
    return plain_object(obj, media, status)


def partial(obj: Object, version: str) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }


class ListResponse(web.StreamResponse):
    """A plain list: the stored bytes of its entries, joined a piece at a time as the connection takes them."""

    def __init__(self, head: bytes, entries: Sequence[Entry]) -> None:
        super().__init__(headers={"Content-Type": JSON, "Cache-Control": _CACHE})
        self._head = head
        self._entries = entries
        size = len(head) + len(_LIST_END) + sum([len(entry.data) for entry in entries])
        self.content_length = size + max(0, len(entries) - 1)

    @property
    def body(self) -> bytes:
        """All of it at once."""
        return _joined(self._head, self._entries)

    async def write_eof(self, data: bytes = b"") -> None:
        """Called by the connection once the headers are out."""
        if self._must_be_empty_body:
            return await super().write_eof()
        entries = self._entries
        count = len(entries)
        before = self._head
        pieces: list[bytes] = []
        size = 0
        for at, entry in enumerate(entries, 1):
            pieces.append(entry.data)
            size += len(entry.data)
            if size >= _PIECE_BYTES and at < count:
                await self.write(before + b",".join(pieces) + b",")
                before, size = b"", 0
                pieces.clear()
        return await super().write_eof(before + b",".join(pieces) + _LIST_END)


def _list_head(view: View, revision: int, continue_token: str = "", remaining: int | None = None) -> bytes:
    """How a plain list begins, up to its items."""
    head = orjson.dumps(
        {
            "kind": view.resource.list_kind,
            "apiVersion": view.resource.api_version,
            "metadata": _list_metadata(revision, continue_token, remaining),
        }
    )
    return head[:-1] + b',"items":['


def _list_metadata(revision: int, continue_token: str, remaining: int | None) -> Object:
    metadata: Object = {"resourceVersion": str(revision)}
    if continue_token:
        metadata["continue"] = continue_token
        if remaining:
            metadata["remainingItemCount"] = remaining
    return metadata


def _joined(head: bytes, entries: Sequence[Entry]) -> bytes:
    return b"%s%s%s" % (head, b",".join([entry.data for entry in entries]), _LIST_END)


async def listing(
    view: View,
    entries: Sequence[Entry | Object],
    media: Media,
    accept_encoding: str,
    *,
    revision: int,
    continue_token: str = "",
    remaining: int | None = None,
    include: str = "Metadata",
) -> web.StreamResponse:
    """The answer to a list; large ones are gzipped where the client accepts it, else sent in pieces."""
    if media == PLAIN and view.identity and "gzip" not in accept_encoding:
        response = ListResponse(_list_head(view, revision, continue_token, remaining), entries)  # type: ignore[arg-type]
        if (response.content_length or 0) > _PIECE_BYTES:
            return response
    body = list_body(
        view,
        entries,
        media,
        revision=revision,
        continue_token=continue_token,
        remaining=remaining,
        include=include,
    )
    return await compressed(raw(body, 200, media.content_type), accept_encoding)


def list_body(
    view: View,
    entries: Sequence[Entry | Object],
    media: Media,
    *,
    revision: int,
    continue_token: str = "",
    remaining: int | None = None,
    include: str = "Metadata",
) -> bytes:
    """A list: for the plain representation a join of the objects' bytes."""
    if media == PLAIN and view.identity:
        return _joined(_list_head(view, revision, continue_token, remaining), entries)  # type: ignore[arg-type]
    metadata = _list_metadata(revision, continue_token, remaining)
    objects = [view.shown(entry) for entry in entries]
    body: Object
    if media.kind == "Table":
        body = view.table(objects, media.version, revision=str(revision), include=include)
        body["metadata"] = metadata
    elif media.kind:
        body = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{media.version}",
            "metadata": metadata,
            "items": [partial(obj, media.version) for obj in objects],
        }
    else:
        body = {
            "kind": view.resource.list_kind,
            "apiVersion": view.resource.api_version,
            "metadata": metadata,
            "items": objects,
        }
    return encode(body, media)


async def compressed(response: web.Response, accept_encoding: str) -> web.Response:
    """The response, gzipped in a thread where it is large and the client accepts it."""
    body = response.body
    if isinstance(body, bytes) and len(body) > GZIP_BYTES and "gzip" in accept_encoding:
        response.body = await asyncio.to_thread(_gzip, body)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    return response


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    return compressor.compress(body) + compressor.flush()


def warnings(response: web.StreamResponse, texts: Sequence[str]) -> None:
    """Add `Warning: 299 - "..."` headers."""
    for message in dict.fromkeys(texts):
        quoted = message.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")
        response.headers.add("Warning", f'299 - "{quoted}"')
