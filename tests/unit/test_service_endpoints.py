"""Endpoints of services: who is in, as what, on which ports, in how few writes."""

from __future__ import annotations

from typing import Any

import pytest
from clustermodel import ClusterModel
from hypothesis import given, settings
from hypothesis import strategies as st

from apimachinery import resources
from controllermanager.plans import endpoints, endpointslice
from controllermanager.plans.actions import Create, Delete, Update
from controllermanager.plans.views import pod_view

SERVICES = resources.get("services")
PODS = resources.get("pods")
SLICES = endpointslice.SLICES
ENDPOINTS = endpoints.ENDPOINTS


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "web", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    return {
        "metadata": {"name": "front", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "ports": ports, "clusterIP": "10.0.0.1", **spec},
    }


def pod(name: str, ip: str, *, ready: bool = True, port: int = 8080, **more: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": more.get("labels", {"app": "web"})}
    if more.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        metadata["finalizers"] = ["hold"]
    container = {"name": "c", "ports": [{"name": "http", "containerPort": port}]}
    spec = {"nodeName": more.get("node", "n1"), "containers": [container], **more.get("spec", {})}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {
        "phase": more.get("phase", "Running"),
        "podIPs": [{"ip": ip}] if ip else [],
        "conditions": [condition],
    }
    return {"metadata": metadata, "spec": spec, "status": status}


class Cluster(ClusterModel):
    def __init__(self, svc: dict[str, Any]) -> None:
        super().__init__()
        self.add(SERVICES, svc)

    def slices(self) -> list[dict[str, Any]]:
        return self.of(SLICES)

    def plan(self) -> list[Any]:
        snapshot = endpointslice.Snapshot(
            self.get(SERVICES, "front"), self.pods(PODS), self.slices(), {"n1": "zone-a"}
        )
        return endpointslice.plan(snapshot, self.suffixes())

    def sync(self) -> list[Any]:
        actions = self.plan()
        self.carry_out(actions)
        assert self.plan() == []
        return actions

    def sync_endpoints(self) -> dict[str, Any]:
        for _ in range(2):
            current = next(iter(self.of(ENDPOINTS)), None)
            snapshot = endpoints.Snapshot(self.get(SERVICES, "front"), self.pods(PODS), current)
            actions = endpoints.plan(snapshot)
            self.carry_out(actions)
        assert actions == []
        return self.get(ENDPOINTS, "front")


def test_a_service_without_pods_has_one_empty_slice() -> None:
    cluster = Cluster(service())
    cluster.sync()
    (only,) = cluster.slices()
    assert only["endpoints"] == [] and only["ports"] == []
    assert only["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "front",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert only["metadata"]["ownerReferences"][0]["kind"] == "Service"
    cluster.add(PODS, pod("a", "10.1.0.1"))
    (update,) = cluster.sync()
    assert isinstance(update, Update)
    cluster.remove(PODS, "a")
    cluster.sync()
    assert [s["endpoints"] for s in cluster.slices()] == [[]]


def test_conditions_zone_node_and_target() -> None:
    cluster = Cluster(service())
    cluster.add(PODS, pod("ready", "10.1.0.1"))
    cluster.add(PODS, pod("starting", "10.1.0.2", ready=False))
    cluster.add(PODS, pod("leaving", "10.1.0.3", deleting=True))
    cluster.add(PODS, pod("ended", "10.1.0.4", phase="Succeeded"))
    cluster.add(PODS, pod("addressless", ""))
    cluster.add(PODS, pod("other", "10.1.0.5", labels={"app": "db"}))
    cluster.sync()
    (only,) = cluster.slices()
    shown = {
        e["targetRef"]["name"]: tuple(e["conditions"][c] for c in ("ready", "serving", "terminating"))
        for e in only["endpoints"]
    }
    assert shown == {
        "ready": (True, True, False),
        "starting": (False, False, False),
        "leaving": (False, True, True),
    }
    assert all((e["nodeName"], e["zone"]) == ("n1", "zone-a") for e in only["endpoints"])
    legacy = cluster.sync_endpoints()
    (subset,) = legacy["subsets"]
    assert [a["ip"] for a in subset["addresses"]] == ["10.1.0.1"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.1.0.2"]
    assert subset["ports"] == [{"name": "web", "port": 8080, "protocol": "TCP"}]
    assert legacy["metadata"]["labels"] == {
        "team": "a",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
    }


@pytest.mark.parametrize(
    ("preference", "hints"),
    [
        (None, None),
        ("PreferClose", {"forZones": [{"name": "zone-a"}]}),
        ("PreferSameZone", {"forZones": [{"name": "zone-a"}]}),
        ("PreferSameNode", {"forNodes": [{"name": "n1"}], "forZones": [{"name": "zone-a"}]}),
    ],
)
def test_ready_endpoints_say_whose_clients_they_are_for(preference: str | None, hints: Any) -> None:
    cluster = Cluster(service(**({"trafficDistribution": preference} if preference else {})))
    cluster.add(PODS, pod("ready", "10.1.0.1"))
    cluster.add(PODS, pod("starting", "10.1.0.2", ready=False))
    cluster.sync()
    (only,) = cluster.slices()
    shown = {e["targetRef"]["name"]: e.get("hints") for e in only["endpoints"]}
    assert shown == {"ready": hints, "starting": None}


def test_publish_not_ready_addresses_makes_all_of_them_ready() -> None:
    cluster = Cluster(service(publishNotReadyAddresses=True, clusterIP="None"))
    spec = {"hostname": "db-0", "subdomain": "front"}
    cluster.add(PODS, pod("starting", "10.1.0.2", ready=False, spec=spec))
    cluster.sync()
    (only,) = cluster.slices()
    assert only["endpoints"][0]["conditions"]["ready"] is True
    assert only["endpoints"][0]["hostname"] == "db-0"
    assert only["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    (subset,) = cluster.sync_endpoints()["subsets"]
    assert subset["addresses"][0]["hostname"] == "db-0"


def test_pods_with_other_port_numbers_get_slices_of_their_own() -> None:
    cluster = Cluster(service())
    cluster.add(PODS, pod("a", "10.1.0.1"))
    cluster.add(PODS, pod("b", "10.1.0.2", port=9090))
    cluster.sync()
    assert sorted(s["ports"][0]["port"] for s in cluster.slices()) == [8080, 9090]
    assert len(cluster.sync_endpoints()["subsets"]) == 2


def test_a_headless_service_needs_no_ports() -> None:
    cluster = Cluster(service(clusterIP="None", ports=None))
    cluster.add(PODS, pod("a", "10.1.0.1"))
    cluster.sync()
    (only,) = cluster.slices()
    assert len(only["endpoints"]) == 1 and only["ports"] == []
    (subset,) = cluster.sync_endpoints()["subsets"]
    assert "ports" not in subset


def test_one_change_in_many_endpoints_is_one_write() -> None:
    cluster = Cluster(service())
    for i in range(250):
        cluster.add(PODS, pod(f"p{i:03d}", f"10.1.{i // 250}.{i % 250}"))
    actions = cluster.sync()
    assert [type(a) for a in actions] == [Create] * 3
    assert sorted(len(s["endpoints"]) for s in cluster.slices()) == [50, 100, 100]
    cluster.change(PODS, "p007", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    assert [type(a) for a in cluster.sync()] == [Update]


def test_services_without_selector_and_external_names_are_left_alone() -> None:
    for spec in ({"selector": None}, {"type": "ExternalName"}):
        assert Cluster(service(**spec)).plan() == []


def test_endpoints_go_with_their_service() -> None:
    cluster = Cluster(service())
    legacy = cluster.sync_endpoints()
    (delete,) = endpoints.plan(endpoints.Snapshot(None, [], legacy))
    assert isinstance(delete, Delete)


CHANGES = st.lists(
    st.tuples(st.integers(0, 11), st.sampled_from(["ready", "unready", "gone"]), st.sampled_from([80, 81])),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(CHANGES)
def test_after_any_changes_every_pod_is_in_exactly_one_slice(changes: list[tuple[int, str, int]]) -> None:
    cluster = Cluster(service())
    limit, endpointslice.LIMIT = endpointslice.LIMIT, 3
    try:
        for number, state, port in changes:
            name = f"p{number}"
            if (PODS, "ns", name) in cluster.objects:
                cluster.remove(PODS, name)
            if state != "gone":
                cluster.add(PODS, pod(name, f"10.1.0.{number}", ready=state == "ready", port=port))
            cluster.sync()
            shown = sorted(
                (e["targetRef"]["name"], s["ports"][0]["port"], e["conditions"]["ready"])
                for s in cluster.slices()
                for e in s["endpoints"]
            )
            wanted = sorted((p.name, p.ports[0][1], p.ready) for p in cluster.pods(PODS))
            assert shown == wanted
            assert all(len(s["endpoints"]) <= 3 for s in cluster.slices())
            assert len(cluster.slices()) == 1 or all(s["endpoints"] for s in cluster.slices())
    finally:
        endpointslice.LIMIT = limit


def test_views_keep_the_ports_of_sidecars() -> None:
    obj = pod("a", "10.1.0.1")
    sidecar = {
        "name": "s",
        "restartPolicy": "Always",
        "ports": [{"name": "m", "containerPort": 1, "protocol": "UDP"}],
    }
    obj["spec"]["initContainers"] = [sidecar, {"name": "i", "ports": [{"name": "no", "containerPort": 2}]}]
    obj["metadata"] |= {"uid": "u", "resourceVersion": "1", "namespace": "ns"}
    assert pod_view(obj).ports == (("http", 8080, "TCP"), ("m", 1, "UDP"))
