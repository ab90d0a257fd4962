"""Columns that were kept up to date are as columns made anew."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from naivescheduler import Object, make_node, make_pod

from scheduler.columns import Columns, snapshot
from scheduler.views import Node, Pod

TERM = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}}
REQUIRED = {"requiredDuringSchedulingIgnoredDuringExecution": [TERM]}
AFFINITIES: list[Object] = [{}, {"podAntiAffinity": REQUIRED}, {"podAffinity": REQUIRED}]
PORTS = [{"hostPort": 80}]

steps = st.lists(
    st.tuples(
        st.sampled_from(["node", "remove node", "pod", "terminating", "remove pod"]),
        st.integers(0, 30),
        st.integers(0, 5),
    ),
    max_size=40,
)


def described(columns: Columns, pod: Pod) -> dict[str, object]:
    """Everything the columns say, by node name; zeros left out."""
    matching = columns.matching
    anti = pod.wants.anti_affinity[0]
    vectors = {
        "all": matching.of_term(anti),
        "staying": matching.of_term(anti, skip_terminating=True),
        "owned": matching.of_owner("default", "owner"),
        "scored": columns.scored[0],
        **{f"requested {name}": columns.requested[index] for name, index in columns.resources.items()},
        **{f"allocatable {name}": columns.allocatable[index] for name, index in columns.resources.items()},
        **{f"repelling {key!r}": carried.per_row for key, carried in matching.repelling.items()},
        **{f"required {key!r}": carried.per_row for key, carried in matching.required.items()},
    }
    result: dict[str, object] = {
        "ports": {columns.node_name(row) for holders in columns.ports.values() for row in holders},
        "zones": {
            name: columns.label("zone").values[columns.label("zone").codes[row]]
            for name, row in columns.rows.items()
        },
        "pods": {name: set(columns.pods[row]) for name, row in columns.rows.items()},
    }
    for title, vector in vectors.items():
        found = {name: int(vector[row]) for name, row in columns.rows.items() if vector[row]}
        assert int(vector.sum()) == sum(found.values())
        if found:
            result[title] = found
    return result


@settings(max_examples=200, deadline=None)
@given(steps)
def test_kept_columns_equal_fresh_ones(changes: list[tuple[str, int, int]]) -> None:
    probe = Pod.of(make_pod("probe", affinity=AFFINITIES[1]))
    kept = Columns()
    described(kept, probe)  # Makes the counters and label columns that are to be kept.
    nodes: dict[str, Node] = {}
    pods: dict[str, Pod] = {}
    for what, index, kind in changes:
        name = f"n{index}"
        if what == "node":
            # Several at once, so that they soon outgrow the first rows.
            for number in range(index, index + 8):
                labels = {"zone": str(kind)} if kind else {}
                more = {"example_com__gpu": "2"} if kind == 4 else {}
                nodes[f"n{number}"] = Node.of(
                    make_node(f"n{number}", cpu=str(kind + 1), labels=labels, **more)
                )
                kept.set_node(nodes[f"n{number}"])
        elif what == "remove node":
            nodes.pop(name, None)
            kept.remove_node(name)
        elif what == "pod":
            obj = make_pod(
                f"p{index}",
                {"cpu": f"{kind}", "example.com/gpu": "1"},
                {"app": "x"} if kind % 2 else {},
                nodeName=f"n{(index * 7 + kind) % 38}",
                affinity=AFFINITIES[kind % 3],
                ports=PORTS if kind == 3 else [],
            )
            obj["metadata"]["ownerReferences"] = [{"uid": "owner", "controller": True}]
            pod = pods[f"p{index}"] = Pod.of(obj)
            kept.add_pod(pod, pod.node)
        elif what == "terminating" and f"p{index}" in pods:
            pod = pods[f"p{index}"] = replace(pods[f"p{index}"], terminating=True)
            kept.add_pod(pod, pod.node)
        elif what == "remove pod" and f"p{index}" in pods:
            kept.remove_pod(pods.pop(f"p{index}").uid)
    assert described(kept, probe) == described(snapshot(nodes.values(), pods.values()), probe)
