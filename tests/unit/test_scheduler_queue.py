"""The order in which pods get their turn, and what brings back those that failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naivescheduler import make_pod

from scheduler.profiles import PROFILES
from scheduler.queue import HELPFUL, LONGEST_WAIT, Event, Queue
from scheduler.views import Pod


def pod(name: str, priority: int = 0, gated: bool = False, cpu: str = "1") -> Pod:
    gates = {"schedulingGates": [{"name": "g"}]} if gated else {}
    return Pod.of(make_pod(name, {"cpu": cpu}, priority=priority, **gates))


def names(pods: list[Pod]) -> list[str]:
    return [p.name for p in pods]


def test_more_important_pods_come_first_then_older_ones() -> None:
    queue = Queue()
    queue.put(pod("late"), 2.0)
    queue.put(pod("early"), 1.0)
    queue.put(pod("urgent", priority=5), 3.0)
    assert names(queue.take(2, 3.0)) == ["urgent", "early"]
    assert names(queue.take(9, 3.0)) == ["late"]
    assert queue.take(9, 3.0) == []


def test_a_failed_pod_waits_for_an_event_that_may_help() -> None:
    queue = Queue()
    queue.put(pod("p"), 0.0)
    queue.take(1, 0.0)
    queue.unschedulable(("default", "p"), {"TaintToleration"}, 0.0)
    queue.wake(Event.POD_REMOVED, 20.0)
    assert queue.take(1, 20.0) == []
    queue.wake(Event.NODE_TAINTS, 20.0)
    assert names(queue.take(1, 20.0)) == ["p"]


def test_back_off_doubles_up_to_ten_seconds() -> None:
    queue = Queue()
    queue.put(pod("p"), 0.0)
    now = 0.0
    for delay in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0):
        assert names(queue.take(1, now)) == ["p"]
        queue.unschedulable(("default", "p"), {"NodeResourcesFit"}, now)
        queue.wake(Event.POD_REMOVED, now)
        assert queue.take(1, now + delay - 0.01) == []
        assert queue.next_due() == now + delay
        now += delay


def test_an_event_during_planning_is_not_missed() -> None:
    queue = Queue()
    queue.put(pod("p"), 0.0)
    queue.take(1, 0.0)
    queue.wake(Event.NODE_ADDED, 0.0)
    queue.unschedulable(("default", "p"), {"NodeResourcesFit"}, 0.0)
    assert names(queue.take(1, 1.0)) == ["p"]


def test_a_pod_whose_victims_are_gone_does_not_wait() -> None:
    queue = Queue()
    queue.put(pod("p"), 0.0)
    queue.take(1, 0.0)
    queue.unschedulable(("default", "p"), {"NodeResourcesFit"}, 0.0)
    queue.wake(Event.POD_REMOVED, 0.1, also=[("default", "p")])
    assert names(queue.take(1, 0.1)) == ["p"]


def test_gated_pods_wait_for_their_gates() -> None:
    queue = Queue()
    queue.put(pod("p", gated=True), 0.0)
    queue.wake(Event.NODE_ADDED, 0.0)
    assert queue.take(1, 0.0) == []
    queue.put(pod("p"), 1.0)
    assert names(queue.take(1, 1.0)) == ["p"]


def test_a_pod_that_asks_for_something_else_is_tried_at_once() -> None:
    queue = Queue()
    queue.put(pod("p", cpu="64"), 0.0)
    queue.take(1, 0.0)
    queue.unschedulable(("default", "p"), {"NodeResourcesFit"}, 0.0)
    queue.put(pod("p", cpu="64"), 0.1)
    assert queue.take(1, 0.1) == []
    queue.put(pod("p", cpu="1"), 0.2)
    assert names(queue.take(1, 0.2)) == ["p"]


def test_nothing_waits_for_ever() -> None:
    queue = Queue()
    queue.put(pod("p"), 0.0)
    queue.take(1, 0.0)
    queue.unschedulable(("default", "p"), {"NodeAffinity"}, 0.0)
    assert queue.next_due() == LONGEST_WAIT
    assert names(queue.take(1, LONGEST_WAIT)) == ["p"]


def test_every_filter_names_what_helps() -> None:
    for profile in PROFILES.values():
        assert {plugin.name for plugin in profile.filters} <= set(HELPFUL)


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "take", "fail", "retry", "remove", "wake"]), st.integers(0, 3)),
        max_size=40,
    )
)
def test_no_pod_is_lost_and_none_is_handed_out_twice(steps: list[tuple[str, int]]) -> None:
    queue = Queue()
    known: set[str] = set()
    out: set[str] = set()
    now = 0.0
    for step, index in steps:
        now += 0.7
        name = f"p{index}"
        key = ("default", name)
        if step == "put":
            queue.put(pod(name), now)
            known.add(name)
        elif step == "take":
            taken = names(queue.take(2, now))
            assert not out & set(taken)
            assert set(taken) <= known
            out |= set(taken)
        elif step == "fail" and name in out:
            queue.unschedulable(key, {"NodeResourcesFit"}, now)
            out.discard(name)
        elif step == "retry" and name in out:
            queue.retry(key, now)
            out.discard(name)
        elif step == "remove":
            queue.remove(key)
            known.discard(name)
            out.discard(name)
        elif step == "wake":
            queue.wake(Event.POD_REMOVED, now)
    assert len(queue) == len(known)
    assert set(names(queue.take(9, now + 2 * LONGEST_WAIT))) == known - out


@pytest.mark.parametrize("again", [False, True])
def test_a_namesake_is_another_pod(again: bool) -> None:
    queue = Queue()
    queue.put(pod("p"), 0.0)
    queue.take(1, 0.0)
    obj = make_pod("p", {"cpu": "1"})
    obj["metadata"]["uid"] = "uid-p" if again else "other"
    queue.put(Pod.of(obj), 1.0)
    assert bool(queue.take(1, 1.0)) is not again
