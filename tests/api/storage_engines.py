"""How tests open each storage engine, and small steps they share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from apiserver.storage.interface import Event, EventType, Put, Store
from apiserver.storage.sqlite import SqliteStore

ENGINES = ("sqlite-file", "sqlite-memory", "etcd")
_prefixes = count()


@asynccontextmanager
async def opened(engine: str, directory: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A started store of `engine`. All etcd stores of a run are on one server."""
    make: Callable[[], Store]
    if engine == "etcd":
        endpoints = request.getfixturevalue("etcd").endpoints
        from apiserver.storage.etcd import EtcdStore

        make = lambda: EtcdStore(endpoints)  # noqa: E731
    else:
        make = lambda: SqliteStore(str(directory / "store.db") if engine == "sqlite-file" else ":memory:")  # noqa: E731
    store = make()
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def new_prefix() -> str:
    """A key prefix no other test uses."""
    return f"/test/{next(_prefixes)}/"


async def put(store: Store, key: str, value: bytes = b"v", lease: int = 0) -> int:
    """Write a key unconditionally; its revision."""
    return (await store.txn([], [Put(key, value, lease)])).revision


async def events_until(store: Store, prefix: str, start: int, last: int) -> list[Event]:
    """What a watch from `start` tells, up to the event of revision `last`."""
    found: list[Event] = []
    async with asyncio.timeout(10), aclosing(store.watch(prefix, start)) as watch:  # type: ignore[type-var]
        async for revision, events in watch:
            found += events
            if revision >= last and (not found or found[-1].kv.mod_revision >= last or store.exclusive):
                return found
    return found


def told(event: Event) -> tuple[str, str, bytes, int]:
    """An event in short: type, key, value, revision."""
    return event.type.value, event.kv.key, event.kv.value, event.kv.mod_revision


PUT, DELETE = EventType.PUT.value, EventType.DELETE.value
