"""What the scheduler believes of the cluster, between what it decided and what informers report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from naivescheduler import make_node, make_pod

from scheduler.cache import Cache
from scheduler.columns import Columns
from scheduler.plan import Plan, plan
from scheduler.preemption import Preemption
from scheduler.profiles import BINPACK
from scheduler.queue import Queue
from scheduler.views import Node, Pod


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.changes = 0
        self.columns = Columns()
        self.queue = Queue()
        self.cache = Cache(self.columns, self.queue, "default-scheduler", lambda: self.now, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def node(self, name: str, cpu: str = "4", **more: Any) -> None:
        row = self.columns.rows.get(name)
        old = self.columns.nodes[row] if row is not None else None
        self.cache.on_node(old, Node.of(make_node(name, cpu=cpu, **more)))

    def cycle(self) -> Plan:
        pods = self.queue.take(100, self.now)
        decided = plan(pods, self.columns, BINPACK, nominated=self.cache.nominated)
        for placement in decided.placements:
            self.cache.assume(placement)
        for unplaced in decided.unplaced:
            if isinstance(unplaced.preemption, Preemption):
                self.cache.nominate(unplaced.pod, unplaced.preemption.node, unplaced.preemption.victims)
            self.queue.unschedulable(unplaced.pod.key, unplaced.diagnosis.plugins, self.now)
        return decided

    def used(self, node: str) -> int:
        return int(self.columns.requested[0, self.columns.rows[node]])


@pytest.fixture
def world() -> World:
    return World()


def pod(name: str, cpu: str = "2", **spec: Any) -> Pod:
    return Pod.of(make_pod(name, {"cpu": cpu}, **spec))


def test_an_assumed_pod_counts_once_before_and_after_it_is_confirmed(world: World) -> None:
    world.node("a")
    p = pod("p")
    world.cache.on_pod(None, p)
    world.cycle()
    assert world.used("a") == 2000
    # News of the pod from before the binding does not bring it back into the queue.
    world.cache.on_pod(p, replace(p, resource_version="2"))
    assert world.cycle().placements == []
    bound = replace(p, node="a")
    world.cache.on_pod(p, bound)
    assert world.used("a") == 2000
    assert not world.cache.assumed
    assert len(world.queue) == 0
    world.cache.on_pod(bound, None)
    assert world.used("a") == 0


def test_a_failed_binding_gives_the_room_back_and_is_tried_again(world: World) -> None:
    world.node("a")
    world.cache.on_pod(None, pod("p"))
    [placement] = world.cycle().placements
    world.cache.forget(placement, retry=True)
    assert world.used("a") == 0
    assert world.cycle().placements == []
    world.now = 1.0
    assert len(world.cycle().placements) == 1


def test_a_late_failure_does_not_undo_what_the_api_confirmed(world: World) -> None:
    world.node("a")
    p = pod("p")
    world.cache.on_pod(None, p)
    [placement] = world.cycle().placements
    world.cache.on_pod(p, replace(p, node="a"))
    world.cache.forget(placement, retry=True)
    assert world.used("a") == 2000
    assert len(world.queue) == 0


def test_a_pod_deleted_while_it_is_bound_leaves_nothing(world: World) -> None:
    world.node("a")
    p = pod("p")
    world.cache.on_pod(None, p)
    [placement] = world.cycle().placements
    world.cache.on_pod(p, None)
    world.cache.forget(placement, retry=True)
    assert world.used("a") == 0
    assert len(world.queue) == 0


def test_finished_pods_free_their_room(world: World) -> None:
    world.node("a")
    running = pod("p", nodeName="a")
    world.cache.on_pod(None, running)
    world.cache.on_pod(None, pod("waiting", "4"))
    assert world.cycle().placements == []
    world.now = 2.0
    world.cache.on_pod(running, replace(running, finished=True))
    assert [p.pod.name for p in world.cycle().placements] == ["waiting"]


def test_pods_may_be_known_before_their_node(world: World) -> None:
    world.cache.on_pod(None, pod("p", nodeName="a"))
    world.node("a")
    assert world.used("a") == 2000


def test_a_node_that_comes_back_has_its_pods(world: World) -> None:
    world.node("a")
    world.cache.on_pod(None, pod("p", nodeName="a"))
    world.cache.on_node(Node.of(make_node("a")), None)
    world.node("b")
    assert world.used("b") == 0
    world.node("a")
    assert world.used("a") == 2000


def test_a_namesake_replaces_the_pod_before_it(world: World) -> None:
    world.node("a")
    first = pod("p", nodeName="a")
    world.cache.on_pod(None, first)
    second = replace(pod("p"), uid="another")
    world.cache.on_pod(first, second)
    assert world.used("a") == 0
    assert [p.pod.uid for p in world.cycle().placements] == ["another"]


def test_unchanged_nodes_wake_nobody(world: World) -> None:
    world.node("a", "1")
    world.cache.on_pod(None, pod("p"))
    world.cycle()
    world.now = 20.0
    changes = world.changes
    world.node("a", "1")
    assert world.changes == changes
    world.node("a", "2")
    assert len(world.cycle().placements) == 1


def test_preemption_from_decision_to_placement(world: World) -> None:
    world.node("a", "2")
    low = pod("low", nodeName="a")
    world.cache.on_pod(None, low)
    high = pod("high", priority=10)
    world.cache.on_pod(None, high)
    [unplaced] = world.cycle().unplaced
    assert isinstance(unplaced.preemption, Preemption)
    # Its victim is on the way out: nothing more is preempted for it meanwhile.
    world.now = 2.0
    world.cache.on_node(None, Node.of(make_node("tiny", cpu="1")))
    [again] = world.cycle().unplaced
    assert "terminating pod on the nominated node" in again.message
    # The room is not for the unimportant.
    world.cache.on_pod(None, pod("small", "2"))
    world.cache.on_pod(low, None)
    decided = world.cycle()
    assert [(p.pod.name, p.node) for p in decided.placements] == [("high", "a")]
    assert [u.pod.name for u in decided.unplaced] == ["small"]


def test_a_victim_that_could_not_be_deleted_is_preempted_again(world: World) -> None:
    world.node("a", "2")
    low = pod("low", nodeName="a")
    world.cache.on_pod(None, low)
    world.cache.on_pod(None, pod("high", priority=10))
    world.cycle()
    world.cache.spare(low)
    world.now = 400.0
    [unplaced] = world.cycle().unplaced
    assert isinstance(unplaced.preemption, Preemption)
    assert [v.name for v in unplaced.preemption.victims] == ["low"]
