"""Who has to leave so that a more important pod fits."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from naivescheduler import Object, make_node, make_pod

from scheduler.columns import Columns, snapshot
from scheduler.plan import Plan, plan
from scheduler.preemption import Preemption, Refusal
from scheduler.profiles import BINPACK
from scheduler.views import Budget, Node, Pod


def placed(name: str, node: str, cpu: str = "1", priority: int = 0, started: str = "", **more: Any) -> Pod:
    obj = make_pod(name, {"cpu": cpu}, priority=priority, nodeName=node, **more)
    obj["status"] = {"startTime": started or "2026-01-01T00:00:00Z"}
    return Pod.of(obj)


def budget(allowed: int, app: str) -> Budget:
    return Budget.of(
        {
            "metadata": {"namespace": "default", "name": "budget"},
            "spec": {"selector": {"matchLabels": {"app": app}}},
            "status": {"disruptionsAllowed": allowed},
        }
    )


def cluster(nodes: list[Object], pods: list[Pod]) -> Columns:
    return snapshot([Node.of(n) for n in nodes], pods)


def outcome(result: Plan) -> Preemption:
    found = result.unplaced[0].preemption
    assert isinstance(found, Preemption)
    return found


def names(found: Preemption) -> list[str]:
    return sorted(victim.name for victim in found.victims)


def important(cpu: str = "2", priority: int = 10, name: str = "important", **spec: Any) -> Pod:
    return Pod.of(make_pod(name, {"cpu": cpu}, priority=priority, **spec))


def test_only_as_many_leave_as_are_in_the_way() -> None:
    columns = cluster([make_node("a", cpu="4")], [placed(f"p{i}", "a", priority=i) for i in range(4)])
    found = outcome(plan([important()], columns, BINPACK))
    assert found.node == "a"
    assert names(found) == ["p0", "p1"]


def test_the_node_with_the_least_important_victims_is_chosen() -> None:
    columns = cluster(
        [make_node("a", cpu="2"), make_node("b", cpu="2")],
        [placed("high", "a", "2", priority=5), placed("low", "b", "2", priority=1)],
    )
    assert names(outcome(plan([important()], columns, BINPACK))) == ["low"]


def test_fewer_victims_are_better_among_equals() -> None:
    columns = cluster(
        [make_node("a", cpu="2"), make_node("b", cpu="2")],
        [placed("one", "a", "1"), placed("two", "a", "1"), placed("whole", "b", "2")],
    )
    assert names(outcome(plan([important()], columns, BINPACK))) == ["whole"]


def test_the_pod_that_started_last_leaves_first() -> None:
    columns = cluster(
        [make_node("a", cpu="2"), make_node("b", cpu="2")],
        [
            placed("old", "a", "2", started="2026-01-01T00:00:00Z"),
            placed("young", "b", "2", started="2026-02-01T00:00:00Z"),
        ],
    )
    assert names(outcome(plan([important()], columns, BINPACK))) == ["young"]


def test_disruption_budgets_are_spared_where_possible() -> None:
    columns = cluster(
        [make_node("a", cpu="2"), make_node("b", cpu="2")],
        [placed("guarded", "a", "2", labels={"app": "x"}), placed("free", "b", "2", priority=5)],
    )
    result = plan([important()], columns, BINPACK, budgets=[budget(0, "x")])
    assert names(outcome(result)) == ["free"]


def test_a_disruption_budget_does_not_save_the_only_way() -> None:
    columns = cluster([make_node("a", cpu="2")], [placed("guarded", "a", "2", labels={"app": "x"})])
    found = outcome(plan([important()], columns, BINPACK, budgets=[budget(0, "x")]))
    assert names(found) == ["guarded"]
    assert found.violations == 1


def test_equals_and_betters_are_never_preempted() -> None:
    columns = cluster([make_node("a", cpu="2")], [placed("equal", "a", "2", priority=10)])
    [unplaced] = plan([important()], columns, BINPACK).unplaced
    assert unplaced.message == (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


def test_a_pod_that_may_not_preempt_does_not() -> None:
    columns = cluster([make_node("a", cpu="2")], [placed("low", "a", "2")])
    [unplaced] = plan([important(preemptionPolicy="Never")], columns, BINPACK).unplaced
    assert unplaced.message.endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_preemption_frees_ports() -> None:
    ports = [{"hostPort": 80}]
    columns = cluster([make_node("a")], [placed("holder", "a", ports=ports), placed("other", "a")])
    assert names(outcome(plan([important(ports=ports)], columns, BINPACK))) == ["holder"]


def test_preemption_removes_pods_that_keep_others_away() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    columns = cluster([make_node("a")], [placed("lonely", "a", affinity=affinity), placed("other", "a")])
    assert names(outcome(plan([important(labels={"app": "x"})], columns, BINPACK))) == ["lonely"]


def test_the_room_made_is_kept_from_the_less_important() -> None:
    columns = cluster([make_node("a", cpu="3")], [placed("victim", "a", "2")])
    small = Pod.of(make_pod("small", {"cpu": "1"}))
    result = plan([important("3"), small], columns, BINPACK)
    assert names(outcome(result)) == ["victim"]
    assert [u.pod.name for u in result.unplaced] == ["important", "small"]


def test_two_pods_preempt_for_themselves_each() -> None:
    columns = cluster(
        [make_node("a", cpu="2"), make_node("b", cpu="2")], [placed("x", "a", "2"), placed("y", "b", "2")]
    )
    result = plan([important(), important(name="second")], columns, BINPACK)
    found = [u.preemption for u in result.unplaced]
    assert sorted(p.node for p in found if isinstance(p, Preemption)) == ["a", "b"]


def test_while_victims_leave_no_more_are_taken() -> None:
    obj = make_pod("victim", {"cpu": "2"}, nodeName="a")
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    obj["status"] = {
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
    }
    columns = cluster([make_node("a", cpu="3")], [Pod.of(obj), placed("bystander", "a", "1")])
    waiting = make_pod("important", {"cpu": "2"}, priority=10)
    waiting["status"] = {"nominatedNodeName": "a"}
    [unplaced] = plan([Pod.of(waiting)], columns, BINPACK).unplaced
    assert isinstance(unplaced.preemption, Refusal)
    assert unplaced.preemption.message == "not eligible due to a terminating pod on the nominated node."


def test_a_nominated_pod_goes_where_its_room_was_made() -> None:
    columns = cluster([make_node("a", cpu="4"), make_node("b", cpu="64")], [])
    waiting = make_pod("important", {"cpu": "2"}, priority=10)
    for node in ("a", "b"):
        waiting["status"] = {"nominatedNodeName": node}
        pod = Pod.of(waiting)
        [placement] = plan([pod], columns, BINPACK, nominated={pod.uid: pod}).placements
        assert placement.node == node
        columns.remove_pod(pod.uid)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 4)), max_size=12),
    st.integers(1, 8),
    st.integers(0, 5),
)
def test_victims_are_enough_none_is_needless_and_all_are_less_important(
    running: list[tuple[str, int, int]], cpu: int, priority: int
) -> None:
    nodes = [make_node(name, cpu="6") for name in "abc"]
    pods = []
    left = dict.fromkeys("abc", 6)
    for index, (node, size, importance) in enumerate(running):
        if left[node] >= size:
            left[node] -= size
            pods.append(placed(f"p{index}", node, str(size), importance))
    columns = cluster(nodes, pods)
    before = columns.requested.copy()
    pod = important(str(cpu), priority)
    result = plan([pod], columns, BINPACK)
    if result.placements:
        return
    assert (columns.requested == before).all()
    found = result.unplaced[0].preemption
    if isinstance(found, Refusal):
        for node in "abc":
            lower = sum(
                p.wants.requests["cpu"] for p in pods if p.node == node and p.wants.priority < priority
            )
            assert left[node] * 1000 + lower < cpu * 1000
        return
    freed = [victim.wants.requests["cpu"] for victim in found.victims]
    room = left[found.node] * 1000 + sum(freed)
    assert room >= cpu * 1000
    assert all(room - amount < cpu * 1000 for amount in freed)
    assert all(victim.node == found.node and victim.wants.priority < priority for victim in found.victims)
