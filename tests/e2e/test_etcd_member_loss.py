"""Three etcd members; one is killed under load: writes and watches go on, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from etcd_server import EtcdServers, etcd_servers

from apiserver.storage.interface import Compare, Put, Store, Target


@pytest.fixture
def members(tmp_path: Path) -> Iterator[EtcdServers]:
    with etcd_servers(tmp_path, members=3) as servers:
        yield servers


@pytest.fixture
async def store(members: EtcdServers) -> AsyncIterator[Store]:
    from apiserver.storage.etcd import EtcdStore

    started = EtcdStore(members.endpoints)
    await started.start()
    yield started
    await started.close()


class Counters:
    """Writers that each count their key up by compare-and-swap, so that a lost or doubled write would show."""

    def __init__(self, store: Store, count: int = 8) -> None:
        self._store = store
        self.acknowledged: dict[str, tuple[int, int]] = {f"/count/{n}": (0, 0) for n in range(count)}
        self._enough = asyncio.Event()
        self.progress = asyncio.Condition()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for key in self.acknowledged:
                group.create_task(self._count(key))

    async def _count(self, key: str) -> None:
        while not self._enough.is_set():
            number, revision = self.acknowledged[key]
            compare = Compare(key, Target.MOD_REVISION, revision)
            result = await self._store.txn([compare], [Put(key, b"%d" % (number + 1))])
            assert result.succeeded, (key, number, revision, result)
            self.acknowledged[key] = (number + 1, result.revision)
            async with self.progress:
                self.progress.notify_all()

    def stop(self) -> None:
        self._enough.set()

    async def each_further(self, by: int) -> None:
        """Every writer has had `by` more writes acknowledged."""
        goal = {key: number + by for key, (number, _) in self.acknowledged.items()}
        async with asyncio.timeout(60), self.progress:
            await self.progress.wait_for(
                lambda: all(self.acknowledged[key][0] >= wanted for key, wanted in goal.items())
            )


async def follow(store: Store, start: int, seen: dict[str, list[int]], until: asyncio.Event) -> None:
    async with aclosing(store.watch("/", start)) as watch:  # type: ignore[type-var]
        async for _, events in watch:
            for event in events:
                if event.kv.key == "/end":
                    until.set()
                    return
                seen.setdefault(event.kv.key, []).append(int(event.kv.value))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_writes_and_watches_go_on_without_one_member(
    members: EtcdServers, store: Store, how: str
) -> None:
    counters = Counters(store)
    seen: dict[str, list[int]] = {}
    ended = asyncio.Event()
    start = await store.current_revision() + 1
    async with asyncio.TaskGroup() as group:
        group.create_task(follow(store, start, seen, ended))
        counting = group.create_task(counters.run())
        await counters.each_further(20)
        # The member in use goes: the first one given.
        if how == "killed":
            members.kill(0)
        else:
            members.signal(0, signal.SIGSTOP)
        await counters.each_further(50)
        if how == "killed":
            members.start(0)
        else:
            members.signal(0, signal.SIGCONT)
        await counters.each_further(20)
        counters.stop()
        await counting
        async with asyncio.timeout(30):
            await store.txn([], [Put("/end", b"")])
            await ended.wait()
    for key, (number, revision) in counters.acknowledged.items():
        kv = await store.get(key)
        assert kv is not None
        assert (int(kv.value), kv.mod_revision, kv.version) == (number, revision, number)
        assert seen[key] == list(range(1, number + 1))
