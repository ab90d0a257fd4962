"""Single filters at their edges, where plans made of chance rarely get."""

from __future__ import annotations

from typing import Any

import pytest
from naivescheduler import Object, make_node, make_pod

from scheduler.columns import Columns, snapshot
from scheduler.plan import Plan, plan
from scheduler.profiles import BINPACK
from scheduler.views import Node, Pod

HOST = "kubernetes.io/hostname"


def columns(*nodes: Object, pods: tuple[Pod, ...] = ()) -> Columns:
    return snapshot((Node.of(n) for n in nodes), pods)


def zones(*names: str) -> list[Object]:
    return [make_node(f"n{i}", labels={"zone": zone} if zone else {}) for i, zone in enumerate(names)]


def placed(name: str, node: str, terminating: bool = False, **spec: Any) -> Pod:
    obj = make_pod(name, nodeName=node, **spec)
    if terminating:
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return Pod.of(obj)


def spread(key: str = "zone", **more: Any) -> list[Object]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "x"}},
            **more,
        }
    ]


def near(key: str, app: str = "x", kind: str = "podAffinity", **more: Any) -> Object:
    term = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def nodes_of(result: Plan) -> list[str]:
    return [p.node for p in result.placements]


@pytest.mark.parametrize(
    ("taken", "wanted", "free"),
    [
        ({}, {}, False),
        ({"hostIP": "10.0.0.1"}, {}, False),
        ({}, {"hostIP": "10.0.0.1"}, False),
        ({"hostIP": "10.0.0.1"}, {"hostIP": "0.0.0.0"}, False),
        ({"hostIP": "10.0.0.1"}, {"hostIP": "10.0.0.1"}, False),
        ({"hostIP": "10.0.0.1"}, {"hostIP": "10.0.0.2"}, True),
        ({}, {"protocol": "UDP"}, True),
        ({}, {"hostPort": 81}, True),
    ],
)
def test_host_ports_clash_by_protocol_and_address(taken: Object, wanted: Object, free: bool) -> None:
    state = columns(make_node("a"), pods=(placed("old", "a", ports=[{"hostPort": 80, **taken}]),))
    result = plan([Pod.of(make_pod("new", ports=[{"hostPort": 80, **wanted}]))], state, BINPACK)
    assert bool(result.placements) is free
    if not free:
        assert "1 node(s) didn't have free ports for the requested pod ports" in result.unplaced[0].message


def test_the_first_of_a_group_that_stays_together_starts_anywhere_the_others_follow() -> None:
    state = columns(*zones("1", "2", "3"))
    pods = [Pod.of(make_pod(f"p{i}", labels={"app": "x"}, affinity=near("zone"))) for i in range(3)]
    assert len(set(nodes_of(plan(pods, state, BINPACK)))) == 1


def test_a_group_stays_together_even_where_its_domain_is_full() -> None:
    state = columns(make_node("a", pods="1"), make_node("b"), pods=(placed("p", "a", labels={"app": "x"}),))
    pod = Pod.of(make_pod("q", labels={"app": "x"}, affinity=near(HOST)))
    [unplaced] = plan([pod], state, BINPACK).unplaced
    assert unplaced.message.startswith(
        "0/2 nodes are available: 1 Too many pods, 1 node(s) didn't match pod affinity rules."
    )


def test_affinity_to_nobody_fits_nowhere() -> None:
    [unplaced] = plan([Pod.of(make_pod("p", affinity=near("zone")))], columns(*zones("1")), BINPACK).unplaced
    assert "1 node(s) didn't match pod affinity rules" in unplaced.message


def test_affinity_reaches_other_namespaces_only_when_asked_to() -> None:
    other = placed("old", "n0", namespace="other", labels={"app": "x"})
    for term, fits in (({}, False), ({"namespaces": ["other"]}, True), ({"namespaceSelector": {}}, True)):
        state = columns(*zones("1"), pods=(other,))
        result = plan([Pod.of(make_pod("p", affinity=near("zone", **term)))], state, BINPACK)
        assert bool(result.placements) is fits


def test_namespaces_are_selected_by_their_labels() -> None:
    state = columns(*zones("1"), pods=(placed("old", "n0", namespace="other", labels={"app": "x"}),))
    term = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
    pod = Pod.of(make_pod("p", affinity=near("zone", **term)))
    assert not plan([pod], state, BINPACK).placements
    state.namespaces["other"] = {"team": "a"}
    state.matching.namespaces_changed()
    assert plan([pod], state, BINPACK).placements


def test_placed_pods_keep_away_whom_they_do_not_want() -> None:
    lonely = placed("old", "n0", affinity=near("zone", kind="podAntiAffinity"))
    state = columns(*zones("1", "1"), pods=(lonely,))
    [unplaced] = plan([Pod.of(make_pod("p", labels={"app": "x"}))], state, BINPACK).unplaced
    assert "2 node(s) didn't satisfy existing pods anti-affinity rules" in unplaced.message
    state.remove_pod(lonely.uid)
    assert plan([Pod.of(make_pod("p", labels={"app": "x"}))], state, BINPACK).placements


def test_too_few_domains_count_as_an_empty_one() -> None:
    pods = (placed("a", "n0", labels={"app": "x"}), placed("b", "n1", labels={"app": "x"}))
    for least, fits in ((2, True), (3, False)):
        state = columns(*zones("1", "2"), pods=pods)
        constraints = spread(minDomains=least)
        result = plan(
            [Pod.of(make_pod("p", labels={"app": "x"}, topologySpreadConstraints=constraints))],
            state,
            BINPACK,
        )
        assert bool(result.placements) is fits


@pytest.mark.parametrize(("leaving", "staying"), [("n0", "n1"), ("n1", "n0")])
def test_pods_on_their_way_out_do_not_count_in_the_spread(leaving: str, staying: str) -> None:
    labels = {"app": "x"}
    pods = (placed("old", leaving, True, labels=labels), placed("other", staying, labels=labels))
    state = columns(*zones("1", "2"), pods=pods)
    pod = Pod.of(make_pod("p", labels=labels, topologySpreadConstraints=spread()))
    assert nodes_of(plan([pod], state, BINPACK)) == [leaving]


def test_a_node_without_the_topology_key_is_no_domain() -> None:
    state = columns(*zones("1", ""))
    pods = [
        Pod.of(make_pod(f"p{i}", labels={"app": "x"}, topologySpreadConstraints=spread())) for i in range(3)
    ]
    assert set(nodes_of(plan(pods, state, BINPACK))) == {"n0"}
    blocked = columns(make_node("n0", cpu="0", labels={"zone": "1"}), make_node("n1"))
    wanted = make_pod("p", {"cpu": "1"}, {"app": "x"}, topologySpreadConstraints=spread())
    [unplaced] = plan([Pod.of(wanted)], blocked, BINPACK).unplaced
    assert (
        "1 node(s) didn't match pod topology spread constraints (missing required label)" in unplaced.message
    )


def test_nodes_the_pod_may_not_use_are_no_domains_unless_asked_for() -> None:
    for policy, fits in (("Honor", True), ("Ignore", False)):
        state = columns(*zones("1", "2"), pods=(placed("old", "n0", labels={"app": "x"}),))
        constraints = spread(nodeAffinityPolicy=policy)
        pod = make_pod(
            "p", labels={"app": "x"}, nodeSelector={"zone": "1"}, topologySpreadConstraints=constraints
        )
        assert bool(plan([Pod.of(pod)], state, BINPACK).placements) is fits


def test_cordoned_nodes_take_those_that_tolerate_it() -> None:
    tolerations = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}]
    assert not plan([Pod.of(make_pod("p"))], columns(make_node("a", unschedulable=True)), BINPACK).placements
    daemon = Pod.of(make_pod("d", tolerations=tolerations))
    assert plan([daemon], columns(make_node("a", unschedulable=True)), BINPACK).placements


def test_rows_of_removed_nodes_are_used_again() -> None:
    state = columns(*zones("1", "2"))
    for index in range(50):
        state.remove_node("n0")
        state.set_node(Node.of(make_node("n0", cpu=str(index + 1))))
    assert state.count == 2
    assert state.node_count == 2


def test_many_nodes_grow_every_column() -> None:
    state = columns()
    pods = [
        Pod.of(make_pod(f"p{i}", labels={"app": "x"}, topologySpreadConstraints=spread(HOST)))
        for i in range(99)
    ]
    for index in range(40):
        state.set_node(Node.of(make_node(f"n{index}", example_com__gpu="1")))
        plan([pods[index]], state, BINPACK)
    assert state.requested[state.resources["pods"], :40].sum() == 40
    assert state.allocatable[state.resources["example.com/gpu"], :40].sum() == 40


def test_a_pod_prefers_nodes_that_have_its_image() -> None:
    big = make_node("b")
    big["status"]["images"] = [{"names": ["app:1"], "sizeBytes": 900 * 1024 * 1024}]
    for order in ([make_node("a"), big], [big, make_node("a")]):
        assert nodes_of(plan([Pod.of(make_pod("p"))], columns(*order), BINPACK)) == ["b"]


def test_preferred_affinity_counts_in_both_directions() -> None:
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}
    wish = [{"weight": 100, "podAffinityTerm": term}]
    toward = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wish}}
    away = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wish}}
    for affinity, expected in ((toward, "n0"), (away, "n1")):
        state = columns(*zones("1", "2"), pods=(placed("x", "n0", labels={"app": "x"}),))
        assert nodes_of(plan([Pod.of(make_pod("p", affinity=affinity))], state, BINPACK)) == [expected]
        state = columns(*zones("1", "2"), pods=(placed("y", "n0", affinity=affinity),))
        assert nodes_of(plan([Pod.of(make_pod("p", labels={"app": "x"}))], state, BINPACK)) == [expected]
