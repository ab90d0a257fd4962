"""One resource's cache between the API and the store: its objects in memory, with their wire bytes.

Reads come from memory; `fresh()` makes them linearizable. Writes are compare-and-swap transactions on the store and
return once the cache has seen them. `apiserver.cachers` keeps one for every resource and has them follow the store.

Nothing here knows of HTTP. StorageError (the engine cannot answer) passes through to the caller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple

import orjson

from apimachinery import errors
from apimachinery.resources import Resource
from apiserver.entry import Entry, Fields, encode, labels_of, normal, wire
from apiserver.fanout import Encoder, Fanout, Predicate, Send, Watcher, plain
from apiserver.ordered import Grouped, Ordered
from apiserver.selectable import fields_of
from apiserver.storage.feed import Feed
from apiserver.storage.interface import (
    Compare,
    Delete,
    Event,
    EventType,
    KeyValue,
    Put,
    Store,
    Target,
    TxnResult,
)
from apiserver.storage.leases import LeasePool
from apiserver.window import ADDED, DELETED, MODIFIED, Change, TooOld, Window

logger = logging.getLogger(__name__)

_PAGE = 2000
#: The field whose values are asked for all the time, of the kinds that have one: what is on a node.
_GROUPED = {("", "pods"): "spec.nodeName"}


Shape = Callable[[dict[str, Any]], bool]
"""Brings a stored object into its present shape, in place; says whether anything changed."""


class _Written(NamedTuple):
    """What is known of a value this process is writing, so that it need not be decoded when it comes back."""

    value: bytes
    labels: dict[str, str]
    fields: dict[str, str]


class Cacher:
    """The objects of one storage location. Made by `Cachers`, one for all API versions of a kind."""

    def __init__(self, feed: Feed, store: Store, resource: Resource, fields: Fields, ttl: int) -> None:
        self.resource = resource
        self._feed = feed
        self._store = store
        self._fields = fields
        self._leases = LeasePool(store, ttl) if ttl else None
        self._prefix = resource.key_prefix
        self._ordered = Ordered()
        self._grouped = Grouped(_GROUPED.get(resource.storage, ""))
        self._by_key: dict[str, Entry] = {}
        self._written: dict[str, _Written] = {}
        self._loaded = 0
        self._held: list[Sequence[Event]] | None = []
        self._window = Window(0)
        self._fanout = Fanout(resource.api_version, resource.kind, lambda: self.revision)
        self._shape: Shape | None = None
        #: Whether the next load reads the same objects in another shape, so that the changes held go on.
        self._reshaping = False
        #: Keys of the objects that `shape` changed as they were read: they are stored otherwise than they are shown.
        self.reshaped: set[str] = set()

    # Reading. All of it is synchronous and sees one revision.

    @property
    def revision(self) -> int:
        """The store's revision the cache is at: what a list's resourceVersion says."""
        return max(self._loaded, self._feed.revision)

    async def fresh(self) -> None:
        """Return once the cache has everything the store had when this was called. Raises StorageError."""
        await self._feed.fresh()

    def get(self, namespace: str, name: str) -> Entry | None:
        """One object; `namespace` is empty for cluster-scoped resources."""
        return self._by_key.get(self.resource.key(namespace, name))

    def entries(self, namespace: str = "") -> Sequence[Entry]:
        """All objects, or those of one namespace, in key order. A list of its own: it will not change."""
        if not namespace or not self.resource.namespaced:
            return self._ordered.all()
        return self._ordered.below(f"{self._prefix}{namespace}/")

    def having(self, path: str, value: str) -> Sequence[Entry]:
        """The objects whose selectable field has a value that is not empty, in no order."""
        if path == self._grouped.path:
            return self._grouped.of(value)
        return [entry for entry in self._by_key.values() if entry.fields.get(path) == value]

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self._by_key)

    def entries_at(self, revision: int, namespace: str = "") -> Sequence[Entry] | None:
        """The objects as they were at `revision`, told from recent changes; None if that is too long ago.

        For the further pages of a list. Where it answers None, `Store.range(revision=)` may still know.
        """
        if revision > self.revision:
            return None
        try:
            before = self._window.undo(revision)
        except TooOld:
            return None
        now = self.entries(namespace)
        if not before:
            return now
        kept = [entry for entry in now if entry.key not in before]
        prefix = f"{self._prefix}{namespace}/" if namespace and self.resource.namespaced else self._prefix
        kept += [e for e in before.values() if e is not None and e.key.startswith(prefix)]
        kept.sort(key=lambda entry: entry.key)
        return kept

    def watch(
        self,
        start_revision: int | None,
        namespace: str = "",
        name: str = "",
        predicate: Predicate | None = None,
        *,
        exact: tuple[str, str] | None = None,
        encoder: Encoder = plain,
        bookmarks: bool = False,
        initial_events_end: bool = False,
        send: Send | None = None,
    ) -> Watcher:
        """Changes after `start_revision`; with None, the present objects as ADDED first and then what follows.

        - resourceVersion "0": None. "" : None after `await fresh()`. N: N.
        - sendInitialEvents=true: None with `initial_events_end`, which ends the initial events with a bookmark
          annotated `k8s.io/initial-events-end`. (Wait for the asked resourceVersion first: `wait_for`.)
        - `exact`: a (selectable field, value) that `predicate` implies, so that other objects' changes need not be
          offered to it: a node's agent watching `spec.nodeName=n1` passes ("spec.nodeName", "n1").
        - `encoder`: another representation (tables, partial metadata, another API version); use one function
          object for all watchers of a representation, then each event is encoded once for all of them.
        - `send`: take lines without a task switch; see `Watcher`.

        Raises a 410 StatusError where the start is no longer in the ring. Close the watcher when done.
        """
        changes: Sequence[Change] = ()
        if start_revision is not None:
            try:
                changes = self._window.since(start_revision)
            except TooOld as error:
                raise errors.expired(str(error)) from None
        after = self.revision if start_revision is None else max(start_revision, self.revision)
        watcher = self._fanout.add(
            after=after,
            namespace=namespace,
            name=name,
            predicate=predicate,
            exact=exact,
            encoder=encoder,
            bookmarks=bookmarks,
            send=send,
        )
        entries = self.entries(namespace) if start_revision is None else None
        end = self._fanout.bookmark(self.revision, initial_events_end=True) if initial_events_end else None
        watcher.start(entries, changes, end)
        return watcher

    async def wait_for(self, revision: int) -> None:
        """Return once the cache is at `revision` or later. Bound the wait: that may never come."""
        await self._feed.wait(revision)

    @property
    def watchers(self) -> int:
        return len(self._fanout)

    # Writing.

    async def create(self, namespace: str, name: str, obj: Mapping[str, Any]) -> Entry:
        """Store a new object. Raises a 409 AlreadyExists StatusError, or StorageError."""
        entry = await self._put(namespace, name, obj, Target.CREATE_REVISION, 0)
        if entry is None:
            raise errors.already_exists(self.resource.plural, name, self.resource.group)
        return entry

    async def update(
        self, namespace: str, name: str, obj: Mapping[str, Any], expected_revision: int
    ) -> Entry | None:
        """Replace the object as it was at `expected_revision`; None if it has changed since.

        After None, `get` gives the newer state: retry from that, there is no need for `fresh`.
        An update that changes nothing is not written: it returns the object at its present revision.
        """
        return await self._put(namespace, name, obj, Target.MOD_REVISION, expected_revision)

    async def _put(
        self, namespace: str, name: str, obj: Mapping[str, Any], target: Target, expected: int
    ) -> Entry | None:
        key = self.resource.key(namespace, name)
        compare = Compare(key, target, expected)
        stored = encode(obj)
        current = self._by_key.get(key)
        if (
            current is not None
            and current.revision == expected
            and key not in self.reshaped
            and current.holds(stored)
        ):
            unchanged = await self._store.txn([compare], [])
            await self._feed.wait(unchanged.revision)
            return current if unchanged.succeeded else None
        written = _Written(stored, labels_of(obj), self._fields(obj))
        self._written[key] = written
        try:
            lease = await self._leases.lease() if self._leases is not None else 0
            result = await self._store.txn([compare], [Put(key, stored, lease)])
            self._wrote(result, EventType.PUT, key, stored)
            # Also a writer who lost waits, so that what it reads next is what it lost against.
            await self._feed.wait(result.revision)
            if not result.succeeded:
                return None
        finally:
            if self._written.get(key) is written:
                del self._written[key]
        entry = self._by_key.get(key)
        if entry is not None and entry.revision == result.revision:
            return entry
        data = wire(stored, result.revision)
        return Entry(key, namespace, name, result.revision, data, written.labels, written.fields)

    async def delete(self, namespace: str, name: str, expected_revision: int) -> Entry | None:
        """Delete the object as it was at `expected_revision`; None if it has changed since or is not there.

        Returns the last object with the deletion's resourceVersion.
        """
        if not expected_revision:
            return None
        key = self.resource.key(namespace, name)
        current = self._by_key.get(key)
        result = await self._store.txn([Compare(key, Target.MOD_REVISION, expected_revision)], [Delete(key)])
        self._wrote(result, EventType.DELETE, key, b"")
        await self._feed.wait(result.revision)
        if not result.succeeded:
            return None
        change = self._window.find(result.revision, key)
        if change is not None:
            return change.entry
        return current.at(result.revision) if current is not None else None

    def _wrote(self, result: TxnResult, type: EventType, key: str, value: bytes) -> None:
        """Take in a write of ours at once; the embedded store has told its watches before it answers."""
        if result.succeeded and result.exact and not self._store.exclusive:
            revision = result.revision
            self._feed.wrote(revision, [Event(type, KeyValue(key, value, 0, revision, 0))])

    # Following the store: called by Cachers and the feed.

    async def load(self, revision: int) -> None:
        """Read all objects as of `revision` (0: now), then apply what the feed brought meanwhile."""
        self._held = []
        kvs: list[KeyValue] = []
        start = ""
        while True:
            page = await self._store.range(self._prefix, start=start, limit=_PAGE, revision=revision)
            revision = revision or page.revision
            kvs += page.kvs
            if not page.more:
                break
            start = page.kvs[-1].key + "\0"
        window = Window(revision)
        if self._reshaping:
            self._reshaping = False
            window = self._reshaped_window(revision)
        self._fanout.close("cache reloaded")
        self.reshaped.clear()
        entries = [entry for kv in kvs if (entry := self.entry_of(kv)) is not None]
        self._ordered = Ordered(entries)
        self._grouped = Grouped(self._grouped.path, entries)
        self._by_key = {entry.key: entry for entry in entries}
        self._loaded = revision
        self._window = window
        held, self._held = self._held, None
        for events in held:
            self.apply(events)

    def _reshaped_window(self, revision: int) -> Window:
        """The changes up to `revision`, those held too, with their objects in the present shape."""
        for events in self._held or ():
            for event in events:
                if self._loaded < event.kv.mod_revision <= revision:
                    self._apply(event)
        known: dict[Entry, Entry] = {}

        def again(entry: Entry) -> Entry:
            if entry not in known:
                obj = entry.object()
                if self._shape is not None:
                    self._shape(obj)
                known[entry] = entry.holding(obj, self._fields(obj))
            return known[entry]

        return self._window.changed(again)

    def apply(self, events: Sequence[Event]) -> None:
        """Take in changes, in revision order, and tell the watchers."""
        if self._held is not None:
            self._held.append(events)
            return
        for event in events:
            if event.kv.mod_revision > self._loaded:
                self._apply(event)

    def _apply(self, event: Event) -> None:
        key = event.kv.key
        prev = self._by_key.get(key)
        if event.type is EventType.DELETE:
            if prev is None:
                return
            del self._by_key[key]
            self.reshaped.discard(key)
            self._ordered.remove(key)
            self._grouped.remove(prev)
            change = Change(DELETED, prev.at(event.kv.mod_revision), prev)
        else:
            entry = self.entry_of(event.kv)
            if entry is None:
                return
            self._ordered.put(entry)
            self._grouped.put(prev, entry)
            change = Change(ADDED if prev is None else MODIFIED, entry, prev)
            self._by_key[key] = entry
        self._window.append(change)
        self._fanout.dispatch(change)

    def entry_of(self, kv: KeyValue, *, present: bool = True) -> Entry | None:
        """The entry of a stored object (`present`: as it is now); None (and a word in the log) if it is not one."""
        value = kv.value
        written = self._written.get(kv.key)
        if written is not None and written.value == value:
            labels, fields = written.labels, written.fields
            self.reshaped.discard(kv.key)
        else:
            try:
                obj = orjson.loads(value)
                if self._shape is not None and self._shape(obj):
                    value = encode(obj)
                    if present:
                        self.reshaped.add(kv.key)
                elif present:
                    self.reshaped.discard(kv.key)
                labels, fields = labels_of(obj), self._fields(obj)
                value = normal(value, obj)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                logger.error("storage: %s is not an object and is left out: %r", kv.key, error)
                return None
        namespace, _, name = kv.key[len(self._prefix) :].rpartition("/")
        data = wire(value, kv.mod_revision)
        return Entry(kv.key, intern(namespace), name, kv.mod_revision, data, labels, fields)

    def show(self, resource: Resource, shape: Shape | None) -> None:
        """From the next load on, objects are `resource`'s, in `shape`: for custom resources, whose schemas change."""
        self._reshaping = self._loaded > 0 and self._held is None
        self.resource = resource
        self._fields = fields_of(resource)
        self._shape = shape
        self._fanout.names(resource.api_version, resource.kind)

    def lost(self) -> None:
        """The feed has missed changes: hold what comes until `load()` has read everything anew.

        Watches end, since what they missed is not known; their clients come back and list.
        """
        self._held = []
        self._reshaping = False
        self._fanout.close("cache reloaded")

    def send_bookmarks(self) -> None:
        self._fanout.send_bookmarks()

    def close(self) -> None:
        """End all watches."""
        self._fanout.close("server is shutting down")
