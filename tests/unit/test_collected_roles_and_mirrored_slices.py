"""Roles that collect others' rules, bootstrap tokens that expire, Endpoints shown as EndpointSlices."""

from __future__ import annotations

from base64 import b64encode
from itertools import count
from typing import Any

from clustermodel import START, ClusterModel
from hypothesis import given
from hypothesis import strategies as st

from controllermanager.plans import bootstraptokens, roleaggregation, slicemirroring
from controllermanager.plans.actions import Delete, Patch, RequeueAfter
from controllermanager.plans.endpoints import ENDPOINTS
from controllermanager.plans.endpointslice import MANAGED_BY, SERVICE_NAME, SERVICES, SLICES


def role(name: str, *verbs: str, labels: Any = None, **more: Any) -> dict[str, Any]:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]} for verb in verbs]
    metadata = {"name": name, "resourceVersion": "1", "labels": labels or {}}
    return {"metadata": metadata, "rules": rules, **more}


def test_an_aggregating_role_has_the_rules_of_those_it_selects_each_once() -> None:
    selectors = {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}, {"matchLabels": {"also": "yes"}}]}
    every = [
        role("z", "list", "get", labels={"to": "all"}),
        role("a", "get", labels={"to": "all", "also": "yes"}),
        role("m", "watch", labels={"also": "yes"}),
        role("other", "delete"),
    ]
    mine = role("all", "stale", labels={"to": "all"}, aggregationRule=selectors)
    (patch,) = roleaggregation.plan(mine, [*every, mine])
    assert isinstance(patch, Patch)
    assert [rule["verbs"] for rule in patch.patch["rules"]] == [["get"], ["list"], ["watch"]]
    assert not roleaggregation.plan({**mine, "rules": patch.patch["rules"]}, [*every, mine])
    assert not roleaggregation.plan(every[0], every)


def token(
    expiration: str, kind: str = bootstraptokens.TYPE, namespace: str = "kube-system"
) -> dict[str, Any]:
    metadata = {"name": "bootstrap-token-abcdef", "namespace": namespace, "uid": "u", "resourceVersion": "1"}
    return {
        "metadata": metadata,
        "type": kind,
        "data": {"expiration": b64encode(expiration.encode()).decode()},
    }


def test_tokens_go_when_their_time_has_come() -> None:
    assert bootstraptokens.plan(token("2026-01-01T00:01:00Z"), START) == [RequeueAfter(60)]
    for text in ("2025-12-31T23:59:59Z", "never"):
        (action,) = bootstraptokens.plan(token(text), START)
        assert isinstance(action, Delete)
    assert not bootstraptokens.plan(token("2025-01-01T00:00:00Z", "Opaque"), START)
    assert not bootstraptokens.plan(token("2025-01-01T00:00:00Z", namespace="default"), START)


def mirror(cluster: ClusterModel) -> list[dict[str, Any]]:
    def only(resource: Any) -> dict[str, Any] | None:
        return next(iter(cluster.of(resource)), None)

    snapshot = slicemirroring.Snapshot(only(ENDPOINTS), only(SERVICES), cluster.of(SLICES))
    cluster.carry_out(slicemirroring.plan(snapshot, cluster.suffixes()))
    return cluster.of(SLICES)


def test_endpoints_made_by_hand_are_shown_changed_and_gone() -> None:
    cluster = ClusterModel()
    cluster.serial = count(1)
    cluster.add(SERVICES, {"metadata": {"name": "db"}, "spec": {"ports": [{"port": 80}]}})
    assert not mirror(cluster)
    subset = {"addresses": [{"ip": "10.1.2.3"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    cluster.add(ENDPOINTS, {"metadata": {"name": "db", "labels": {"a": "b"}}, "subsets": [subset]})
    (shown,) = mirror(cluster)
    assert shown["metadata"]["labels"] == {
        "a": "b",
        SERVICE_NAME: "db",
        MANAGED_BY: slicemirroring.CONTROLLER,
    }
    assert shown["endpoints"] == [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}]
    revision = cluster.revision
    assert mirror(cluster) and cluster.revision == revision, "nothing changed, nothing is written"
    changed = {"notReadyAddresses": [{"ip": "10.1.2.4", "hostname": "h"}], "ports": [{"port": 90}]}
    cluster.change(ENDPOINTS, "db", {"subsets": [changed]})
    (again,) = mirror(cluster)
    assert again["metadata"]["name"] == shown["metadata"]["name"]
    assert again["endpoints"] == [
        {"addresses": ["10.1.2.4"], "conditions": {"ready": False}, "hostname": "h"}
    ]
    cluster.change(SERVICES, "db", {"spec": {"selector": {"a": "b"}}})
    assert not mirror(cluster)


SUBSETS = st.lists(
    st.fixed_dictionaries(
        {
            "addresses": st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1"]), unique=True).map(
                lambda ips: [{"ip": ip} for ip in ips]
            ),
            "ports": st.sampled_from([[{"port": 1, "protocol": "TCP"}], [{"port": 2, "protocol": "UDP"}]]),
        }
    ),
    max_size=3,
)


@given(st.lists(SUBSETS, min_size=1, max_size=4))
def test_slices_always_show_exactly_the_endpoints(history: list[Any]) -> None:
    cluster = ClusterModel()
    cluster.add(SERVICES, {"metadata": {"name": "db"}, "spec": {}})
    cluster.add(ENDPOINTS, {"metadata": {"name": "db"}})
    for subsets in history:
        cluster.change(ENDPOINTS, "db", {"subsets": subsets})
        slices = mirror(cluster)
        shown = sorted(
            (endpoint["addresses"][0], s["ports"][0]["port"]) for s in slices for endpoint in s["endpoints"]
        )
        wanted = sorted((a["ip"], s["ports"][0]["port"]) for s in subsets for a in s["addresses"])
        assert shown == wanted
        assert all(
            (":" in e["addresses"][0]) == (s["addressType"] == "IPv6") for s in slices for e in s["endpoints"]
        )
