"""Watches of custom resources that a webhook converts: events are converted one after the other, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson

from apimachinery.errors import StatusError
from apiserver.entry import Entry, labels_of
from apiserver.fanout import Predicate, Watcher
from apiserver.negotiation import Media
from apiserver.respond import encode, partial
from apiserver.view import View

Object = dict[str, Any]


class Selected:
    """What a field selector of one version makes of the events of all objects.

    `known` are the objects that it takes at the start. Which it took last is kept, as only the converted object
    tells: memory grows with the number of objects selected.
    """

    def __init__(self, view: View, wanted: Predicate, known: Sequence[Entry]) -> None:
        self._wanted = wanted
        self._fields = view.fields
        self._taken = {(entry.namespace, entry.name) for entry in known}

    def event(self, kind: str, obj: Object) -> str:
        """The event as the watcher is to see it, empty for none; `obj` is converted."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        before = key in self._taken
        if kind != "DELETED" and self._wanted(labels_of(obj), self._fields(obj)):
            self._taken.add(key)
            return "MODIFIED" if before else "ADDED"
        self._taken.discard(key)
        return "DELETED" if before else ""


async def lines(
    watcher: Watcher, view: View, media: Media, include: str, selected: Selected | None = None
) -> AsyncIterator[bytes]:
    """The watcher's events (encoded plainly) as lines in the view's version and the wanted representation."""
    async for chunk in watcher:
        for line in chunk.splitlines():
            found = await _line(orjson.loads(line), view, media, include, selected)
            if found:
                yield found


async def _line(event: Object, view: View, media: Media, include: str, selected: Selected | None) -> bytes:
    obj = event["object"]
    kind = event["type"]
    bookmark = kind == "BOOKMARK"
    if bookmark:
        obj["apiVersion"], obj["kind"] = view.resource.api_version, view.resource.kind
    else:
        try:
            obj = (await view.fetched([obj]))[0]
        except StatusError as problem:
            return orjson.dumps({"type": "ERROR", "object": problem.to_status()}) + b"\n"
        if selected is not None:
            kind = selected.event(kind, obj)
            if not kind:
                return b""
    if media.kind == "Table":
        revision = obj["metadata"].get("resourceVersion", "")
        table = view.table([] if bookmark else [obj], media.version, revision=revision, include=include)
        obj = {**table, "metadata": obj["metadata"]} if bookmark else table
    elif media.kind:
        obj = partial(obj, media.version)
    line = {"type": kind, "object": obj}
    return b"---\n" + encode(line, media) if media.yaml else orjson.dumps(line) + b"\n"
