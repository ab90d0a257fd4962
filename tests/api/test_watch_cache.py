"""The watch cache on both engines: writes, reads, watches, several API servers on one etcd, and lost watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from storage_engines import ENGINES, opened, put

from apimachinery import resources
from apimachinery.errors import StatusError
from apiserver.cacher import Cacher
from apiserver.cachers import Cachers
from apiserver.fanout import Watcher
from apiserver.storage.feed import Feed
from apiserver.storage.interface import CompactedError, Delete, Store

PODS = resources.get("pods")
NODES = resources.get("nodes")
EVENTS = resources.get("events")
SERVED = [PODS, NODES, EVENTS]


def pod(name: str, namespace: str = "ns", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": labels.get("node", "")},
    }


@asynccontextmanager
async def running(store: Store) -> AsyncIterator[Cachers]:
    cachers = Cachers(store)
    await cachers.start(SERVED, ttl={EVENTS.storage: 1})
    try:
        yield cachers
    finally:
        await cachers.close()


async def emptied(store: Store) -> None:
    """The etcd server is shared by all tests: take away what others left."""
    for kv in (await store.range("/registry/")).kvs:
        await store.txn([], [Delete(kv.key)])


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(request.param, tmp_path, request) as started:
        await emptied(started)
        yield started


@pytest.fixture
async def cachers(store: Store) -> AsyncIterator[Cachers]:
    async with running(store) as started:
        yield started


@pytest.fixture
def pods(cachers: Cachers) -> Cacher:
    return cachers[PODS]


async def lines(watcher: Watcher, count: int) -> list[dict[str, Any]]:
    """The next `count` events."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += [orjson.loads(line) for line in (await anext(watcher)).splitlines()]
    return found


def short(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """(type, name, resourceVersion) of each event."""
    return [
        (e["type"], e["object"]["metadata"].get("name", ""), e["object"]["metadata"]["resourceVersion"])
        for e in events
    ]


async def test_writes_are_read_back(pods: Cacher) -> None:
    created = await pods.create("ns", "a", pod("a", app="web"))
    assert created.object() == {
        **pod("a"),
        "metadata": {**pod("a", app="web")["metadata"], "resourceVersion": str(created.revision)},
    }
    assert pods.get("ns", "a") is created
    assert (created.labels, created.fields["metadata.name"]) == ({"app": "web"}, "a")
    with pytest.raises(StatusError, match=r'pods "a" already exists') as exists:
        await pods.create("ns", "a", pod("a"))
    assert exists.value.code == 409
    changed = created.object()
    changed["spec"] = {"nodeName": "n1"}
    updated = await pods.update("ns", "a", changed, created.revision)
    assert updated is not None
    assert pods.get("ns", "a") is updated
    assert updated.revision > created.revision
    assert updated.fields["spec.nodeName"] == "n1"
    assert await pods.update("ns", "a", changed, created.revision) is None
    assert await pods.delete("ns", "a", created.revision) is None
    deleted = await pods.delete("ns", "a", updated.revision)
    assert deleted is not None
    assert deleted.revision > updated.revision
    assert deleted.object()["metadata"]["resourceVersion"] == str(deleted.revision)
    assert deleted.object()["spec"] == {"nodeName": "n1"}
    assert pods.get("ns", "a") is None
    assert await pods.delete("ns", "a", updated.revision) is None
    assert await pods.update("ns", "a", changed, updated.revision) is None


async def test_an_update_that_changes_nothing_is_not_written(pods: Cacher) -> None:
    created = await pods.create("ns", "a", pod("a"))
    before = pods.revision
    assert await pods.update("ns", "a", created.object(), created.revision) is created
    await pods.fresh()
    assert pods.revision == before


async def test_entries_are_in_key_order_by_namespace(cachers: Cachers, pods: Cacher) -> None:
    wanted = [("b", "x"), ("a", "2"), ("a-b", "1"), ("a", "10"), ("c", "y"), ("a", "1")]
    for namespace, name in wanted:
        await pods.create(namespace, name, pod(name, namespace))
    await cachers[NODES].create("", "n1", {"metadata": {"name": "n1"}, "kind": "Node"})
    assert [e.key for e in pods.entries()] == sorted(PODS.key(*pair) for pair in wanted)
    assert [e.name for e in pods.entries("a")] == ["1", "10", "2"]
    assert [e.name for e in pods.entries("a-b")] == ["1"]
    assert list(pods.entries("missing")) == []
    assert [e.name for e in cachers[NODES].entries()] == ["n1"]
    node = cachers[NODES].get("", "n1")
    assert node is not None
    assert (node.namespace, node.name) == ("", "n1")


async def test_many_writers_of_one_object_lose_no_update(pods: Cacher) -> None:
    await pods.create("ns", "a", {**pod("a"), "count": 0})

    async def count() -> None:
        for _ in range(10):
            while True:
                entry = pods.get("ns", "a")
                assert entry is not None
                obj = entry.object()
                obj["count"] += 1
                if await pods.update("ns", "a", obj, entry.revision) is not None:
                    break
                await pods.fresh()

    await asyncio.gather(*(count() for _ in range(8)))
    entry = pods.get("ns", "a")
    assert entry is not None
    assert entry.object()["count"] == 80


async def test_watch_from_each_kind_of_start(pods: Cacher) -> None:
    first = await pods.create("ns", "a", pod("a"))
    second = await pods.create("ns", "b", pod("b"))
    present = pods.watch(None, initial_events_end=True)
    after = pods.watch(first.revision)
    latest = pods.watch(pods.revision)
    future = pods.watch(pods.revision + 1)
    third = await pods.create("ns", "c", pod("c"))
    fourth = await pods.delete("ns", "b", second.revision)
    assert fourth is not None
    added = [("ADDED", e.name, str(e.revision)) for e in (first, second, third)]
    deleted = ("DELETED", "b", str(fourth.revision))
    events = await lines(present, 5)
    assert short(events) == [*added[:2], ("BOOKMARK", "", str(second.revision)), added[2], deleted]
    assert events[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert short(await lines(after, 3)) == [*added[1:], deleted]
    assert short(await lines(latest, 2)) == [added[2], deleted]
    assert short(await lines(future, 1)) == [deleted]
    for watcher in (present, after, latest, future):
        watcher.close()
    assert pods.watchers == 0


async def test_too_old_a_start_is_expired(store: Store, pods: Cacher) -> None:
    if pods.revision <= 1:
        await pods.create("ns", "a", pod("a"))
    with pytest.raises(StatusError, match="too old resource version: 0 ") as old:
        pods.watch(0)
    assert (old.value.code, old.value.reason) == (410, "Expired")


async def test_objects_of_the_past(store: Store, pods: Cacher) -> None:
    await pods.create("ns", "a", pod("a"))
    b = await pods.create("ns", "b", pod("b"))
    await pods.create("other", "c", pod("c", "other"))
    then, past, past_ns = pods.revision, pods.entries(), pods.entries("ns")
    assert await pods.update("ns", "b", pod("b", x="y"), b.revision)
    a = pods.get("ns", "a")
    assert a is not None
    await pods.delete("ns", "a", a.revision)
    await pods.create("ns", "aa", pod("aa"))
    assert pods.entries_at(then) == past
    assert pods.entries_at(then, "ns") == past_ns
    assert pods.entries_at(pods.revision, "ns") == pods.entries("ns")
    assert pods.entries_at(pods.revision + 1) is None
    assert pods.entries_at(0) is None
    stored = await store.range(PODS.key_prefix, revision=then)
    assert [kv.key for kv in stored.kvs] == [entry.key for entry in past]


async def test_watches_survive_a_restart_of_the_server(store: Store) -> None:
    async with running(store) as before:
        first = await before[PODS].create("ns", "a", pod("a"))
        await before[PODS].create("ns", "b", pod("b"))
        watcher = before[PODS].watch(None)
    assert watcher.closed
    async with running(store) as after:
        assert [entry.name for entry in after[PODS].entries()] == ["a", "b"]
        again = after[PODS].watch(first.revision)
        assert [event[:2] for event in short(await lines(again, 1))] == [("ADDED", "b")]


async def test_resources_that_come_and_go(store: Store, cachers: Cachers) -> None:
    configmaps = replace(resources.get("configmaps"), custom=True, selectable=("spec.color",))
    await put(store, configmaps.key("ns", "early"), b'{"metadata":{"name":"early"},"spec":{"color":"red"}}')
    assert configmaps not in cachers
    cacher = await cachers.add(configmaps)
    assert await cachers.add(configmaps) is cacher
    assert cachers[configmaps] is cacher
    early = cacher.get("ns", "early")
    assert early is not None
    assert early.fields["spec.color"] == "red"
    watcher = cacher.watch(cacher.revision)
    await cacher.create("ns", "late", {"metadata": {"name": "late"}})
    assert [event[1] for event in short(await lines(watcher, 1))] == ["late"]
    cachers.remove(configmaps)
    assert watcher.closed
    assert configmaps not in cachers


async def test_events_end_by_themselves(
    store: Store, cachers: Cachers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apiserver.storage.leases._SHARE_SECONDS", 0)
    watcher = cachers[EVENTS].watch(cachers.revision)
    await cachers[EVENTS].create("ns", "e", {"metadata": {"name": "e"}, "kind": "Event", "reason": "R"})
    events = await lines(watcher, 2)
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]
    assert events[1]["object"]["reason"] == "R"


async def test_what_is_not_an_object_is_left_out(store: Store, cachers: Cachers, pods: Cacher) -> None:
    await put(store, PODS.key("ns", "garbage"), b"\x00garbage")
    await put(store, PODS.key("ns", "list"), b"[]")
    await put(store, PODS.key("ns", "foreign"), orjson.dumps(dict(reversed(pod("foreign").items()))))
    await pods.create("ns", "z", pod("z"))
    assert [entry.name for entry in pods.entries()] == ["foreign", "z"]
    foreign = pods.entries()[0]
    assert foreign.object()["metadata"]["resourceVersion"] == str(foreign.revision)
    async with running(store) as again:
        assert [entry.name for entry in again[PODS].entries()] == ["foreign", "z"]


async def test_a_feed_behind_compaction_reads_everything_anew(
    store: Store, cachers: Cachers, pods: Cacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = await pods.create("ns", "kept", pod("kept"))
    gone = await pods.create("ns", "gone", pod("gone"))
    watcher = pods.watch(None)
    # The follower meets a compaction while it applies a change.
    original = Cacher.apply
    failed = asyncio.Event()

    def missed(self: Cacher, events: Any) -> None:
        if not failed.is_set() and self is pods:
            failed.set()
            raise CompactedError(gone.revision)
        original(self, events)

    monkeypatch.setattr(Cacher, "apply", missed)
    # It hears of the change from the watch alone, as of another server's.
    monkeypatch.setattr(Feed, "wrote", lambda self, revision, events: None)
    deleted = await pods.delete("ns", "gone", gone.revision)
    assert deleted is not None
    assert failed.is_set()
    assert watcher.closed == "cache reloaded"
    assert pods.entries() == [pods.get("ns", "kept")]
    with pytest.raises(StatusError, match="too old resource version"):
        pods.watch(kept.revision)
    changed = await pods.update("ns", "kept", pod("kept", x="y"), kept.revision)
    assert changed is not None
    assert short(await lines(pods.watch(deleted.revision), 1)) == [
        ("MODIFIED", "kept", str(changed.revision))
    ]


@pytest.fixture
async def two_servers(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Store, Cachers, Cachers]]:
    """Two API servers' caches on one etcd, each with its own connection."""
    async with opened("etcd", tmp_path, request) as one, opened("etcd", tmp_path, request) as other:
        await emptied(one)
        async with running(one) as first, running(other) as second:
            yield one, first, second


async def test_two_servers_agree(two_servers: tuple[Store, Cachers, Cachers]) -> None:
    _, first, second = two_servers
    watcher = second[PODS].watch(second.revision)
    for number in range(50):
        created = await first[PODS].create("ns", f"p{number}", pod(f"p{number}"))
        await second.fresh()
        seen = second[PODS].get("ns", f"p{number}")
        assert seen is not None
        assert seen.data == created.data
    events = await lines(watcher, 50)
    assert [event["object"]["metadata"]["name"] for event in events] == [f"p{number}" for number in range(50)]
    with pytest.raises(StatusError, match="already exists"):
        await second[PODS].create("ns", "p7", pod("p7"))


async def test_concurrent_reads_share_checks_and_none_is_stale(
    two_servers: tuple[Store, Cachers, Cachers],
) -> None:
    _, first, second = two_servers
    acknowledged = 0

    async def write() -> None:
        nonlocal acknowledged
        entry = await first[PODS].create("ns", "a", {**pod("a"), "count": 0})
        for number in range(1, 60):
            entry = (
                await first[PODS].update("ns", "a", {**pod("a"), "count": number}, entry.revision) or entry
            )
            acknowledged = number

    async def read() -> None:
        while acknowledged < 59:
            least = acknowledged
            await second.fresh()
            entry = second[PODS].get("ns", "a")
            if least:
                assert entry is not None
                assert entry.object()["count"] >= least

    async with asyncio.timeout(30):
        await asyncio.gather(write(), *(read() for _ in range(20)))


async def test_fresh_is_not_held_up_by_changes_outside_our_prefix(
    two_servers: tuple[Store, Cachers, Cachers],
) -> None:
    store, first, _ = two_servers
    await put(store, "/another/application")
    async with asyncio.timeout(5):
        await first.fresh()
        known = first.revision
        async with running(store) as third:
            assert third.revision >= known
