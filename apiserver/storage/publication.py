"""The embedded engine's watches: what is on disk is told to all of them, in order; who lags reads the table again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from apiserver.storage.interface import Event
from apiserver.storage.versions import Row, event_of

_QUEUED_BATCHES = 1024

Changes = Callable[[str, int, int], Awaitable[tuple[int, Sequence[Event]]]]
"""(prefix, first, last revision) -> (how far it reaches, the events on disk). Raises StorageError."""


class _Watch:
    """A running watch: batches not yet taken. One that overflows goes back to reading the table."""

    def __init__(self, prefix: str, behind: bool) -> None:
        self.prefix = prefix
        self.batches: deque[tuple[int, list[Event]]] = deque()
        self.behind = behind
        self.waiter: asyncio.Future[None] | None = None

    def offer(self, revision: int, events: Sequence[Event]) -> None:
        if self.behind:
            return
        if len(self.batches) >= _QUEUED_BATCHES:
            self.batches.clear()
            self.behind = True
        else:
            self.batches.append((revision, [e for e in events if e.kv.key.startswith(self.prefix)]))
        self.wake()

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Publication:
    """`revision`: the last one that is on disk and has been told."""

    def __init__(self) -> None:
        self.revision = 0
        self._watches: set[_Watch] = set()
        self._closed = False

    def publish(self, revision: int, rows: Sequence[Row]) -> None:
        """`rows` are on disk: all changes after the last published revision, up to `revision`."""
        self.revision = revision
        if self._watches:
            events = [event_of(row) for row in rows]
            for watch in self._watches:
                watch.offer(revision, events)

    def close(self) -> None:
        """End all watches."""
        self._closed = True
        for watch in self._watches:
            watch.wake()

    async def follow(
        self, prefix: str, start_revision: int, changes: Changes
    ) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        """`Store.watch`: from the table up to what has been published, then what is published."""
        following = start_revision
        watch = _Watch(prefix, behind=following <= self.revision)
        self._watches.add(watch)
        try:
            while not self._closed:
                if watch.behind:
                    target = self.revision
                    watch.behind = False
                    while following <= target:
                        reached, events = await changes(prefix, following, target)
                        following = reached + 1
                        yield reached, events
                elif watch.batches:
                    revision, events = watch.batches.popleft()
                    if revision >= following:
                        if events and events[0].kv.mod_revision < following:
                            events = [e for e in events if e.kv.mod_revision >= following]
                        following = revision + 1
                        yield revision, events
                else:
                    watch.waiter = asyncio.get_running_loop().create_future()
                    await watch.waiter
        finally:
            self._watches.discard(watch)
