"""Plans against a scheduler written the obvious way, and the invariants every plan keeps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naivescheduler import Cluster, Object, make_node, make_pod

from scheduler.columns import snapshot
from scheduler.plan import Plan, plan
from scheduler.profiles import BINPACK, PROFILES, SPREAD
from scheduler.views import Node, Pod

KEYS = ["zone", "rack", "kubernetes.io/hostname"]
EFFECTS = ["NoSchedule", "NoExecute", "PreferNoSchedule"]


@st.composite
def nodes(draw: st.DrawFn) -> list[Object]:
    result = []
    for index in range(draw(st.integers(1, 6))):
        labels = draw(
            st.dictionaries(
                st.sampled_from(["zone", "rack", "size"]), st.sampled_from(["1", "2"]), max_size=3
            )
        )
        taints = draw(
            st.lists(
                st.fixed_dictionaries(
                    {
                        "key": st.sampled_from(["a", "b"]),
                        "value": st.just("x"),
                        "effect": st.sampled_from(EFFECTS),
                    }
                ),
                max_size=1,
            )
        )
        gpus = {"example_com__gpu": "2"} if draw(st.booleans()) else {}
        result.append(
            make_node(
                f"node-{index}",
                cpu=draw(st.sampled_from(["1", "2", "4"])),
                memory=draw(st.sampled_from(["1Gi", "4Gi"])),
                pods=draw(st.sampled_from(["2", "10"])),
                labels=labels,
                taints=taints,
                unschedulable=draw(st.sampled_from([False, False, False, True])),
                **gpus,
            )
        )
    return result


expressions = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["zone", "rack", "size"]),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(["1", "2"]), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries(
        {"key": st.sampled_from(["zone", "rack"]), "operator": st.sampled_from(["Exists", "DoesNotExist"])}
    ),
    st.fixed_dictionaries(
        {"key": st.just("size"), "operator": st.sampled_from(["Gt", "Lt"]), "values": st.just(["1"])}
    ),
)
named = st.fixed_dictionaries(
    {
        "key": st.just("metadata.name"),
        "operator": st.sampled_from(["In", "NotIn"]),
        "values": st.just(["node-1"]),
    }
)
selector = st.fixed_dictionaries({"matchLabels": st.fixed_dictionaries({"app": st.sampled_from(["x", "y"])})})
pod_term = st.fixed_dictionaries({"topologyKey": st.sampled_from(KEYS), "labelSelector": selector})


@st.composite
def templates(draw: st.DrawFn) -> dict[str, Any]:
    requests = {
        "cpu": draw(st.sampled_from(["0", "300m", "1"])),
        "memory": draw(st.sampled_from(["0", "512Mi", "2Gi"])),
    }
    if draw(st.integers(0, 4)) == 0:
        requests["example.com/gpu"] = "1"
    template: dict[str, Any] = {"requests": requests, "labels": {"app": draw(st.sampled_from(["x", "y"]))}}
    if draw(st.booleans()):
        template["tolerations"] = [
            draw(
                st.sampled_from(
                    [{"operator": "Exists"}, {"key": "a", "value": "x"}, {"key": "b", "operator": "Exists"}]
                )
            )
        ]
    if draw(st.integers(0, 3)) == 0:
        template["nodeSelector"] = {"zone": draw(st.sampled_from(["1", "2"]))}
    if draw(st.integers(0, 3)) == 0:
        template["ports"] = [
            {"hostPort": 80, **draw(st.sampled_from([{}, {"hostIP": "10.0.0.1"}, {"protocol": "UDP"}]))}
        ]
    affinity: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        term: dict[str, Any] = {"matchExpressions": draw(st.lists(expressions, max_size=2))}
        if draw(st.booleans()):
            term["matchFields"] = [draw(named)]
        affinity["nodeAffinity"] = {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}
        }
    for kind in ("podAffinity", "podAntiAffinity"):
        if draw(st.integers(0, 3)) == 0:
            terms = draw(st.lists(pod_term, min_size=1, max_size=2))
            preferred = [{"weight": 5, "podAffinityTerm": draw(pod_term)}]
            affinity[kind] = {
                "requiredDuringSchedulingIgnoredDuringExecution": terms,
                "preferredDuringSchedulingIgnoredDuringExecution": preferred,
            }
    if affinity:
        template["affinity"] = affinity
    if draw(st.integers(0, 2)) == 0:
        template["topologySpreadConstraints"] = [
            {
                "maxSkew": draw(st.integers(1, 2)),
                "topologyKey": draw(st.sampled_from(KEYS)),
                "whenUnsatisfiable": draw(
                    st.sampled_from(["DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"])
                ),
                "labelSelector": draw(selector),
                **draw(
                    st.sampled_from(
                        [
                            {},
                            {"minDomains": 2},
                            {"nodeTaintsPolicy": "Honor"},
                            {"nodeAffinityPolicy": "Ignore"},
                        ]
                    )
                ),
            }
            for _ in range(draw(st.integers(1, 2)))
        ]
    return template


@st.composite
def pods(draw: st.DrawFn) -> list[Object]:
    kinds = draw(st.lists(templates(), min_size=1, max_size=4))
    chosen = draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=14))
    return [make_pod(f"pod-{index}", **kinds[kind]) for index, kind in enumerate(chosen)]


def planned(listed: list[Object], asked: list[Object], profile: str = "binpack", seed: int = 0) -> Plan:
    columns = snapshot((Node.of(n) for n in listed), seed=seed)
    return plan([Pod.of(p) for p in asked], columns, PROFILES[profile])


@settings(max_examples=300, deadline=None)
@given(nodes(), pods(), st.sampled_from(["binpack", "spread"]))
def test_every_verdict_is_what_looking_at_each_node_gives(
    listed: list[Object], asked: list[Object], profile: str
) -> None:
    columns = snapshot(Node.of(n) for n in listed)
    cluster = Cluster(listed)
    for obj in asked:
        failures = {name: cluster.failure(obj, name) for name in cluster.nodes}
        result = plan([Pod.of(obj)], columns, PROFILES[profile])
        if result.placements:
            node = result.placements[0].node
            assert failures[node] == ""
            cluster.place(obj, node)
        else:
            blamed = {
                columns.node_name(row): rejection.plugin
                for rejection in result.unplaced[0].diagnosis.rejections
                for row in rejection.rows.tolist()
            }
            assert blamed == failures


@settings(max_examples=150, deadline=None)
@given(nodes(), pods(), st.sampled_from(["binpack", "spread"]))
def test_a_batch_is_placed_as_its_pods_one_by_one(
    listed: list[Object], asked: list[Object], profile: str
) -> None:
    together = planned(listed, asked, profile)
    columns = snapshot(Node.of(n) for n in listed)
    one_by_one = [plan([Pod.of(p)], columns, PROFILES[profile]) for p in asked]
    assert {p.pod.name: p.node for p in together.placements} == {
        p.pod.name: p.node for single in one_by_one for p in single.placements
    }
    assert [u.message for u in together.unplaced] == [u.message for s in one_by_one for u in s.unplaced]


@settings(max_examples=150, deadline=None)
@given(nodes(), pods(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_nodes_does_not_matter(
    listed: list[Object], asked: list[Object], random: Any, seed: int
) -> None:
    shuffled = list(listed)
    random.shuffle(shuffled)
    first, second = planned(listed, asked, seed=seed), planned(shuffled, asked, seed=seed)
    assert {p.pod.name: p.node for p in first.placements} == {p.pod.name: p.node for p in second.placements}
    assert [u.message for u in first.unplaced] == [u.message for u in second.unplaced]


@settings(max_examples=100, deadline=None)
@given(nodes(), pods())
def test_no_node_is_given_more_than_it_has(listed: list[Object], asked: list[Object]) -> None:
    columns = snapshot(Node.of(n) for n in listed)
    plan([Pod.of(p) for p in asked], columns, BINPACK)
    assert (columns.requested <= columns.allocatable).all()


@settings(max_examples=100, deadline=None)
@given(nodes(), pods())
def test_columns_are_as_before_once_all_pods_have_left(listed: list[Object], asked: list[Object]) -> None:
    columns = snapshot(Node.of(n) for n in listed)
    for placement in plan([Pod.of(p) for p in asked], columns, BINPACK).placements:
        columns.remove_pod(placement.pod.uid)
    assert not columns.requested.any()
    assert not columns.scored.any()
    assert not columns.ports
    assert not columns.where
    matching = columns.matching
    assert not (matching.placed or matching.repelling or matching.required or matching.preferred)


@settings(max_examples=100, deadline=None)
@given(nodes(), nodes(), pods())
def test_changed_nodes_are_decided_on_as_if_they_had_always_been_so(
    before: list[Object], after: list[Object], asked: list[Object]
) -> None:
    columns = snapshot(Node.of(n) for n in before)
    plan([Pod.of(asked[0])], columns, BINPACK)
    for placement in list(columns.where):
        columns.remove_pod(placement)
    for name in set(columns.rows) - {n["metadata"]["name"] for n in after}:
        columns.remove_node(name)
    for node in after:
        columns.set_node(Node.of(node))
    mended = plan([Pod.of(p) for p in asked], columns, BINPACK)
    fresh = planned(after, asked)
    assert {p.pod.name: p.node for p in mended.placements} == {p.pod.name: p.node for p in fresh.placements}


def test_the_fuller_node_is_packed_first() -> None:
    listed = [make_node("a"), make_node("b")]
    asked = [make_pod(f"p{i}", {"cpu": "1", "memory": "1Gi"}) for i in range(4)]
    assert len({p.node for p in planned(listed, asked).placements}) == 1


def test_the_spreading_profile_uses_every_node() -> None:
    listed = [make_node(f"n{i}") for i in range(4)]
    asked = [make_pod(f"p{i}", {"cpu": "1"}) for i in range(4)]
    assert len({p.node for p in planned(listed, asked, "spread").placements}) == 4


def test_pods_that_need_no_gpu_keep_off_nodes_that_have_one() -> None:
    listed = [make_node("gpu", example_com__gpu="4"), make_node("plain")]
    asked = [make_pod(f"p{i}", {"cpu": "1"}) for i in range(4)]
    assert {p.node for p in planned(listed, asked).placements} == {"plain"}


def test_a_pod_prefers_the_node_its_affinity_prefers() -> None:
    preference = {
        "weight": 1,
        "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["2"]}]},
    }
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preference]}}
    listed = [make_node("a", labels={"zone": "1"}), make_node("b", labels={"zone": "2"})]
    for profile in PROFILES:
        assert planned(listed, [make_pod("p", affinity=affinity)], profile).placements[0].node == "b"


def test_preferred_taints_are_avoided() -> None:
    listed = [
        make_node("a", taints=[{"key": "k", "value": "v", "effect": "PreferNoSchedule"}]),
        make_node("b", cpu="64"),
    ]
    assert planned(listed, [make_pod("p")]).placements[0].node == "b"


def test_soft_topology_spread_goes_to_the_emptier_zone() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "x"}},
    }
    listed = [make_node("a", labels={"zone": "1"}), make_node("b", labels={"zone": "2"})]
    asked = [make_pod(f"p{i}", labels={"app": "x"}, topologySpreadConstraints=[constraint]) for i in range(4)]
    placements = planned(listed, asked).placements
    assert sorted(p.node for p in placements) == ["a", "a", "b", "b"]


def test_pods_of_one_controller_spread_in_the_spreading_profile() -> None:
    columns = snapshot([Node.of(make_node("big", cpu="64", memory="64Gi")), Node.of(make_node("small"))])
    asked = []
    for index in range(2):
        obj = make_pod(f"p{index}")
        obj["metadata"]["ownerReferences"] = [{"uid": "rs", "controller": True}]
        asked.append(Pod.of(obj))
    assert {p.node for p in plan(asked, columns, SPREAD).placements} == {"big", "small"}


def test_equal_nodes_are_told_apart_by_the_seed() -> None:
    listed = [make_node(f"n{i}") for i in range(20)]
    chosen = {planned(listed, [make_pod("p")], seed=seed).placements[0].node for seed in range(10)}
    assert len(chosen) > 1


def test_the_message_counts_each_reason() -> None:
    listed = [
        make_node("a", cpu="1"),
        make_node("b", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]),
        make_node("c", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]),
    ]
    [unplaced] = planned(listed, [make_pod("p", {"cpu": "2"})]).unplaced
    assert unplaced.message == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {gpu: yes}. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


def test_the_message_names_all_that_is_lacking_on_a_node() -> None:
    listed = [
        make_node("a", cpu="1", memory="1Gi"),
        make_node("b", unschedulable=True),
        make_node("c", pods="0"),
    ]
    columns = snapshot(Node.of(n) for n in listed)
    asked = make_pod("p", {"cpu": "2", "memory": "2Gi", "example.com/gpu": "1"})
    [unplaced] = plan([Pod.of(asked)], columns, BINPACK).unplaced
    assert unplaced.message == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods, "
        "1 node(s) were unschedulable, 2 Insufficient example.com/gpu. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    assert unplaced.diagnosis.per_node(columns) == {
        "a": ("Insufficient cpu", "Insufficient memory", "Insufficient example.com/gpu"),
        "b": ("node(s) were unschedulable",),
        "c": ("Insufficient example.com/gpu", "Too many pods"),
    }


def test_without_nodes_the_message_says_so() -> None:
    assert planned([], [make_pod("p")]).unplaced[0].message == "no nodes available to schedule pods"


def test_a_pod_pinned_to_a_node_does_not_blame_the_others() -> None:
    field = {"key": "metadata.name", "operator": "In", "values": ["a"]}
    required = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}
    }
    listed = [make_node("a", cpu="1"), make_node("b"), make_node("c")]
    [unplaced] = planned(listed, [make_pod("p", {"cpu": "2"}, affinity={"nodeAffinity": required})]).unplaced
    assert unplaced.message.startswith(
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. "
    )


@pytest.mark.parametrize("count", [1, 5])
def test_unplaceable_twins_share_a_diagnosis(count: int) -> None:
    result = planned([make_node("a")], [make_pod(f"p{i}", {"cpu": "9"}) for i in range(count)])
    assert len({id(u.diagnosis) for u in result.unplaced}) == 1
