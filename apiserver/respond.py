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
    metadata: Object = {"resourceVersion": str(revision)}
    if continue_token:
        metadata["continue"] = continue_token
        if remaining:
            metadata["remainingItemCount"] = remaining
    if media == PLAIN and view.identity:
        resource = view.resource
        head = orjson.dumps(
            {"kind": resource.list_kind, "apiVersion": resource.api_version, "metadata": metadata}
        )
        return b'%s,"items":[%s]}' % (head[:-1], b",".join([entry.data for entry in entries]))  # type: ignore[union-attr]
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
