"""Watches: an endless chunked response of one JSON object a line, written straight to the connection.

Lines come encoded from the fan-out, once for all watchers of a representation. A connection that is full is not
waited for: lines queue in the watcher, up to its bound, until the transport drains.
"""

from __future__ import annotations

import asyncio
import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from apimachinery import errors
from apimachinery.errors import StatusError
from apiserver import lists, selection
from apiserver.connection import Connection
from apiserver.entry import Entry
from apiserver.fanout import BOOKMARK, Encoder, Watcher, plain
from apiserver.negotiation import Media
from apiserver.options import ListOptions
from apiserver.respond import encode, partial
from apiserver.view import View

if TYPE_CHECKING:
    from apiserver.customresources.watching import Selected

#: A watch without timeoutSeconds ends after this many seconds, up to twice as many, so that clients spread out.
MINIMUM_SECONDS = 1800


@lru_cache(maxsize=1024)
def encoder(view: View, kind: str, version: str, yaml: bool, include: str = "Metadata") -> Encoder:
    """The one encoder of a representation. `kind` as in Media; bookmarks too are in the representation."""
    if not kind and not yaml and view.identity:
        return plain
    media = Media(yaml, kind, version)

    def encoded(event: str, entry: Entry) -> bytes:
        obj: Any = entry.object()
        if event == BOOKMARK:
            obj["apiVersion"], obj["kind"] = view.resource.api_version, view.resource.kind
        else:
            obj = view.shown(obj)
        if kind == "Table":
            objects = [] if event == BOOKMARK else [obj]
            revision = obj["metadata"].get("resourceVersion", "")
            table = view.table(objects, version, revision=revision, include=include)
            obj = {**table, "metadata": obj["metadata"]} if event == BOOKMARK else table
        elif kind:
            obj = partial(obj, version)
        line = {"type": event, "object": obj}
        return b"---\n" + encode(line, media) if yaml else orjson.dumps(line) + b"\n"

    return encoded


def error_line(problem: StatusError) -> bytes:
    return orjson.dumps({"type": "ERROR", "object": problem.to_status()}) + b"\n"


class _Sink:
    """Writes lines as HTTP chunks to the connection and says when it is full."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.wake = asyncio.Event()

    def __call__(self, lines: bytes) -> bool:
        if not lines:
            self.wake.set()
            return True
        connection = self.connection
        transport = connection.transport
        if transport is None or transport.is_closing():
            self.wake.set()
            return False
        if connection.full:
            return False
        transport.write(_chunk(lines))
        return True


_last = (b"", b"")


def _chunk(lines: bytes) -> bytes:
    """Lines as an HTTP chunk: made once for all the watchers that are sent the same bytes one after another."""
    global _last
    before, chunk = _last
    if before is not lines:
        chunk = b"%x\r\n%s\r\n" % (len(lines), lines)
        _last = (lines, chunk)
    return chunk


async def serve(
    request: web.BaseRequest,
    view: View,
    namespace: str,
    name: str,
    options: ListOptions,
    media: Media,
    include: str,
) -> web.StreamResponse:
    """Answer a watch until its time is over, the client leaves, or the watcher is dropped."""
    cacher = view.registry.cacher
    chosen = selection.parse(view.resource, options)
    if chosen.namespace and not namespace:
        namespace = chosen.namespace
    name = name or chosen.name
    predicate = chosen.predicate
    if chosen.nothing or (chosen.namespace and chosen.namespace != namespace):
        predicate = _never
    connection = request.protocol
    assert isinstance(connection, Connection)
    sink = _Sink(connection)
    expired: StatusError | None = None
    watcher: Watcher | None = None
    converted = view.remote and chosen.by_fields
    start = await _start(view, options)
    known = cacher.entries_at(start, namespace) or () if converted and start is not None else ()
    try:
        watcher = cacher.watch(
            start,
            namespace if view.resource.namespaced else "",
            name,
            None if converted and predicate is not _never else predicate,
            exact=None if converted else chosen.exact,
            encoder=plain if view.remote else encoder(view, media.kind, media.version, media.yaml, include),
            bookmarks=options.bookmarks,
            initial_events_end=bool(options.send_initial_events),
            send=None if view.remote else sink,
        )
    except StatusError as error:
        if error.code != 410:
            raise
        expired = error
    stream = web.StreamResponse(
        headers={"Content-Type": media.content_type, "Cache-Control": "no-cache, private"}
    )
    stream.enable_chunked_encoding()
    try:
        await stream.prepare(request)
        if watcher is None or expired is not None:
            # Clients look for the expiry in the stream, as an event, with HTTP status 200.
            await stream.write(error_line(expired or errors.expired("too old resource version")))
        elif view.remote:
            from apiserver.customresources.watching import Selected

            seen = None
            if converted and predicate is not None:
                seen = Selected(view, predicate, await view.matching(known, predicate))
            await _pump_converted(
                watcher, view, media, include, stream, connection, options.timeout_seconds, seen
            )
        else:
            await _pump(watcher, sink, connection, options.timeout_seconds)
        if connection.transport is not None:
            await stream.write_eof()
    finally:
        if watcher is not None:
            watcher.close()
    return stream


def _never(labels: dict[str, str], fields: dict[str, str]) -> bool:
    return False


async def _start(view: View, options: ListOptions) -> int | None:
    """The revision to start after; None for the present state first."""
    cacher = view.registry.cacher
    text = options.resource_version
    if options.send_initial_events:
        if text in ("", "0"):
            if not text:
                await cacher.fresh()
        else:
            await lists.at_least(cacher, lists.parse_revision(text))
        return None
    if text == "" and options.send_initial_events is None:
        await cacher.fresh()
        return None
    if text == "0" and options.send_initial_events is None:
        return None
    if text in ("", "0"):
        await cacher.fresh()
        return cacher.revision
    revision = lists.parse_revision(text)
    await lists.at_least(cacher, revision)
    return revision


async def _pump_converted(
    watcher: Watcher,
    view: View,
    media: Media,
    include: str,
    stream: web.StreamResponse,
    connection: Connection,
    seconds: int,
    selected: Selected | None,
) -> None:
    """As `_pump`, where somebody else has to convert what is sent."""
    from apiserver.customresources import watching

    def gone() -> None:
        if connection.transport is None:
            watcher.close()

    connection.on_change = gone
    try:
        async with asyncio.timeout(seconds or MINIMUM_SECONDS * (1 + random.random())):
            async for line in watching.lines(watcher, view, media, include, selected):
                await stream.write(line)
    except (TimeoutError, ConnectionError):
        return
    finally:
        connection.on_change = None


async def _pump(watcher: Watcher, sink: _Sink, connection: Connection, seconds: int) -> None:
    """Keep the watcher flowing until it ends, the client is gone or the time is over."""
    duration = seconds or MINIMUM_SECONDS * (1 + random.random())
    connection.on_change = sink.wake.set
    try:
        async with asyncio.timeout(duration):
            while not watcher.closed and connection.transport is not None:
                sink.wake.clear()
                if not connection.full:
                    watcher.flush()
                if watcher.closed or connection.transport is None:
                    return
                await sink.wake.wait()
    except TimeoutError:
        return
    finally:
        connection.on_change = None
