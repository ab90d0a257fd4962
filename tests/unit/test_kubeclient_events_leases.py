"""Events are counted, combined and cut as Kubernetes does it; a lease has one holder."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apimachinery import errors
from kubeclient.events import Correlator, EventRecorder, make_event
from kubeclient.leaderelection import LeaderElector, LeadershipLost, Observation, claim

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", "uid": "u"}}


def event(message: str, serial: int = 0) -> dict[str, Any]:
    return make_event(
        POD, "Normal", "Created", message, "", "kubelet", "node", 1_700_000_000 * 10**9 + serial
    )


def test_equal_events_are_counted_on_the_first_one() -> None:
    correlator = Correlator()
    first = correlator.correlate(event("hello", 1), 0)
    again = correlator.correlate(event("hello", 2), 1)
    assert first is not None and first[0] == "create"
    assert again is not None and again[0] == "patch"
    assert again[1]["count"] == 2
    assert again[1]["metadata"]["name"] == first[1]["metadata"]["name"] == "p.17979cfe362a0001"


def test_many_different_messages_are_combined() -> None:
    correlator = Correlator()
    decided = [correlator.correlate(event(f"message {i}", i), 0) for i in range(13)]
    assert [d and d[0] for d in decided] == ["create"] * 11 + ["patch"] * 2
    last = decided[-1]
    assert last is not None and last[1]["message"] == "(combined from similar events): message 12"


def test_a_flood_about_one_object_is_cut_and_trickles_on() -> None:
    correlator = Correlator()
    passed = sum(correlator.correlate(event("hello", i), 0) is not None for i in range(100))
    assert passed == 25
    assert correlator.correlate(event("hello"), 299) is None
    assert correlator.correlate(event("hello"), 601) is not None


class Refusing:
    def __init__(self) -> None:
        self.created: list[Any] = []

    async def patch(self, *_: Any, **__: Any) -> Any:
        raise errors.not_found("events", "gone")

    async def create(self, _resource: Any, obj: Any) -> Any:
        self.created.append(obj)


async def test_the_recorder_drops_instead_of_waiting_and_recreates_expired_events() -> None:
    client = Refusing()
    recorder = EventRecorder(client, "test", limit=2)  # type: ignore[arg-type]
    for _ in range(3):
        recorder.event(POD, "Normal", "Created", "hello")
    assert recorder.dropped == 1
    await recorder.flush()
    assert [e["count"] for e in client.created] == [1, 2]
    assert client.created[0]["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "name": "p",
        "namespace": "ns",
        "uid": "u",
    }


def lease(holder: str, renewed: str, transitions: int = 3) -> dict[str, Any]:
    return {
        "spec": {
            "holderIdentity": holder,
            "renewTime": renewed,
            "acquireTime": "then",
            "leaseDurationSeconds": 15,
            "leaseTransitions": transitions,
        }
    }


def test_a_lease_is_taken_only_after_it_stood_still_for_its_duration() -> None:
    seen = Observation()
    assert claim(lease("other", "t1"), seen, "me", 15, 100.0, "now") is None
    assert claim(lease("other", "t1"), seen, "me", 15, 114.9, "now") is None
    assert claim(lease("other", "t2"), seen, "me", 15, 115.0, "now") is None  # renewed: starts over
    taken = claim(lease("other", "t2"), seen, "me", 15, 130.0, "now")
    assert taken == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "now",
        "renewTime": "now",
        "leaseTransitions": 4,
    }


def test_a_free_lease_is_taken_and_ones_own_renewed() -> None:
    fresh = claim(None, Observation(), "me", 15, 0.0, "now")
    assert fresh is not None and fresh["leaseTransitions"] == 0
    renewed = claim(lease("me", "t1"), Observation(), "me", 15, 0.0, "now")
    assert renewed is not None
    assert (renewed["acquireTime"], renewed["leaseTransitions"]) == ("then", 3)
    assert claim(lease("", "t1"), Observation(), "me", 15, 0.0, "now") is not None


class Leases:
    """One Lease, as a server keeps it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.written = asyncio.Event()

    async def get(self, *_: Any) -> Any:
        if self.lease is None:
            raise errors.not_found("leases", "x")
        return self.lease

    async def create(self, _resource: Any, obj: Any) -> Any:
        self.lease = obj
        self.written.set()

    update = create


def elector(leases: Leases, identity: str, **options: Any) -> LeaderElector:
    return LeaderElector(leases, "x", identity, retry_period=0.01, **options)  # type: ignore[arg-type]


async def test_who_is_stopped_gives_the_lease_up_and_the_next_takes_over() -> None:
    leases = Leases()
    led: asyncio.Queue[str] = asyncio.Queue(10)

    async def lead(name: str) -> None:
        led.put_nowait(name)
        await asyncio.Event().wait()

    first = asyncio.ensure_future(elector(leases, "first").run(lambda: lead("first")))
    async with asyncio.timeout(5):
        assert await led.get() == "first"
        second = asyncio.ensure_future(elector(leases, "second").run(lambda: lead("second")))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await led.get() == "second"
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_who_finds_another_holder_stops_at_once() -> None:
    leases = Leases()
    stopped = asyncio.Event()

    async def lead() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with asyncio.timeout(5):
        running = asyncio.ensure_future(elector(leases, "first").run(lead))
        await leases.written.wait()
        leases.lease = lease("thief", "t9")
        with pytest.raises(LeadershipLost):
            await running
    assert stopped.is_set()
    assert leases.lease["spec"]["holderIdentity"] == "thief"
