"""One watch on the store for the whole API server: every change under `/registry/`, handed out by key prefix.

Since all of the API server's writes are under that prefix, following it shows every revision there is, so
"caught up with revision R" needs no help from the engine. (etcd's own progress answers cannot be trusted before
3.4.25: etcd issue 15220.)
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Sequence
from itertools import count
from typing import Protocol

from apiserver.storage.interface import CompactedError, Event, Put, StorageError, Store

logger = logging.getLogger(__name__)

PREFIX = "/registry/"
SYNC_KEY = "/registry/.pybernetes/sync"

_HISTORY = 1000  # revisions before the present one that are replayed at the start, for watches to resume from
_PARALLEL_LOADS = 8
_NUDGE_SECONDS = 0.1
_PATIENCE_SECONDS = 10.0
_RETRY_SECONDS = 1.0


class Subscriber(Protocol):
    """What the feed keeps up to date: the cache of one key prefix."""

    async def load(self, revision: int) -> None:
        """Read everything as of `revision` (0: now). Events applied meanwhile are kept for after it."""

    def apply(self, events: Sequence[Event]) -> None:
        """Events of the subscriber's prefix, in revision order."""

    def lost(self) -> None:
        """Events have been missed; `load` follows."""


class Feed:
    """`revision`: all changes up to it have been applied to every subscriber."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.revision = 0
        self._subscribers: dict[str, Subscriber] = {}
        self._early: dict[int, Sequence[Event]] = {}
        self._reloading = False
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sequence = count()
        self._next_fresh: asyncio.Future[None] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._freshener: asyncio.Task[None] | None = None

    def subscribe(self, prefix: str, subscriber: Subscriber) -> None:
        """`prefix` is `/registry/<group>/<resource>/`."""
        self._subscribers[prefix] = subscriber

    def unsubscribe(self, prefix: str) -> None:
        self._subscribers.pop(prefix, None)

    async def start(self) -> None:
        """Load every subscriber, follow the store, and return once up to date. Raises StorageError.

        The load is of a slightly older revision where the store still has it, so that the changes since fill the
        windows and clients' watches survive a restart of the API server.
        """
        present = await self._store.current_revision()
        try:
            await self._load_all(max(1, present - _HISTORY))
        except CompactedError as error:
            await self._load_all(error.compacted)
        self._follower = asyncio.create_task(self._follow())
        await self._reach(present)

    async def load(self, prefix: str) -> None:
        """Load one subscriber while the feed runs, and return once the feed is as far as the load."""
        await self._subscribers[prefix].load(0)
        await self._reach(await self._store.current_revision())

    async def close(self) -> None:
        for task in (self._follower, self._freshener):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        for _, _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(StorageError("the store is closed"))
        self._waiters.clear()

    async def wait(self, revision: int) -> None:
        """Return once all changes up to `revision` are applied. Raises StorageError after 10 seconds."""
        if revision <= self.revision:
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (revision, next(self._sequence), waiter))
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await waiter
        except TimeoutError:
            raise StorageError(f"the watch cache did not reach revision {revision} in time") from None

    def wrote(self, revision: int, events: Sequence[Event]) -> None:
        """What this process has just written at `revision`, all of it.

        Where nothing is missing in between, it need not be awaited from the watch, which tells it again and is
        then not heeded: with etcd, that takes as long as the write itself.
        """
        if revision > self.revision and not self._reloading:
            self._early[revision] = events
            self._apply_early()

    def _apply_early(self) -> None:
        while (events := self._early.pop(self.revision + 1, None)) is not None:
            self._apply(events)
            self._reached(self.revision + 1)

    async def fresh(self) -> None:
        """Return once everything that was in the store when this was called is applied.

        Callers share checks: whoever comes while one is under way is served by the next one.
        """
        if self._store.exclusive:
            # Writers get their answer after their change is applied, so nobody can know of a newer one.
            return
        if self._next_fresh is None:
            self._next_fresh = asyncio.get_running_loop().create_future()
            if self._freshener is None or self._freshener.done():
                self._freshener = asyncio.create_task(self._freshen())
        await asyncio.shield(self._next_fresh)

    async def _freshen(self) -> None:
        while self._next_fresh is not None:
            served, self._next_fresh = self._next_fresh, None
            try:
                revision = await self._store.current_revision()
                await self._reach(revision)
            except StorageError as error:
                served.set_exception(error)
                served.exception()  # whoever waited may be gone; then nobody needs to know
            except BaseException:
                served.cancel()
                raise
            else:
                served.set_result(None)

    async def _reach(self, revision: int) -> None:
        """Wait for `revision`, also where it came from a change outside our prefix that we never see."""
        if revision <= self.revision:
            return
        try:
            async with asyncio.timeout(_NUDGE_SECONDS):
                await self.wait(revision)
        except TimeoutError:
            await self._store.txn([], [Put(SYNC_KEY, b"")])
            await self.wait(revision)

    async def _load_all(self, revision: int) -> None:
        """Load every subscriber as of `revision`; only then are we there."""
        limit = asyncio.Semaphore(_PARALLEL_LOADS)

        async def load(subscriber: Subscriber) -> None:
            async with limit:
                await subscriber.load(revision)

        try:
            async with asyncio.TaskGroup() as group:
                for subscriber in self._subscribers.values():
                    group.create_task(load(subscriber))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        self._reached(revision)

    async def _follow(self) -> None:
        while True:
            try:
                async for revision, events in self._store.watch(PREFIX, self.revision + 1):
                    self._heard(revision, events)
            except CompactedError as error:
                logger.warning(
                    "storage: the watch fell behind compaction, reading everything anew: %s", error
                )
                await self._reload()
            except StorageError as error:
                logger.warning("storage: watch ended, trying again: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception:
                logger.exception("storage: could not apply a change, reading everything anew")
                await self._reload()

    def _heard(self, revision: int, events: Sequence[Event]) -> None:
        if revision <= self.revision:
            return
        if self._early:
            self._early = {early: its for early, its in self._early.items() if early > revision}
        if events and events[0].kv.mod_revision <= self.revision:
            events = [event for event in events if event.kv.mod_revision > self.revision]
        self._apply(events)
        self._reached(revision)
        self._apply_early()

    def _apply(self, events: Sequence[Event]) -> None:
        """Hand out events, in runs of one prefix, keeping their order."""
        subscribers = self._subscribers
        run: list[Event] = []
        current = ""
        for event in events:
            key = event.kv.key
            if not current or not key.startswith(current):
                if run and (subscriber := subscribers.get(current)) is not None:
                    subscriber.apply(run)
                run = []
                # /registry/<group>/<resource>/
                current = key[: key.find("/", key.find("/", len(PREFIX)) + 1) + 1]
            run.append(event)
        if run and (subscriber := subscribers.get(current)) is not None:
            subscriber.apply(run)

    def _reached(self, revision: int) -> None:
        if revision <= self.revision:
            return
        self.revision = revision
        waiters = self._waiters
        while waiters and waiters[0][0] <= revision:
            _, _, waiter = heapq.heappop(waiters)
            if not waiter.done():
                waiter.set_result(None)

    async def _reload(self) -> None:
        self._reloading = True
        self._early.clear()
        for subscriber in self._subscribers.values():
            subscriber.lost()
        while True:
            try:
                await self._load_all(await self._store.current_revision())
                self._reloading = False
                return
            except StorageError as error:
                logger.warning("storage: cannot read, trying again: %s", error)
            except Exception:
                logger.exception("storage: cannot load, trying again")
            await asyncio.sleep(_RETRY_SECONDS)
