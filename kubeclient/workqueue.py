"""A queue of keys to work on: each at most once at a time, none lost, failures later and later."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class ShutDown(Exception):
    """The queue was shut down and is empty."""


class WorkQueue(Generic[Key]):
    """Keys wait once, however often they are added; a key added while it is worked on waits again once it is done.

    It holds each key at most once, so its size is bounded by the number of distinct objects.
    """

    def __init__(self, initial: float = 0.005, maximum: float = 60.0) -> None:
        """`initial` and `maximum` bound a failing key's back-off, in seconds."""
        self._initial = initial
        self._maximum = maximum
        self._queue: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._processing: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being worked on (delayed keys do not count)."""
        return not self._queue and not self._processing

    def add(self, key: Key) -> None:
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._queue.append(key)
            self._wake()

    def add_after(self, key: Key, delay: float) -> None:
        """Adds `key` in `delay` seconds; of several such wishes the earliest counts."""
        if self._closed:
            return
        if delay <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self._due, key)

    def add_rate_limited(self, key: Key) -> float:
        """Adds `key` after its back-off, which doubles each time until `forget`; returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay: float = min(self._initial * 2 ** min(failures, 40), self._maximum)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> Key:
        """The next key, to be given back by `done`. Raises ShutDown."""
        while not self._queue:
            if self._closed:
                raise ShutDown
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # It was our turn: pass it on.
                raise
        key = self._queue.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: Key) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._queue.append(key)
            self._wake()

    def shutdown(self) -> None:
        """No more keys are taken in; those waiting are still handed out."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._getters:
            self._wake()

    async def run(
        self,
        work: Callable[[Key], Awaitable[None]],
        failed: Callable[[Key, Exception, float], None],
        workers: int = 1,
    ) -> None:
        """Works on keys, `workers` at once, until shut down. A key whose `work` raises goes to the back of the line
        after its back-off, and `failed(key, error, delay)` hears of it."""

        async def worker() -> None:
            while True:
                try:
                    key = await self.get()
                except ShutDown:
                    return
                try:
                    await work(key)
                except Exception as error:  # noqa: BLE001 - whatever fails is reported, and tried again
                    failed(key, error, self.add_rate_limited(key))
                else:
                    self.forget(key)
                finally:
                    self.done(key)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(workers):
                tasks.create_task(worker())

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
