"""Lost nodes, taints, evictions, pod CIDRs and the pods nobody will finish."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from clustermodel import START, ClusterModel
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import meta, resources
from controllermanager.plans import nodehealth, nodeipam, podgc, taints
from controllermanager.plans.actions import Delete, Event, Patch, RequeueAfter
from controllermanager.plans.views import PodView, pod_view

NODES = resources.get("nodes")
PODS = resources.get("pods")
UNREACHABLE = "node.kubernetes.io/unreachable"
NOT_READY = "node.kubernetes.io/not-ready"


def node(ready: str = "True", name: str = "n", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "reason": "r"}] if ready else []
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


def pod(
    name: str = "p", *, tolerations: Any = (), node: str = "n", ready: bool = True, **more: Any
) -> PodView:
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": "2025-01-01T00:00:00Z"}]
    metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1"}
    if more.get("created"):
        metadata["creationTimestamp"] = more["created"]
    if more.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec = {"nodeName": node, "tolerations": list(tolerations), "containers": []}
    status = {"phase": more.get("phase", "Running"), "conditions": conditions}
    return pod_view({"metadata": metadata, "spec": spec, "status": status})


def kept(obj: dict[str, Any], evict: bool) -> set[tuple[str, str]]:
    return {(t["key"], t["effect"]) for t in nodehealth.wanted_taints(obj, evict, START)}


def test_silence_makes_every_condition_unknown_once() -> None:
    model = ClusterModel()
    model.add(NODES, node())
    model.carry_out(nodehealth.unknown_conditions(model.get(NODES, "n"), START))
    conditions = {c["type"]: c for c in model.get(NODES, "n")["status"]["conditions"]}
    assert conditions["Ready"]["message"] == "Kubelet stopped posting node status."
    assert conditions["MemoryPressure"]["reason"] == "NodeStatusNeverUpdated"
    assert {c["status"] for c in conditions.values()} == {"Unknown"}
    assert nodehealth.unknown_conditions(model.get(NODES, "n"), START) == []


def test_a_heartbeat_is_any_change_of_lease_or_status() -> None:
    signs = {
        nodehealth.sign_of_life(node(), None),
        nodehealth.sign_of_life(node("False"), None),
        nodehealth.sign_of_life(node(), {"spec": {"renewTime": "t1"}}),
        nodehealth.sign_of_life(node(), {"spec": {"renewTime": "t2"}}),
    }
    assert len(signs) == 4
    heartbeat = nodehealth.Heartbeat((), 100.0)
    assert not nodehealth.is_lost(heartbeat, 140.0, 40.0)
    assert nodehealth.is_lost(heartbeat, 140.1, 40.0)


def test_taints_follow_conditions_and_keep_those_of_others() -> None:
    mine = {"key": "mine", "effect": "NoExecute"}
    assert kept(node(taints=[mine]), False) == {("mine", "NoExecute")}
    lost = node("Unknown", taints=[mine, {"key": NOT_READY, "effect": "NoSchedule"}])
    assert kept(lost, False) == {("mine", "NoExecute"), (UNREACHABLE, "NoSchedule")}
    assert kept(lost, True) == {
        ("mine", "NoExecute"),
        (UNREACHABLE, "NoSchedule"),
        (UNREACHABLE, "NoExecute"),
    }
    assert kept(node("False"), True) == {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")}
    assert kept(node("", unschedulable=True), False) == {
        (NOT_READY, "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    }
    pressed = node()
    pressed["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})
    assert kept(pressed, False) == {("node.kubernetes.io/disk-pressure", "NoSchedule")}


def test_a_no_execute_taint_keeps_its_time() -> None:
    added = {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": "2025-12-31T00:00:00Z"}
    wanted = nodehealth.wanted_taints(node("Unknown", taints=[added]), True, START)
    assert added in wanted
    fresh = nodehealth.wanted_taints(node("Unknown"), True, START)
    assert {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"} in fresh


def test_a_lost_nodes_pods_are_not_ready() -> None:
    lost = {**node("Unknown"), "metadata": {"name": "n", "uid": "n"}}
    actions = nodehealth.not_ready_pods(lost, [pod("a"), pod("b", ready=False)], START)
    assert [type(a) for a in actions] == [Patch, Event]


def test_evictions_stop_when_everything_fails_at_once() -> None:
    budget = nodehealth.EvictionBudget(0.1)

    def rate(ready: int, lost: int) -> float:
        nodes = [node() for _ in range(ready)] + [node("Unknown") for _ in range(lost)]
        return budget.allowed_rate(nodes)

    assert rate(2, 1) == 0.1
    assert rate(0, 1) == 0.0
    assert rate(2, 3) == 0.0
    assert rate(20, 40) == 0.01


def test_one_node_at_a_time_is_evicted_from() -> None:
    budget = nodehealth.EvictionBudget(0.1)
    assert budget.take(0.1, 100.0)
    assert not budget.take(0.1, 105.0)
    assert budget.take(0.1, 110.5)


ADDED = {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("tolerations", "left"),
    [
        ([], 0.0),
        ([{"operator": "Exists"}], None),
        (
            [{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            290.0,
        ),
        ([{"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 5}], 0.0),
        ([{"key": UNREACHABLE, "operator": "Equal", "value": "x"}], 0.0),
        ([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoSchedule"}], 0.0),
        ([{"operator": "Exists"}, {"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 60}], 50.0),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: list[Any], left: float | None) -> None:
    assert taints.stays_for(pod(tolerations=tolerations), [ADDED], START + timedelta(seconds=10)) == left


def test_pods_leave_when_their_time_is_up() -> None:
    tainted = node(taints=[ADDED])
    later = [{"operator": "Exists", "tolerationSeconds": 30}]
    pods = [pod("now"), pod("later", tolerations=later), pod("gone", deleting=True)]
    actions = taints.plan(tainted, pods, START)
    assert [a.name for a in actions if isinstance(a, Delete)] == ["now"]
    assert [a.seconds for a in actions if isinstance(a, RequeueAfter)] == [30.01]
    actions = taints.plan(tainted, pods[1:], START + timedelta(seconds=30))
    assert [a.name for a in actions if isinstance(a, Delete)] == ["later"]
    assert taints.plan(node(), pods, START) == []


def test_a_pod_that_came_after_a_taint_has_its_time_from_then() -> None:
    tolerations = [{"operator": "Exists", "tolerationSeconds": 30}]
    late = pod(tolerations=tolerations, created="2026-01-01T00:00:20Z")
    assert taints.stays_for(late, [ADDED], START + timedelta(seconds=40)) == 10.0


def test_taints_that_do_not_say_when_count_from_when_they_were_seen() -> None:
    bare = {"key": "a", "effect": "NoExecute"}
    tainted = node(taints=[bare, ADDED, {"key": "b", "effect": "NoSchedule"}])
    dated, seen = taints.dated(tainted, {}, "2026-01-01T00:00:05Z")
    assert seen == {"a=": "2026-01-01T00:00:05Z"} and "timeAdded" not in bare
    pods = [pod("p", tolerations=[{"operator": "Exists", "tolerationSeconds": 30}])]
    assert not [a for a in taints.plan(dated, pods, START + timedelta(seconds=5)) if isinstance(a, Delete)]
    later = START + timedelta(seconds=36)
    dated, seen = taints.dated(tainted, seen, meta.rfc3339(later))
    assert [a.name for a in taints.plan(dated, pods, later) if isinstance(a, Delete)] == ["p"]
    assert taints.dated(node(taints=[ADDED]), seen, "2026-01-01T00:01:00Z") == (node(taints=[ADDED]), {})


@given(st.sets(st.integers(1, 15), max_size=15))
def test_shares_never_overlap_and_leave_the_gateways_network_alone(indexes: set[int]) -> None:
    used = [f"10.244.{i * 16}.0/20" for i in indexes]
    share = nodeipam.free_share("10.244.0.0/16", 20, used)
    if len(indexes) == 15:
        assert share is None
        return
    assert share is not None and share not in used
    network = ip_network(share)
    assert network.subnet_of(ip_network("10.244.0.0/16"))  # type: ignore[arg-type]
    assert network != ip_network("10.244.0.0/20")


def test_a_node_gets_its_share_once_and_an_event_if_there_is_none() -> None:
    fresh = {"metadata": {"name": "n", "uid": "u"}}
    (patch,) = nodeipam.plan(fresh, [], "10.244.0.0/16", 24)
    assert isinstance(patch, Patch)
    assert patch.patch["spec"] == {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]}
    assert nodeipam.plan({**fresh, "spec": {"podCIDR": "x"}}, [], "10.244.0.0/16", 24) == []
    (event,) = nodeipam.plan(fresh, ["10.0.0.128/25"], "10.0.0.0/24", 25)
    assert isinstance(event, Event) and event.reason == "CIDRNotAvailable"


def test_pods_of_vanished_nodes_fail_and_go() -> None:
    pods = [
        pod("a", node="gone"),
        pod("b", node="gone", phase="Succeeded"),
        pod("c"),
        pod("d", node="", deleting=True),
    ]
    assert podgc.orphaned(pods, {"n"}) == {"gone"}
    actions = podgc.plan(pods, {"gone"}, (), START)
    assert [(type(a), getattr(a, "name", "")) for a in actions] == [
        (Patch, "a"),
        (Delete, "a"),
        (Delete, "b"),
        (Patch, "d"),
        (Delete, "d"),
    ]
    vanished, never = (a.patch["status"] for a in actions if isinstance(a, Patch))
    assert (vanished["phase"], never) == ("Failed", {"phase": "Failed"})
    assert vanished["conditions"][0]["reason"] == "DeletionByPodGC"
    assert all(a.grace_period_seconds == 0 for a in actions if isinstance(a, Delete))


def test_pods_leaving_a_node_declared_dead_are_gone() -> None:
    dead = node("Unknown", taints=[{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}])
    assert podgc.is_out_of_service(dead)
    actions = podgc.plan([pod("a", deleting=True), pod("b")], (), {"n"}, START)
    assert [a.name for a in actions if isinstance(a, Delete)] == ["a"]
