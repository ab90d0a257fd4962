"""Distribution of one resource's changes to its watchers: plain loops, each event encoded once.

A watcher is in exactly one bucket, the narrowest that what it watches allows (one object, one value of a field,
one namespace, all), so that a change is offered only to those it may concern. A watcher that does not keep up
is closed, never waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import orjson

from apiserver.entry import Entry
from apiserver.window import ADDED, DELETED, MODIFIED, Change

logger = logging.getLogger(__name__)

BOOKMARK = "BOOKMARK"
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

Predicate = Callable[[dict[str, str], dict[str, str]], bool]
"""(labels, selectable fields) -> whether the watcher wants the object."""

Encoder = Callable[[str, Entry], bytes]
"""(event type, object) -> one whole line. Watchers that share an encoder share what it makes of an event."""

Send = Callable[[bytes], bool]
"""Take one or more lines now (True), or have them kept until `Watcher.flush()` (False)."""

MAX_QUEUED_LINES = 4096
MAX_QUEUED_BYTES = 32 << 20
_CHUNK_BYTES = 128 << 10


def plain(type: str, entry: Entry) -> bytes:
    """The event as a line of JSON with the object in its stored version."""
    return b'{"type":"%s","object":%s}\n' % (type.encode(), entry.data)


class Watcher(AsyncIterator[bytes]):
    """One watch. Iterate to get chunks of one or more whole lines, until it is closed.

    With a `send` sink, lines go straight to it as they happen, without a task switch, once `flush()` was called
    for the first time; `flush()` again after `send` had answered False. `closed` tells why a watcher ended
    ("" while open).
    """

    __slots__ = (
        "_after",
        "_backlog",
        "_encoder",
        "_fanout",
        "_predicate",
        "_queue",
        "_queued_bytes",
        "_ready",
        "_send",
        "_unsent",
        "_waiter",
        "bookmarks",
        "bucket",
        "closed",
        "name",
        "namespace",
        "sent_revision",
    )

    def __init__(
        self,
        fanout: Fanout,
        *,
        after: int,
        namespace: str,
        name: str,
        predicate: Predicate | None,
        encoder: Encoder,
        bookmarks: bool,
        send: Send | None,
    ) -> None:
        self._fanout = fanout
        self._after = after
        self.namespace = namespace
        self.name = name
        self._predicate = predicate
        self._encoder = encoder
        self.bookmarks = bookmarks
        self._send = send
        self._ready = False
        self._backlog: Iterator[bytes] | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._unsent = b""
        self._waiter: asyncio.Future[None] | None = None
        self.bucket: Any = None
        self.closed = ""
        self.sent_revision = after

    # What of a change this watcher is to see.

    def seen(self, change: Change) -> tuple[str, Entry] | None:
        """The event `change` is to this watcher: a change of the selector's answer is ADDED or DELETED."""
        entry = change.entry
        if (self.namespace and entry.namespace != self.namespace) or (self.name and entry.name != self.name):
            return None
        predicate = self._predicate
        if predicate is None or change.type == ADDED:
            if predicate is None or predicate(entry.labels, entry.fields):
                return change.type, entry
            return None
        prev = change.prev
        before = prev is not None and predicate(prev.labels, prev.fields)
        if change.type == DELETED:
            return (DELETED, entry) if before else None
        now = predicate(entry.labels, entry.fields)
        if now:
            return (MODIFIED if before else ADDED), entry
        return (DELETED, change.left()) if before else None

    def wants(self, entry: Entry) -> bool:
        """Whether the watcher's initial state includes `entry`."""
        if (self.namespace and entry.namespace != self.namespace) or (self.name and entry.name != self.name):
            return False
        return self._predicate is None or self._predicate(entry.labels, entry.fields)

    # Filling: called by Fanout.

    def start(self, entries: Sequence[Entry] | None, changes: Sequence[Change], end: Entry | None) -> None:
        """Begin with `entries` as ADDED, then `changes`, then the bookmark `end`; made line by line on demand."""
        if not entries and not changes and end is None:
            return

        def lines() -> Iterator[bytes]:
            for entry in entries or ():
                if self.wants(entry):
                    yield self._encoder(ADDED, entry)
            for change in changes:
                event = self.seen(change)
                if event is not None:
                    yield self._encoder(*event)
            if end is not None:
                yield self._encoder(BOOKMARK, end)

        self._backlog = lines()

    def offer(self, change: Change, encoded: dict[tuple[Encoder, str], bytes]) -> None:
        """Push the event `change` is to this watcher. `encoded` shares the change's lines between watchers."""
        if change.revision <= self._after:
            return
        event: tuple[str, Entry] | None
        if self._predicate is None:
            # The bucket has seen to namespace and name.
            event = (change.type, change.entry)
        else:
            event = self.seen(change)
            if event is None:
                return
        # An event's type tells which of the two objects (before, after) it shows, except for the two kinds of
        # DELETED, and one change has only one of those.
        place = (self._encoder, event[0])
        line = encoded.get(place)
        if line is None:
            line = encoded[place] = self._encoder(*event)
        self.sent_revision = change.revision
        self.push(line)

    def push(self, line: bytes) -> None:
        if not (self._ready and self._send is not None and not self._queue and self._send(line)):
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        """Queue what the sink does not take."""
        self._ready = False
        self._queue.append(line)
        self._queued_bytes += len(line)
        if len(self._queue) > MAX_QUEUED_LINES or self._queued_bytes > MAX_QUEUED_BYTES:
            self.close("too slow")
        elif self._waiter is not None:
            self._wake()

    def bookmark(self) -> None:
        """Send a bookmark of the present revision, unless the watch is not yet there."""
        revision = self._fanout.revision()
        if not self.closed and revision >= self._after:
            self.sent_revision = revision
            self.push(self._encoder(BOOKMARK, self._fanout.bookmark(revision)))

    # Emptying: called by the transport.

    def _chunk(self) -> bytes:
        """The next lines, some _CHUNK_BYTES of them; empty if there are none now."""
        lines: list[bytes] = []
        size = 0
        if self._backlog is not None:
            for line in self._backlog:
                lines.append(line)
                size += len(line)
                if size >= _CHUNK_BYTES:
                    return b"".join(lines)
            self._backlog = None
        queue = self._queue
        while queue and size < _CHUNK_BYTES:
            line = queue.popleft()
            lines.append(line)
            size += len(line)
            self._queued_bytes -= len(line)
        return lines[0] if len(lines) == 1 else b"".join(lines)

    def flush(self) -> bool:
        """For a `send` sink: send what is waiting, and from now on at once. False: the sink is full again."""
        assert self._send is not None
        self._ready = False
        while chunk := self._unsent or self._chunk():
            self._unsent = b""
            if not self._send(chunk):
                self._unsent = chunk
                return False
        self._ready = True
        return True

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> bytes:
        while True:
            chunk = self._chunk()
            if chunk:
                return chunk
            if self.closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def close(self, why: str = "closed") -> None:
        """End the watch. What is queued is dropped if it was too slow. Harmless if it has ended already."""
        if self.closed:
            return
        self.closed = why
        self._backlog = None
        self._queue.clear()
        self._queued_bytes = 0
        self._unsent = b""
        self._ready = False
        self._fanout.remove(self)
        if self._waiter is not None:
            self._wake()
        if self._send is not None:
            self._send(b"")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Fanout:
    """The watchers of one resource. `revision` tells the cache's present revision.

    `api_version` and `kind` are those of the stored version; they are in bookmarks.
    """

    def __init__(self, api_version: str, kind: str, revision: Callable[[], int]) -> None:
        self._kind = {"kind": kind, "apiVersion": api_version}
        self.revision = revision
        # Keys: () all; (namespace,); (namespace, name); ("", field path, value).
        self._buckets: dict[tuple[str, ...], dict[Watcher, None]] = {}
        self._indexed: dict[str, int] = {}

    def names(self, api_version: str, kind: str) -> None:
        """What bookmarks say from now on."""
        self._kind = {"kind": kind, "apiVersion": api_version}

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(
        self,
        *,
        after: int,
        namespace: str = "",
        name: str = "",
        predicate: Predicate | None = None,
        exact: tuple[str, str] | None = None,
        encoder: Encoder = plain,
        bookmarks: bool = False,
        send: Send | None = None,
    ) -> Watcher:
        """A watcher of changes after revision `after`.

        `exact` is a (field path, value) that `predicate` is known to ask for, such as a node's
        `spec.nodeName`: only changes to and from that value are then offered to it.
        """
        watcher = Watcher(
            self,
            after=after,
            namespace=namespace,
            name=name,
            predicate=predicate,
            encoder=encoder,
            bookmarks=bookmarks,
            send=send,
        )
        if name:
            watcher.bucket = (namespace, name)
        elif exact is not None and predicate is not None:
            watcher.bucket = ("", *exact)
            self._indexed[exact[0]] = self._indexed.get(exact[0], 0) + 1
        elif namespace:
            watcher.bucket = (namespace,)
        else:
            watcher.bucket = ()
        self._buckets.setdefault(watcher.bucket, {})[watcher] = None
        return watcher

    def remove(self, watcher: Watcher) -> None:
        bucket = self._buckets.get(watcher.bucket)
        if bucket is None or watcher not in bucket:
            return
        del bucket[watcher]
        if not bucket:
            del self._buckets[watcher.bucket]
        if len(watcher.bucket) == 3:
            path = watcher.bucket[1]
            self._indexed[path] -= 1
            if not self._indexed[path]:
                del self._indexed[path]

    def dispatch(self, change: Change) -> None:
        """Offer a change to every watcher it may concern."""
        buckets = self._buckets
        if not buckets:
            return
        entry, prev = change.entry, change.prev
        keys: list[tuple[str, ...]] = [(), (entry.namespace, entry.name)]
        if entry.namespace:
            keys += [(entry.namespace,), ("", entry.name)]
        for path in self._indexed:
            now = entry.fields.get(path, "")
            keys.append(("", path, now))
            before = prev.fields.get(path, "") if prev is not None else now
            if before != now:
                keys.append(("", path, before))
        encoded: dict[tuple[Encoder, str], bytes] = {}
        for key in keys:
            bucket = buckets.get(key)
            if bucket:
                for watcher in list(bucket):
                    try:
                        watcher.offer(change, encoded)
                    except Exception:
                        logger.exception("watch: an event could not be encoded, the watch ends: %r", change)
                        watcher.close("event could not be encoded")

    def bookmark(self, revision: int, *, initial_events_end: bool = False) -> Entry:
        """The object of a bookmark: nothing but its kind and the resourceVersion."""
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_events_end:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        data = orjson.dumps({"metadata": metadata, **self._kind})
        return Entry("", "", "", revision, data, {}, {})

    def send_bookmarks(self) -> None:
        """Tell every watcher that asked for bookmarks how far it has come, where that is news."""
        revision = self.revision()
        for bucket in list(self._buckets.values()):
            for watcher in list(bucket):
                if watcher.bookmarks and watcher.sent_revision < revision:
                    watcher.bookmark()

    def close(self, why: str) -> None:
        """End all watches."""
        for bucket in list(self._buckets.values()):
            for watcher in list(bucket):
                watcher.close(why)
