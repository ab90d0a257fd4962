"""The caches of all resources, kept up to date by one watch on the store, so that all agree on one revision.

    store = SqliteStore(path)
    await store.start()
    cachers = Cachers(store)
    await cachers.start(list(resources.stored()), ttl={("", "events"): 3600})
    pods = cachers[resources.get("pods")]

StorageError (the engine cannot answer) passes through to the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from apimachinery.resources import Resource
from apiserver.cacher import Cacher, Shape
from apiserver.selectable import fields_of
from apiserver.storage.feed import Feed
from apiserver.storage.interface import Store


class Cachers:
    """All cachers of one store, kept up to date by one watch on it.

    `async with` is not needed: `start()`, then `close()`. The store is started and closed by the caller.
    """

    def __init__(self, store: Store, *, bookmark_seconds: float = 30.0) -> None:
        self._store = store
        self._feed = Feed(store)
        self._cachers: dict[tuple[str, str], Cacher] = {}
        self._bookmark_seconds = bookmark_seconds
        self._bookmarks: asyncio.Task[None] | None = None

    def __getitem__(self, resource: Resource) -> Cacher:
        """The cacher of the resource's storage location. KeyError if there is none."""
        return self._cachers[resource.storage]

    def __contains__(self, resource: Resource) -> bool:
        return resource.storage in self._cachers

    @property
    def revision(self) -> int:
        return self._feed.revision

    async def fresh(self) -> None:
        """As `Cacher.fresh`, for all resources at once."""
        await self._feed.fresh()

    async def start(
        self, resources: Sequence[Resource], *, ttl: Mapping[tuple[str, str], int] | None = None
    ) -> None:
        """Load `resources` (one per storage location) and follow the store. Raises StorageError.

        `ttl`: seconds that objects of a storage location live after their last write, such as {("", "events"): 3600}.
        """
        for resource in resources:
            self._make(resource, (ttl or {}).get(resource.storage, 0))
        await self._feed.start()
        self._bookmarks = asyncio.create_task(self._send_bookmarks())

    async def add(self, resource: Resource, shape: Shape | None = None) -> Cacher:
        """Serve one more storage location (a custom resource's), or serve it from now on in another shape.

        Watches of a location that is served already end. Raises StorageError; then nothing more is served.
        """
        cacher = self._cachers.get(resource.storage)
        made = cacher is None
        if cacher is None:
            cacher = self._make(resource, 0)
        cacher.show(resource, shape)
        try:
            await self._feed.load(resource.key_prefix)
        except BaseException:
            if made:
                self.remove(resource)
            raise
        return cacher

    def remove(self, resource: Resource) -> None:
        """Stop serving a storage location; its watches end."""
        cacher = self._cachers.pop(resource.storage, None)
        if cacher is not None:
            self._feed.unsubscribe(resource.key_prefix)
            cacher.close()

    async def close(self) -> None:
        if self._bookmarks is not None:
            self._bookmarks.cancel()
            await asyncio.gather(self._bookmarks, return_exceptions=True)
        for cacher in self._cachers.values():
            cacher.close()
        await self._feed.close()

    def _make(self, resource: Resource, ttl: int) -> Cacher:
        cacher = Cacher(self._feed, self._store, resource, fields_of(resource), ttl)
        self._cachers[resource.storage] = cacher
        self._feed.subscribe(resource.key_prefix, cacher)
        return cacher

    async def _send_bookmarks(self) -> None:
        while True:
            await asyncio.sleep(self._bookmark_seconds)
            for cacher in list(self._cachers.values()):
                cacher.send_bookmarks()
