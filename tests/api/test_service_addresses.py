"""Services get cluster addresses and node ports, keep them, and give them back."""

from __future__ import annotations

import ipaddress

from apiclient import Api
from objects import service

RANGE = ipaddress.ip_network("10.96.0.0/16")


def taken(api: Api) -> set[str]:
    return {item["metadata"]["name"] for item in api.get("/apis/networking.k8s.io/v1/ipaddresses")["items"]}


def test_an_address_from_the_range(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    made = api.post(path, service())
    assert made.code == 201, made.body
    address = made["spec"]["clusterIP"]
    assert ipaddress.ip_address(address) in RANGE
    assert made["spec"]["clusterIPs"] == [address]
    assert made["spec"]["ipFamilies"] == ["IPv4"]
    assert made["spec"]["ipFamilyPolicy"] == "SingleStack"
    assert made["status"] == {"loadBalancer": {}}
    assert address in taken(api)
    changed = api.put(f"{path}/s", service(ports=[{"port": 81}]))
    assert changed.code == 200, changed.body
    assert changed["spec"]["clusterIP"] == address
    api.delete(f"{path}/s")
    assert address not in taken(api)


def test_an_address_asked_for_is_given_once(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    free = next(str(ip) for ip in RANGE.hosts() if str(ip) not in taken(api))
    assert api.post(path, service("one", clusterIP=free))["spec"]["clusterIP"] == free
    again = api.post(path, service("two", clusterIP=free))
    assert again.code == 422
    assert f"failed to allocate IP {free}: provided IP is already allocated" in again.message
    outside = api.post(path, service("three", clusterIP="192.0.2.1"))
    assert outside.code == 422
    assert "not in the valid range" in outside.message
    before = taken(api)
    dry = api.post(f"{path}?dryRun=All", service("four"))
    assert dry.code == 201
    assert dry["spec"]["clusterIP"] not in taken(api)
    wrong = api.post(path, service("Wrong_Name"))
    assert wrong.code == 422
    assert wrong.message.startswith(
        'Service "Wrong_Name" is invalid: metadata.name: Invalid value: "Wrong_Name"'
    )
    assert taken(api) == before, "what a refused write took is given back"


def test_headless_and_external_services_have_none(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    before = taken(api)
    headless = api.post(path, service("h", clusterIP="None"))
    assert headless["spec"]["clusterIPs"] == ["None"]
    external = api.post(path, service("e", type="ExternalName", externalName="example.com"))
    assert external.code == 201, external.body
    assert "clusterIP" not in external["spec"]
    assert taken(api) == before


def test_node_ports(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    made = api.post(path, service(type="NodePort"))
    port = made["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    again = api.post(path, service("t", type="NodePort", ports=[{"port": 80, "nodePort": port}]))
    assert again.code == 422
    assert again.message.endswith(
        f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated"
    )
    outside = api.post(path, service("t", type="NodePort", ports=[{"port": 80, "nodePort": 80}]))
    assert outside.code == 422
    assert "The range of valid ports is 30000-32767" in outside.message
    kept = api.put(f"{path}/s", service(type="NodePort"))
    assert kept["spec"]["ports"][0]["nodePort"] == port
    back = api.patch(f"{path}/s", {"spec": {"type": "ClusterIP"}})
    assert back.code == 200, back.body
    assert "nodePort" not in back["spec"]["ports"][0]
    assert api.post(path, service("t", type="NodePort", ports=[{"port": 80, "nodePort": port}])).code == 201


def test_a_service_that_becomes_external_gives_up_what_it_had_sent_back(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    made = api.post(path, service(type="NodePort")).body
    made["spec"] |= {"type": "ExternalName", "externalName": "elsewhere.example.com"}
    changed = api.put(f"{path}/s", made)
    assert changed.code == 200, changed.body
    spec = changed.body["spec"]
    assert "nodePort" not in spec["ports"][0]
    assert {"clusterIP", "clusterIPs", "externalTrafficPolicy", "ipFamilies"}.isdisjoint(spec)


def test_the_server_has_a_service_of_its_own(api: Api) -> None:
    own = api.get("/api/v1/namespaces/default/services/kubernetes")
    assert own["spec"]["clusterIP"] == "10.96.0.1"
    slices = api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")
    endpoints = api.get("/api/v1/namespaces/default/endpoints/kubernetes")
    assert slices["endpoints"][0]["addresses"] == [endpoints["subsets"][0]["addresses"][0]["ip"]]
