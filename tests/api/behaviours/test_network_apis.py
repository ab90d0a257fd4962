"""Area network: Endpoints, EndpointSlices, Services, Ingresses, IPAddresses and ServiceCIDRs as objects."""

from __future__ import annotations

from typing import Any

from apiclient import STRATEGIC, Api
from lifecycle import LifeCycle, check_discovery, fine, until

from apimachinery import resources

Object = dict[str, Any]
NETWORKING = "networking.k8s.io/v1"


def test_endpoint_resource_lifecycle(api: Api, namespace: str) -> None:
    subsets = [
        {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    ]
    life = LifeCycle(api, {"apiVersion": "v1", "kind": "Endpoints", "subsets": subsets}, namespace)
    with api.watch(life.everywhere + life.query) as events:
        made = life.make("testservice")
        assert made["subsets"] == subsets
        until(events, "ADDED", name="testservice")
        assert len(life.list(life.everywhere)) == 1
        obj = life.get("testservice")
        obj["metadata"]["labels"]["test-service"] = "updated"
        assert fine(api.put(life.at("testservice"), obj))["metadata"]["labels"]["test-service"] == "updated"
        assert until(events, "MODIFIED")["metadata"]["labels"]["test-service"] == "updated"
        subsets = [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}]
        patch = {"metadata": {"labels": {"test-service": "patched"}}, "subsets": subsets}
        fine(api.patch(life.at("testservice"), patch, STRATEGIC))
        seen = until(events, "MODIFIED")
        assert seen["metadata"]["labels"]["test-service"] == "patched"
        assert seen["subsets"][0]["addresses"][0]["ip"] == "10.0.0.25"
        assert seen["subsets"][0]["ports"][0] == {"name": "http-test", "port": 8080, "protocol": "TCP"}
        fine(api.delete(life.path + life.query))
        until(events, "DELETED", name="testservice")
    assert api.get(life.at("testservice")).code == 404
    life.run()


def test_endpointslice_api(api: Api, namespace: str) -> None:
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}],
    }
    LifeCycle(api, slice_, namespace).run({"endpoints": [{"addresses": ["10.0.0.1"]}]})


def test_ingress_api(api: Api, namespace: str) -> None:
    service = {"name": "default-backend", "port": {"number": 8080}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": {"service": {**service, "name": "test-backend"}}}]
    spec = {
        "defaultBackend": {"service": service},
        "rules": [{"host": "foo.bar.com", "http": {"paths": paths}}],
    }
    life = LifeCycle(api, {"apiVersion": NETWORKING, "kind": "Ingress", "spec": spec}, namespace)
    made = life.make("example")
    assert made["spec"] == spec
    assert made["status"] == {"loadBalancer": {}}
    life.check_status(
        "example",
        {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
        {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}},
    )
    life.update("example", "status", updatedstatus="true")
    assert life.get("example")["metadata"]["annotations"]["updatedstatus"] == "true"
    fine(api.delete(life.path + life.query))
    life.run()


def test_ingressclass_api(api: Api) -> None:
    life = LifeCycle(
        api,
        {"apiVersion": NETWORKING, "kind": "IngressClass", "spec": {"controller": "example.com/controller"}},
    )
    life.run()
    assert life.make()["metadata"]["generation"] == 1
    fine(api.delete(life.path + life.query))


def test_ipaddress_api(api: Api) -> None:
    parent = {"group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar"}
    body = {"apiVersion": NETWORKING, "kind": "IPAddress", "spec": {"parentRef": parent}}
    life = LifeCycle(api, body)
    life.template["metadata"]["labels"]["type"] = "broadcast"
    life.make("255.255.255.255")
    life.template["metadata"]["labels"]["type"] = "link-local"
    life.make("fe80::42:1dff:fe84:f9e2")
    patched = fine(api.patch(life.at("255.255.255.255"), {"metadata": {"annotations": {"patched": "true"}}}))
    assert patched["metadata"]["annotations"] == {"patched": "true"}
    updated = life.update("255.255.255.255", updated="true")
    assert updated["metadata"]["annotations"] == {"patched": "true", "updated": "true"}
    assert len(fine(api.get(life.path + "?labelSelector=type%3Dbroadcast"))["items"]) == 1
    with api.watch(life.path + "?labelSelector=type%3Dbroadcast") as events:
        assert next(events)["type"] == "ADDED"
        fine(api.delete(life.at("255.255.255.255")))
        assert next(events)["type"] == "DELETED"
    fine(api.delete(life.path + "?labelSelector=type%3Dlink-local"))
    assert fine(api.get(life.path + "?labelSelector=type%3Dlink-local"))["items"] == []
    check_discovery(api, life.resource)
    for name in ("not-an-address", "10.0.0.01", "FE80::1"):
        refused = api.post(life.path, {**body, "metadata": {"name": name}})
        assert refused.code == 422, name


def test_servicecidr_api(api: Api) -> None:
    body = {"apiVersion": NETWORKING, "kind": "ServiceCIDR", "spec": {"cidrs": ["203.0.113.0/24"]}}
    life = LifeCycle(api, body)
    own = life.get("kubernetes")
    assert own["spec"]["cidrs"] == ["10.96.0.0/16"]
    ready = {c["type"]: c["status"] for c in own["status"]["conditions"]}
    assert ready["Ready"] == "True"
    read = life.get("kubernetes", "status")
    assert (read["apiVersion"], read["kind"]) == (NETWORKING, "ServiceCIDR")
    assert read["metadata"]["uid"] == own["metadata"]["uid"]
    assert "kubernetes" in [c["metadata"]["name"] for c in fine(api.get(life.path))["items"]]
    with api.watch(life.path) as events:
        until(events, "ADDED", name="kubernetes")
    check_discovery(api, life.resource, "status")


SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "spec": {"type": "LoadBalancer", "ports": [{"name": "http", "port": 80, "targetPort": 80}]},
}


def test_service_complete_servicestatus_lifecycle(api: Api, namespace: str) -> None:
    life = LifeCycle(api, SERVICE, namespace)
    with api.watch(life.everywhere + life.query) as events:
        life.make("test-service")
        until(events, "ADDED", name="test-service")
        assert life.get("test-service", "status")["status"] == {"loadBalancer": {}}
        status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}
        fine(api.patch(life.at("test-service", "status"), patch))
        seen = until(events, "MODIFIED", patchedstatus="true")
        assert seen["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
        condition = {
            "type": "StatusUpdate",
            "status": "True",
            "reason": "E2E",
            "message": "Set from e2e test",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        obj = life.get("test-service")
        obj["status"]["conditions"] = [condition]
        fine(api.put(life.at("test-service", "status"), obj))
        seen = until(events, "MODIFIED", patchedstatus="true")
        assert seen["status"]["conditions"] == [condition]
        fine(
            api.patch(
                life.at("test-service"), {"metadata": {"labels": {"test-service": "patched"}}}, STRATEGIC
            )
        )
        assert until(events, "MODIFIED")["metadata"]["labels"]["test-service"] == "patched"
        fine(api.delete(life.at("test-service")))
        until(events, "DELETED", name="test-service")


def test_service_deletes_a_collection_of_services(api: Api, namespace: str) -> None:
    life = LifeCycle(api, SERVICE, namespace)
    del life.template["spec"]["type"]
    for name, extra in (("svc-1", "yes"), ("svc-2", "yes"), ("svc-3", "no")):
        life.template["metadata"]["labels"]["e2e-test-service"] = extra
        life.make(name)
    assert len(life.list()) == 3
    fine(api.delete(life.path + "?labelSelector=e2e-test-service%3Dyes"))
    assert [s["metadata"]["name"] for s in life.list()] == ["svc-3"]
    life.run({"spec": {"ports": [{"name": "http", "port": 81, "targetPort": 80, "protocol": "TCP"}]}})


def test_kubernetes_default_endpoints_and_endpointslices(api: Api) -> None:
    service = fine(api.get("/api/v1/namespaces/default/services/kubernetes"))
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = fine(api.get("/api/v1/namespaces/default/endpoints/kubernetes"))
    assert len(endpoints["subsets"]) == 1
    port = endpoints["subsets"][0]["ports"][0]
    assert (port["name"], port["protocol"]) == ("https", "TCP")
    addresses = [a["ip"] for a in endpoints["subsets"][0]["addresses"]]
    assert addresses
    query = "?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes"
    slices = fine(api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices" + query))["items"]
    assert slices
    found = sorted(a for s in slices for e in s["endpoints"] for a in e["addresses"])
    assert found == sorted(addresses)
    assert all(s["ports"][0]["port"] == port["port"] for s in slices)
    assert all(e["conditions"]["ready"] is True for s in slices for e in s["endpoints"])


def test_find_kubernetes_service_in_default_namespace(api: Api) -> None:
    services = fine(api.get("/api/v1/services"))["items"]
    found = [(s["metadata"]["namespace"], s["metadata"]["name"]) for s in services]
    assert ("default", "kubernetes") in found
    check_discovery(api, resources.get("services"), "status", "proxy")


def test_network_policy_api(api: Api, namespace: str) -> None:
    """Netpol API: NetworkPolicies as objects."""
    spec = {"podSelector": {"matchLabels": {"pod-name": "a"}}, "policyTypes": ["Ingress"], "ingress": []}
    life = LifeCycle(api, {"apiVersion": NETWORKING, "kind": "NetworkPolicy", "spec": spec}, namespace)
    life.run({"spec": {"podSelector": {"matchLabels": {"pod-name": "b"}}}})
