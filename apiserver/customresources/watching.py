"""Watches of custom resources that a webhook converts: events are converted one after the other, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

from apimachinery.errors import StatusError
from apiserver.fanout import Watcher
from apiserver.negotiation import Media
from apiserver.respond import encode, partial
from apiserver.view import View


async def lines(watcher: Watcher, view: View, media: Media, include: str) -> AsyncIterator[bytes]:
    """The watcher's events (encoded plainly) as lines in the view's version and the wanted representation."""
    async for chunk in watcher:
        for line in chunk.splitlines():
            event = orjson.loads(line)
            yield await _line(event, view, media, include)


async def _line(event: dict[str, Any], view: View, media: Media, include: str) -> bytes:
    obj = event["object"]
    bookmark = event["type"] == "BOOKMARK"
    if bookmark:
        obj["apiVersion"], obj["kind"] = view.resource.api_version, view.resource.kind
    else:
        try:
            obj = (await view.fetched([obj]))[0]
        except StatusError as problem:
            return orjson.dumps({"type": "ERROR", "object": problem.to_status()}) + b"\n"
    if media.kind == "Table":
        revision = obj["metadata"].get("resourceVersion", "")
        table = view.table([] if bookmark else [obj], media.version, revision=revision, include=include)
        obj = {**table, "metadata": obj["metadata"]} if bookmark else table
    elif media.kind:
        obj = partial(obj, media.version)
    line = {"type": event["type"], "object": obj}
    return b"---\n" + encode(line, media) if media.yaml else orjson.dumps(line) + b"\n"
