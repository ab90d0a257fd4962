"""A local copy of a resource's objects, kept current by list and watch, that also shows our own writes at once."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from kubeclient.backoff import Backoff
from kubeclient.client import Client, Object

log = logging.getLogger(__name__)

Key = tuple[str, str]
Handler = Callable[[Any, Any], None]
IndexFunction = Callable[[Any], Iterable[Hashable]]

_STEADY = 5.0  # a watch that lived so many seconds ends for no bad reason


class Informer:
    """Objects of `resource` by (namespace, name) in `store`. Never change what it holds.

    With `view`, `store` holds `view(object)`, made once per change, and the object itself is dropped. Handlers are
    called as `fn(old, new)`, with None for what did not or does not exist; they must not block. A watch resumes
    where it broke off; if the server no longer has that place, everything is listed again and what vanished
    meanwhile is handed to handlers as deleted.

    `observe` and `forget` put the outcome of our own writes into the store before the watch brings it, so a loop
    never decides on a copy older than its own last action. That rests on resourceVersions of one resource being
    ordered numbers (KEP-5504).
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        view: Callable[[Object], Any] | None = None,
        *,
        backoff: Backoff | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.resource = resource
        self.store: dict[Key, Any] = {}
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._view = view
        self._backoff = backoff or Backoff(0.05, 5.0, random=random)
        self._random = random
        self._handlers: list[Handler] = []
        self._index_functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[Hashable, dict[Key, Any]]] = {}
        self._synced = asyncio.Event()
        self._following = False
        self._position = 0  # the store shows every change up to this resourceVersion
        self._ahead: dict[Key, int] = {}  # revisions of objects that `observe` put in before the watch did
        self._gone: dict[str, Key] = {}  # uids that `forget` took out before the watch did

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    @property
    def following(self) -> bool:
        """A watch is open: silence means that nothing changed, not that nobody could tell."""
        return self._following

    @property
    def position(self) -> int:
        """The resourceVersion the store is current to."""
        return self._position

    async def synced(self) -> None:
        """Waits for the first complete list, or to learn that the resource is not served: there is nothing then."""
        await self._synced.wait()

    async def synced_within(self, seconds: float) -> bool:
        """Waits so long for `synced`: lists of custom resources may fail for as long as their converter does."""
        try:
            async with asyncio.timeout(seconds):
                await self._synced.wait()
        except TimeoutError:
            return False
        return True

    def add_handler(self, handler: Handler) -> None:
        """What is in the store already is handed to it at once, as new."""
        self._handlers.append(handler)
        for value in self.store.values():
            handler(None, value)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Makes `by_index(name, value)` find the objects (or views) whose `function` yields that value."""
        if name in self._index_functions:
            return
        self._index_functions[name] = function
        index: dict[Hashable, dict[Key, Any]] = {}
        self._indexes[name] = index
        for key, value in self.store.items():
            for entry in function(value):
                index.setdefault(entry, {})[key] = value

    def by_index(self, name: str, value: Hashable) -> list[Any]:
        found = self._indexes[name].get(value)
        return list(found.values()) if found else []

    def get(self, namespace: str, name: str) -> Any | None:
        return self.store.get((namespace, name))

    def observe(self, obj: Object) -> None:
        """Takes in what the server answered to our create, update or patch, unless the watch was quicker."""
        metadata = obj["metadata"]
        revision = int(metadata.get("resourceVersion") or 0)
        key = (metadata.get("namespace", ""), metadata["name"])
        if revision <= self._position or self._ahead.get(key, 0) >= revision:
            return
        if metadata.get("uid") in self._gone:
            return
        self._ahead[key] = revision
        self._set(key, obj)

    def forget(self, namespace: str, name: str, uid: str) -> None:
        """Takes out what the server confirmed as gone. `uid` is the object's, so a namesake is not hit."""
        key = (namespace, name)
        if key in self.store and uid:
            self._gone[uid] = key
            self._drop(key)

    async def run(self) -> None:
        """Keeps the store current until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                if not self._position:
                    await self._relist()
                    self._backoff.reset()
                try:
                    await self._follow()
                finally:
                    self._following = False
                if loop.time() - started >= _STEADY:
                    self._backoff.reset()
                    continue
            except StatusError as error:
                if error.code == 410:
                    log.info("%s: the watch is too old, listing again", self.resource.qualified)
                    self._position = 0
                elif error.code == 404:
                    log.info("%s: not served", self.resource.qualified)
                    self._synced.set()
                else:
                    log.warning("%s: %s", self.resource.qualified, error)
            except (ConnectionError, TimeoutError) as error:
                log.debug("%s: %s", self.resource.qualified, error)
            if loop.time() - started >= _STEADY:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next())

    async def _relist(self) -> None:
        items, version = await self._client.list(
            self.resource, self._namespace, self._label_selector, self._field_selector
        )
        position = int(version or 0)
        listed: set[Key] = set()
        for item in items:
            metadata = item["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            listed.add(key)
            if self._ahead.get(key, 0) > position or metadata.get("uid") in self._gone:
                continue
            self._set(key, item)
        for key in [k for k in self.store if k not in listed and self._ahead.get(k, 0) <= position]:
            self._drop(key)
        self._ahead = {key: revision for key, revision in self._ahead.items() if revision > position}
        kept = {item["metadata"].get("uid") for item in items} if self._gone else set()
        self._gone = {uid: key for uid, key in self._gone.items() if uid in kept}
        self._position = position
        self._synced.set()

    async def _follow(self) -> None:
        async for kind, obj in self._client.watch(
            self.resource,
            self._namespace,
            self._label_selector,
            self._field_selector,
            str(self._position),
            bookmarks=True,
            timeout_seconds=300 + int(300 * self._random()),
            opened=self._opened,
        ):
            metadata = obj["metadata"]
            revision = int(metadata["resourceVersion"])
            if kind != "BOOKMARK":
                key = (metadata.get("namespace", ""), metadata["name"])
                self._apply(kind, key, metadata.get("uid", ""), revision, obj)
            self._position = revision

    def _opened(self) -> None:
        self._following = True

    def _apply(self, kind: str, key: Key, uid: str, revision: int, obj: Object) -> None:
        ahead = self._ahead.get(key, 0)
        if ahead:
            if revision < ahead:
                return
            del self._ahead[key]
            if revision == ahead and kind != "DELETED":
                return
        if kind == "DELETED":
            if self._gone.pop(uid, None) is None:
                self._drop(key, obj)
        elif uid not in self._gone:
            self._set(key, obj)

    def _set(self, key: Key, obj: Object) -> None:
        new = self._view(obj) if self._view is not None else obj
        old = self.store.get(key)
        self.store[key] = new
        for name, function in self._index_functions.items():
            self._reindex(name, key, function(old) if old is not None else (), function(new), new)
        for handler in self._handlers:
            handler(old, new)

    def _drop(self, key: Key, last: Object | None = None) -> None:
        """Handlers get the object's last state if the watch brought it, else the last one known."""
        old = self.store.pop(key, None)
        self._ahead.pop(key, None)
        if old is None:
            return
        for name, function in self._index_functions.items():
            self._reindex(name, key, function(old), (), None)
        if last is not None:
            old = self._view(last) if self._view is not None else last
        for handler in self._handlers:
            handler(old, None)

    def _reindex(
        self, name: str, key: Key, before: Iterable[Hashable], after: Iterable[Hashable], value: Any
    ) -> None:
        index = self._indexes[name]
        for entry in before:
            members = index.get(entry)
            if members is not None:
                members.pop(key, None)
                if not members:
                    del index[entry]
        for entry in after:
            index.setdefault(entry, {})[key] = value


def by_namespace(obj: Object) -> Iterable[str]:
    """Index function for plain objects: their namespace."""
    return (obj["metadata"].get("namespace", ""),)


def by_owner(obj: Object) -> Iterable[str]:
    """Index function for plain objects: the uids of all owners."""
    return [ref["uid"] for ref in obj["metadata"].get("ownerReferences") or ()]


def by_controller(obj: Object) -> Iterable[str]:
    """Index function for plain objects: the uid of the controlling owner."""
    return [ref["uid"] for ref in obj["metadata"].get("ownerReferences") or () if ref.get("controller")]
