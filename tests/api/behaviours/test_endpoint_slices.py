"""Area network: what the controllers make of Services: Endpoints and EndpointSlices, mirrored ones too."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import STRATEGIC, Api, selector
from lifecycle import check_discovery, covers, fine
from registrations import eventually

from apimachinery import resources

Object = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"
MANAGER = "endpointslice.kubernetes.io/managed-by"


class Network:
    """A namespace with services and pods whose node the test plays."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.root = f"{NAMESPACES}/{namespace}"
        self.slices_path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        eventually(lambda: api.get(f"{self.root}/serviceaccounts/default").code == 200)

    def service(self, name: str, **spec: Any) -> Object:
        body = {"metadata": {"name": name, "labels": {"own": name}}, "spec": spec}
        return fine(self.api.post(f"{self.root}/services", body), 201)

    def pod(self, name: str, ip: str, *, port: int = 80, ready: bool = True) -> Object:
        container = {"name": "c", "image": "c", "ports": [{"name": "example-name", "containerPort": port}]}
        body = {
            "metadata": {"name": name, "labels": {"foo": "bar", name: name}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        }
        made = fine(self.api.post(f"{self.root}/pods", body), 201)
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}}
        fine(self.api.post(f"{self.root}/pods/{name}/binding", binding), 201)
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-02T03:04:05Z"}
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition]}
        fine(self.api.patch(f"{self.root}/pods/{name}/status", {"status": status}))
        return made

    def slices(self, service: str) -> list[Object]:
        query = "?labelSelector=" + selector(f"kubernetes.io/service-name={service}")
        return list(fine(self.api.get(self.slices_path + query))["items"])

    def endpoints(self, service: str) -> Object | None:
        answer = self.api.get(f"{self.root}/endpoints/{service}")
        return dict(answer.body) if answer.code == 200 else None

    def addresses(self, service: str) -> list[str]:
        return sorted(
            address
            for slice_ in self.slices(service)
            for endpoint in slice_["endpoints"] or ()
            for address in endpoint["addresses"]
        )

    def gone(self, service: str) -> None:
        eventually(lambda: not self.slices(service) and self.endpoints(service) is None)


@pytest.fixture
def network(cluster: Api, space: str) -> Network:
    return Network(cluster, space)


@pytest.mark.parametrize("kind", ["EndpointSlice", "Endpoints"])
def test_endpointslice_empty_service(network: Network, kind: str) -> None:
    """EndpointSlice and Endpoints, "empty" Service."""
    network.service("example-empty-selector", selector={"does-not-match-anything": "y"}, ports=[{"port": 80}])
    eventually(lambda: len(network.slices("example-empty-selector")) == 1)
    (slice_,) = network.slices("example-empty-selector")
    assert not slice_["endpoints"]
    assert slice_["metadata"]["labels"][MANAGER] == "endpointslice-controller.k8s.io"
    eventually(lambda: network.endpoints("example-empty-selector"))
    assert not (network.endpoints("example-empty-selector") or {}).get("subsets")
    fine(network.api.delete(f"{network.root}/services/example-empty-selector"))
    network.gone("example-empty-selector")


def test_endpointslice_creation_deletion(network: Network) -> None:
    ports = [
        {"name": "port80", "port": 80, "targetPort": "example-name"},
        {"name": "named", "port": 8090, "targetPort": 80},
    ]
    first = network.service("example-int-port", selector={"foo": "bar"}, ports=ports)
    network.service("example-named-port", selector={"foo": "bar"}, ports=ports, publishNotReadyAddresses=True)
    network.service("example-no-match", selector={"foo": "other"}, ports=ports)
    pods = [network.pod("pod1", "10.9.1.1"), network.pod("pod2", "10.9.1.2", port=81, ready=False)]
    for service, ready in (("example-int-port", [True, False]), ("example-named-port", [True, True])):
        eventually(lambda service=service: network.addresses(service) == ["10.9.1.1", "10.9.1.2"])
        found = {
            e["addresses"][0]: (e, slice_) for slice_ in network.slices(service) for e in slice_["endpoints"]
        }
        for pod, ip, is_ready, port in zip(pods, ("10.9.1.1", "10.9.1.2"), ready, (80, 81), strict=True):
            endpoint, slice_ = found[ip]
            assert endpoint["targetRef"] == {
                "kind": "Pod",
                "name": pod["metadata"]["name"],
                "namespace": pod["metadata"]["namespace"],
                "uid": pod["metadata"]["uid"],
            }
            assert endpoint["nodeName"] == "n1"
            assert endpoint["conditions"]["ready"] is is_ready
            assert endpoint["conditions"]["terminating"] is False
            numbers = {p["name"]: p["port"] for p in slice_["ports"]}
            assert numbers == {"port80": port, "named": 80}
            assert slice_["addressType"] == "IPv4"
            assert slice_["metadata"]["ownerReferences"][0]["kind"] == "Service"
    own = network.slices("example-int-port")[0]["metadata"]["ownerReferences"][0]
    assert own["uid"] == first["metadata"]["uid"]
    assert own["controller"] is True

    def in_subsets() -> bool:
        subsets = (network.endpoints("example-int-port") or {}).get("subsets") or []
        return (
            [a["ip"] for s in subsets for a in s.get("addresses", ())] == ["10.9.1.1"]
            and [a["ip"] for s in subsets for a in s.get("notReadyAddresses", ())] == ["10.9.1.2"]
        )  # fmt: skip

    eventually(in_subsets)
    assert network.addresses("example-no-match") == []
    fine(network.api.delete(f"{network.root}/pods/pod1?gracePeriodSeconds=0"))
    eventually(lambda: network.addresses("example-int-port") == ["10.9.1.2"])
    for service in ("example-int-port", "example-named-port", "example-no-match"):
        fine(network.api.delete(f"{network.root}/services/{service}"))
        network.gone(service)


def test_endpointslice_mirroring(network: Network) -> None:
    check_discovery(network.api, resources.get("endpointslices", "discovery.k8s.io"))
    ports = [{"name": "http", "port": 80, "targetPort": 80, "protocol": "TCP"}]
    network.service("example-custom-endpoints", ports=ports)
    endpoints = f"{network.root}/endpoints"
    subset = {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}], "addresses": [{"ip": "10.1.2.3"}]}
    body = {"metadata": {"name": "example-custom-endpoints"}, "subsets": [subset]}
    fine(network.api.post(endpoints, body), 201)
    eventually(lambda: network.addresses("example-custom-endpoints") == ["10.1.2.3"])
    (slice_,) = network.slices("example-custom-endpoints")
    assert slice_["metadata"]["labels"][MANAGER] == "endpointslicemirroring-controller.k8s.io"
    assert covers(slice_["ports"], subset["ports"])
    made = fine(network.api.get(f"{endpoints}/example-custom-endpoints"))
    made["subsets"][0]["addresses"] = [{"ip": "10.2.3.4"}]
    fine(network.api.put(f"{endpoints}/example-custom-endpoints", made))
    eventually(lambda: network.addresses("example-custom-endpoints") == ["10.2.3.4"])
    patch = {"subsets": [{**subset, "addresses": [{"ip": "10.3.4.5"}]}]}
    fine(network.api.patch(f"{endpoints}/example-custom-endpoints", patch, STRATEGIC))
    eventually(lambda: network.addresses("example-custom-endpoints") == ["10.3.4.5"])
    fine(network.api.delete(f"{endpoints}/example-custom-endpoints"))
    eventually(lambda: not network.slices("example-custom-endpoints"))


def test_mirrored_endpoints_of_many_addresses(network: Network) -> None:
    """EndpointSliceMirroring should mirror a custom Endpoint with multiple subsets and same IP address."""
    network.service("example-custom-endpoints", ports=[{"name": "p", "port": 80}])
    addresses = [{"ip": "10.1.2.3"}, {"ip": "10.1.2.4"}]
    subsets = [
        {"ports": [{"name": "port1", "port": 8090}], "addresses": addresses[:1]},
        {"ports": [{"name": "port2", "port": 8091}], "addresses": addresses},
    ]
    body = {"metadata": {"name": "example-custom-endpoints"}, "subsets": subsets}
    fine(network.api.post(f"{network.root}/endpoints", body), 201)
    eventually(lambda: len(network.addresses("example-custom-endpoints")) >= 2)

    def mirrored() -> bool:
        found = {
            (address, port["port"])
            for slice_ in network.slices("example-custom-endpoints")
            for endpoint in slice_["endpoints"]
            for address in endpoint["addresses"]
            for port in slice_["ports"]
        }
        return found == {("10.1.2.3", 8090), ("10.1.2.3", 8091), ("10.1.2.4", 8091)}

    eventually(mirrored)


def test_a_service_without_a_selector_gets_no_endpoints(network: Network) -> None:
    network.service("without", ports=[{"port": 80}])
    network.service("with", selector={"foo": "bar"}, ports=[{"port": 80}])
    eventually(lambda: len(network.slices("with")) == 1)
    assert network.slices("without") == []
    assert network.endpoints("without") is None


def test_services_on_different_service_cidrs(network: Network) -> None:
    """Service CIDRs: should create Services and serve on different Service CIDRs."""
    api = network.api
    path = "/apis/networking.k8s.io/v1/servicecidrs"
    services = f"{network.root}/services"

    def service(name: str, address: str) -> Any:
        spec = {"type": "NodePort", "clusterIP": address, "ports": [{"port": 80}]}
        return api.post(services, {"metadata": {"name": name}, "spec": spec})

    def ready() -> str:
        found = fine(api.get(f"{path}/test-svc-cidr"))["status"].get("conditions") or []
        return next((str(c["status"]) for c in found if c["type"] == "Ready"), "")

    assert service("early", "203.0.113.10").code == 422
    cidr = {"metadata": {"name": "test-svc-cidr"}, "spec": {"cidrs": ["203.0.113.0/24"]}}
    fine(api.post(path, cidr), 201)
    eventually(lambda: ready() == "True")
    made = fine(api.get(f"{path}/test-svc-cidr"))
    assert made["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]
    assert fine(service("cidr1-test", "203.0.113.10"), 201)["spec"]["clusterIPs"] == ["203.0.113.10"]
    assert service("edge", "203.0.113.255").code == 422
    # It stays as long as an address of it is in use, but gives out no more.
    fine(api.delete(f"{path}/test-svc-cidr"))
    eventually(lambda: ready() == "False")
    assert service("late", "203.0.113.11").code == 422
    fine(api.delete(f"{services}/cidr1-test"))
    eventually(lambda: api.get(f"{path}/test-svc-cidr").code == 404)
    # The cluster's own range is for good as long as there are Services, the first of which is kubernetes.
    own = fine(api.get(f"{path}/kubernetes"))
    assert "networking.k8s.io/service-cidr-finalizer" in own["metadata"]["finalizers"]
