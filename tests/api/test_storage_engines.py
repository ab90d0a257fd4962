"""Every storage engine keeps the same promises: revisions, compare-and-swap, ranges, watches, compaction, leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from storage_engines import DELETE, ENGINES, PUT, events_until, new_prefix, opened, put, told

from apiserver.storage.interface import (
    CompactedError,
    Compare,
    Delete,
    Event,
    FutureRevisionError,
    Op,
    Put,
    StorageError,
    Store,
    Target,
)


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param, tmp_path, request) as started:
        yield started


@pytest.fixture
def prefix() -> str:
    return new_prefix()


async def test_each_change_has_the_next_revision(store: Store, prefix: str) -> None:
    before = await store.current_revision()
    assert await put(store, prefix + "a") == before + 1
    assert await put(store, prefix + "a", b"w") == before + 2
    assert await put(store, prefix + "b") == before + 3
    assert await store.current_revision() == before + 3
    kv = await store.get(prefix + "a")
    assert kv is not None
    assert kv == (prefix + "a", b"w", before + 1, before + 2, 2, 0)
    await store.txn([], [Delete(prefix + "a")])
    assert await store.get(prefix + "a") is None
    await put(store, prefix + "a")
    again = await store.get(prefix + "a")
    assert again is not None
    assert (again.create_revision, again.version) == (before + 5, 1)


async def test_what_changes_nothing_has_no_revision(store: Store, prefix: str) -> None:
    before = await store.current_revision()
    nothing = await store.txn([], [Delete(prefix + "missing")])
    assert nothing.succeeded
    assert nothing.revision == before
    assert (await store.txn([], [])).revision == before
    assert await store.current_revision() == before


@pytest.mark.parametrize("target", list(Target))
async def test_compares(store: Store, prefix: str, target: Target) -> None:
    key = prefix + "a"
    absent = Compare(key, target, 0)
    assert (await store.txn([absent], [Put(key, b"1")])).succeeded
    refused = await store.txn([absent], [Put(key, b"2")])
    assert not refused.succeeded
    current = refused.current[key]
    assert current is not None
    assert current.value == b"1"
    right = Compare(key, target, getattr(current, target.value))
    assert (await store.txn([right], [Put(key, b"3")])).succeeded
    if target is not Target.CREATE_REVISION:
        assert not (await store.txn([right], [Delete(key)])).succeeded


async def test_failed_txn_changes_nothing(store: Store, prefix: str) -> None:
    await put(store, prefix + "a")
    before = await store.current_revision()
    compares = [Compare(prefix + "b", Target.VERSION, 0), Compare(prefix + "a", Target.VERSION, 7)]
    result = await store.txn(compares, [Put(prefix + "b", b""), Delete(prefix + "a")])
    assert not result.succeeded
    assert result.current[prefix + "b"] is None
    assert result.current[prefix + "a"] is not None
    assert await store.current_revision() == before
    assert (await store.range(prefix)).count == 1


async def test_several_changes_share_a_revision(store: Store, prefix: str) -> None:
    await put(store, prefix + "old")
    ops: list[Op] = [Put(prefix + "a", b"1"), Put(prefix + "b", b"2"), Delete(prefix + "old")]
    result = await store.txn([], ops)
    events = await events_until(store, prefix, result.revision, result.revision)
    assert {told(event) for event in events} == {
        (PUT, prefix + "a", b"1", result.revision),
        (PUT, prefix + "b", b"2", result.revision),
        (DELETE, prefix + "old", b"", result.revision),
    }


async def test_one_txn_cannot_write_a_key_twice(store: Store, prefix: str) -> None:
    before = await store.current_revision()
    with pytest.raises(StorageError):
        await store.txn([], [Put(prefix + "a", b"1"), Put(prefix + "a", b"2")])
    assert await store.current_revision() == before


async def test_exactly_one_of_many_creators_wins(store: Store, prefix: str) -> None:
    async def create(number: int) -> bool:
        compare = Compare(prefix + "a", Target.CREATE_REVISION, 0)
        return (await store.txn([compare], [Put(prefix + "a", b"%d" % number)])).succeeded

    outcomes = await asyncio.gather(*(create(number) for number in range(32)))
    assert outcomes.count(True) == 1
    kv = await store.get(prefix + "a")
    assert kv is not None
    assert kv.value == b"%d" % outcomes.index(True)


async def test_ranges_in_pages(store: Store, prefix: str) -> None:
    keys = sorted(prefix + name for name in ("a/1", "a/2", "a-b/1", "ab/1", "b/1", "é/1"))
    for key in keys:
        await put(store, key, key.encode())
    await put(store, prefix[:-1] + "0", b"behind the prefix")
    whole = await store.range(prefix)
    assert [kv.key for kv in whole.kvs] == keys
    assert [kv.value.decode() for kv in whole.kvs] == keys
    assert (whole.count, whole.more) == (6, False)
    assert [kv.key for kv in (await store.range(prefix + "a/")).kvs] == [prefix + "a/1", prefix + "a/2"]
    paged: list[str] = []
    start = ""
    while True:
        page = await store.range(prefix, start=start, limit=4, revision=whole.revision)
        assert page.revision == whole.revision
        paged += [kv.key for kv in page.kvs]
        if not page.more:
            break
        start = page.kvs[-1].key + "\0"
        await put(store, prefix + "c/" + str(len(paged)))
    assert paged == keys
    counted = await store.range(prefix, count_only=True)
    assert (len(counted.kvs), counted.count) == (0, 7)


async def test_reads_of_the_past(store: Store, prefix: str) -> None:
    first = await put(store, prefix + "a", b"1")
    second = await put(store, prefix + "a", b"2")
    third = (await store.txn([], [Delete(prefix + "a")])).revision
    assert await store.get(prefix + "a", revision=first - 1) is None if first > 1 else True
    kv = await store.get(prefix + "a", revision=first)
    assert kv is not None
    assert (kv.value, kv.mod_revision, kv.version) == (b"1", first, 1)
    past = await store.range(prefix, revision=second)
    assert [k.value for k in past.kvs] == [b"2"]
    assert (await store.range(prefix, revision=third)).count == 0
    with pytest.raises(FutureRevisionError):
        await store.range(prefix, revision=third + 100)


async def test_watch_from_the_past_then_live(store: Store, prefix: str) -> None:
    first = await put(store, prefix + "a", b"1")
    await put(store, new_prefix() + "elsewhere")
    seen: list[Event] = []
    async with asyncio.timeout(10), aclosing(store.watch(prefix, first)) as watch:  # type: ignore[type-var]
        _, events = await anext(watch)
        seen += events
        last = await put(store, prefix + "a", b"2")
        gone = (await store.txn([], [Delete(prefix + "a")])).revision
        while not seen or seen[-1].kv.mod_revision < gone:
            _, events = await anext(watch)
            seen += events
    assert [told(event) for event in seen] == [
        (PUT, prefix + "a", b"1", first),
        (PUT, prefix + "a", b"2", last),
        (DELETE, prefix + "a", b"", gone),
    ]
    assert (seen[1].kv.create_revision, seen[1].kv.version) == (first, 2)


async def test_watch_misses_and_doubles_nothing_under_load(store: Store, prefix: str) -> None:
    """Watches begun at any time during a burst of writes all see the rest of it in order."""
    writes, writers = 40, 8
    base = await store.current_revision()

    async def write(writer: int) -> None:
        for number in range(writes):
            await put(store, f"{prefix}{writer}", b"%d" % number)

    async def follow(start: int) -> list[int]:
        revisions: list[int] = []
        async with asyncio.timeout(20), aclosing(store.watch(prefix, start)) as watch:  # type: ignore[type-var]
            async for _, events in watch:
                revisions += [event.kv.mod_revision for event in events]
                if events and events[-1].kv.key == prefix + "last":
                    break
        return revisions

    async with asyncio.TaskGroup() as group:
        watches = [(base + 1, group.create_task(follow(base + 1)))]
        writing = [group.create_task(write(writer)) for writer in range(writers)]
        for _ in range(3):
            start = await put(store, new_prefix() + "tick") + 1
            watches.append((start, group.create_task(follow(start))))
        await asyncio.gather(*writing)
        await put(store, prefix + "last")
    ours = await follow(base + 1)
    assert len(set(ours)) == writes * writers + 1
    for start, watch in watches:
        assert watch.result() == sorted(revision for revision in ours if revision >= start)


async def test_watch_of_the_future_waits(store: Store, prefix: str) -> None:
    start = await store.current_revision() + 3
    watch = asyncio.create_task(events_until(store, prefix, start, start))
    for number in range(3):
        await put(store, prefix + str(number))
    assert [event.kv.key for event in await watch] == [prefix + "2"]


async def test_compaction(store: Store, prefix: str) -> None:
    first = await put(store, prefix + "a", b"1")
    await put(store, prefix + "b", b"1")
    await put(store, prefix + "a", b"2")
    await store.txn([], [Delete(prefix + "b")])
    kept = await put(store, prefix + "c", b"1")
    after = await put(store, prefix + "a", b"3")
    await store.compact(kept)
    for read in (store.get(prefix + "a", revision=first), store.range(prefix, revision=first)):
        with pytest.raises(CompactedError) as gone:
            await read
        assert gone.value.compacted == kept
    with pytest.raises(CompactedError) as lost:
        await events_until(store, prefix, first, after)
    assert lost.value.compacted == kept
    past = await store.range(prefix, revision=kept)
    assert [(kv.key, kv.value, kv.version) for kv in past.kvs] == [
        (prefix + "a", b"2", 2),
        (prefix + "c", b"1", 1),
    ]
    assert [told(e) for e in await events_until(store, prefix, kept, after)] == [
        (PUT, prefix + "c", b"1", kept),
        (PUT, prefix + "a", b"3", after),
    ]
    with pytest.raises(CompactedError):
        await store.compact(first)
    with pytest.raises(FutureRevisionError):
        await store.compact(after + 1000)


async def test_keys_end_with_their_lease(store: Store, prefix: str) -> None:
    lease = await store.grant_lease(1)
    other = await store.grant_lease(600)
    start = await put(store, prefix + "a", b"1", lease)
    await put(store, prefix + "b", b"1", lease)
    await put(store, prefix + "kept", b"1", other)
    await put(store, prefix + "freed", b"1", lease)
    await put(store, prefix + "freed", b"2")
    events: list[Event] = []
    async with asyncio.timeout(10), aclosing(store.watch(prefix, start)) as watch:  # type: ignore[type-var]
        async for _, batch in watch:
            events += batch
            if [e.type.value for e in events].count(DELETE) == 2:
                break
    assert {e.kv.key for e in events if e.type.value == DELETE} == {prefix + "a", prefix + "b"}
    assert [kv.key for kv in (await store.range(prefix)).kvs] == [prefix + "freed", prefix + "kept"]
    kept = await store.get(prefix + "kept")
    assert kept is not None
    assert kept.lease == other
    await store.keep_lease_alive(other)
    await store.revoke_lease(other)
    assert await store.get(prefix + "kept") is None
    for call in (store.keep_lease_alive(other), store.revoke_lease(other)):
        with pytest.raises(StorageError):
            await call
    with pytest.raises(StorageError):
        await put(store, prefix + "late", b"", other)


async def test_values_are_any_bytes(store: Store, prefix: str) -> None:
    for number, value in enumerate((b"", bytes(range(256)), b"x" * 1_000_000)):
        await put(store, f"{prefix}{number}", value)
        kv = await store.get(f"{prefix}{number}")
        assert kv is not None
        assert kv.value == value


async def test_a_cancelled_caller_harms_nobody(store: Store, prefix: str) -> None:
    writes = [asyncio.create_task(put(store, f"{prefix}{number}")) for number in range(20)]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    await put(store, prefix + "last")
    kept = {kv.key for kv in (await store.range(prefix)).kvs}
    assert {f"{prefix}{number}" for number in range(1, 20, 2)} | {prefix + "last"} <= kept
