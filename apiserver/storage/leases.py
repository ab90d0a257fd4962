"""Leases: `LeaseTable` decides which keys end when (pure, for the embedded engine); `LeasePool` shares leases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from apiserver.storage.interface import Store

_SHARE_SECONDS = 60
_SHARE_KEYS = 1000


class LeaseTable:
    """Time-limited leases and the keys put with them. `now` is in seconds on any monotonic clock."""

    def __init__(self) -> None:
        self._ttl: dict[int, int] = {}
        self._deadline: dict[int, float] = {}
        self._keys: dict[int, set[str]] = {}

    def __contains__(self, lease: int) -> bool:
        return lease in self._ttl

    def grant(self, lease: int, ttl: int, now: float) -> None:
        self._ttl[lease] = ttl
        self._deadline[lease] = now + ttl
        self._keys[lease] = set()

    def keep_alive(self, lease: int, now: float) -> None:
        """Begin the lease's time anew. KeyError if it has ended."""
        self._deadline[lease] = now + self._ttl[lease]

    def end(self, lease: int) -> Iterable[str]:
        """Forget the lease; its keys, which are to be deleted now. KeyError if it has ended."""
        del self._ttl[lease], self._deadline[lease]
        return self._keys.pop(lease)

    def attach(self, lease: int, key: str) -> None:
        """KeyError if the lease has ended."""
        self._keys[lease].add(key)

    def detach(self, lease: int, key: str) -> None:
        keys = self._keys.get(lease)
        if keys is not None:
            keys.discard(key)

    def expired(self, now: float) -> list[int]:
        return [lease for lease, deadline in self._deadline.items() if deadline <= now]


class LeasePool:
    """Leases for objects that live `ttl` seconds: one lease for all that are written within a minute."""

    def __init__(self, store: Store, ttl: int) -> None:
        self._store = store
        self._ttl = ttl
        self._lease = 0
        self._uses = 0
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def lease(self) -> int:
        """A lease that ends `ttl` seconds from now, or up to a minute later. Raises StorageError."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now >= self._until or self._uses >= _SHARE_KEYS:
                self._lease = await self._store.grant_lease(self._ttl + _SHARE_SECONDS)
                self._until = now + _SHARE_SECONDS
                self._uses = 0
            self._uses += 1
            return self._lease
