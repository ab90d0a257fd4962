"""Area network: how Services and host ports are reached."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import udpserver
from localcluster import until
from podset import FOREVER, Pods, shell

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
NAME = "mkdir -p /www; hostname > /www/index.html; "
SERVE = NAME + "exec httpd -f -p 8080 -h /www"
TWICE = NAME + "httpd -p 8081 -h /www; exec httpd -f -p 8080 -h /www"
WEB = ("web-0", "web-1", "web-2")
HOST_PORT = 54323
PORTS = [{"port": 80, "targetPort": 8080}]


def listening(host: str, protocol: str = "TCP") -> Object:
    ports = [{"containerPort": 8080, "hostPort": HOST_PORT, "hostIP": host, "protocol": protocol}]
    return {"ports": ports, "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, node: tuple[str, str]) -> None:
    name, address = node
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}
    for each in WEB:
        pods.create(each, shell(SERVE, **probe), labels={"app": "web"})
    for each in ("pair-0", "pair-1"):
        pods.create(each, shell(TWICE, **probe), labels={"app": each})
    pods.create("client", shell(FOREVER))
    where = {"kubernetes.io/hostname": name}
    for number, (host, protocol) in enumerate((("127.0.0.1", "TCP"), (address, "TCP"), (address, "UDP"))):
        pods.create(f"host-{number}", shell(SERVE, **listening(host, protocol)), nodeSelector=where)


@pytest.fixture(scope="module")
def node(pods: Pods) -> tuple[str, str]:
    """A node's name and address."""
    found = sorted(pods.core.list_node().items, key=lambda n: str(n.metadata.name))[0]
    addresses = {a.type: a.address for a in found.status.addresses}
    return str(found.metadata.name), str(addresses["InternalIP"])


def service(pods: Pods, name: str, ports: list[Object] = PORTS, **spec: Any) -> Object:
    body = {"metadata": {"name": name}, "spec": {"ports": ports, **spec}}
    answer = pods.core.create_namespaced_service(pods.namespace, body, _preload_content=False)
    made: Object = json.loads(answer.data)
    return made


def change(pods: Pods, name: str, **spec: Any) -> Object:
    answer = pods.core.patch_namespaced_service(
        name, pods.namespace, {"spec": spec}, _preload_content=False
    )  # fmt: skip
    changed: Object = json.loads(answer.data)
    return changed


def fetch(pods: Pods, *urls: str) -> list[str]:
    """What each URL says to the client; what does not answer says nothing."""
    script = "; ".join(f"timeout 3 wget -qO- http://{url}/ || echo -" for url in urls)
    return [line.strip() for line in pods.exec("client", script).splitlines()]


def served(pods: Pods) -> None:
    for name in (*WEB, "client"):
        pods.ready(name)


def sticks(pods: Pods, url: str) -> bool:
    """Whether it is one and the same pod every time."""
    names = set(fetch(pods, *[url] * 15))
    return len(names) == 1 and names <= set(WEB)


def wanders(pods: Pods, url: str) -> bool:
    """Whether several pods answer, and nothing fails."""
    names = set(fetch(pods, *[url] * 15))
    return len(names) > 1 and names <= set(WEB)


def affinity(pods: Pods, node: tuple[str, str], kind: str, *, ends: bool) -> None:
    """By its name, its address and the node's port: one pod answers a client; where affinity `ends`, several do,
    and one again once it is back."""
    served(pods)
    name = f"affinity-{kind.lower()}{'-ends' if ends else ''}"
    made = service(pods, name, type=kind, selector={"app": "web"}, sessionAffinity="ClientIP")
    assert made["spec"]["clusterIP"]
    urls = [name, str(made["spec"]["clusterIP"])]
    if kind == "NodePort":
        urls.append(f"{node[1]}:{made['spec']['ports'][0]['nodePort']}")
    for url in urls:
        until(lambda url=url: sticks(pods, url), 30, f"{url} to be answered by one")
    if not ends:
        return
    change(pods, name, sessionAffinity="None")
    for url in urls:
        until(lambda url=url: wanders(pods, url), 30, f"{url} to be answered by several")
    change(pods, name, sessionAffinity="ClientIP")
    for url in urls:
        until(lambda url=url: sticks(pods, url), 30, f"{url} to be answered by one again")


def test_service_clusterip_type_session_affinity_to_clientip(pods: Pods, node: tuple[str, str]) -> None:
    affinity(pods, node, "ClusterIP", ends=False)


def test_service_clusterip_type_session_affinity_to_none(pods: Pods, node: tuple[str, str]) -> None:
    affinity(pods, node, "ClusterIP", ends=True)


def test_service_nodeport_type_session_affinity_to_clientip(pods: Pods, node: tuple[str, str]) -> None:
    affinity(pods, node, "NodePort", ends=False)


def test_service_nodeport_type_session_affinity_to_none(pods: Pods, node: tuple[str, str]) -> None:
    affinity(pods, node, "NodePort", ends=True)


def test_service_change_type_nodeport_to_externalname(pods: Pods) -> None:
    served(pods)
    target = service(pods, "external-target", selector={"app": "web"})["spec"]["clusterIP"]
    made = service(pods, "changing", type="NodePort", selector={"app": "web"})
    port = made["spec"]["ports"][0]["nodePort"]
    assert made["spec"]["clusterIP"]
    name = f"external-target.{pods.namespace}.svc.cluster.local"
    changed = change(pods, "changing", type="ExternalName", externalName=name)["spec"]
    assert not changed.get("clusterIP")
    assert all("nodePort" not in each for each in changed["ports"])
    lookup = f"nslookup changing.{pods.namespace}.svc.cluster.local"
    until(lambda: target in pods.exec("client", lookup), 30, "the name to lead to the other")
    assert f"canonical name = {name}" in pods.exec("client", lookup)
    # The port is free again.
    taken = service(pods, "taker", [{**PORTS[0], "nodePort": port}], type="NodePort", selector={"app": "web"})
    assert taken["spec"]["ports"][0]["nodePort"] == port


def test_service_should_serve_endpoints_on_same_port_and_different_protocols(pods: Pods) -> None:
    tcp = {"name": "tcp-port", "port": 80, "targetPort": 8080, "protocol": "TCP"}
    udp = {**tcp, "name": "udp-port", "protocol": "UDP"}
    pod = pods.ready("pair-0")
    pods.ready("client")
    made = service(pods, "multiprotocol", [tcp, udp], selector={"app": "pair-0"})
    address = made["spec"]["clusterIP"]

    def answers() -> tuple[bool, bool]:
        return fetch(pods, address) == ["pair-0"], udpserver.ask(address, 80) == "by UDP"

    with udpserver.answering(pod["metadata"]["uid"], 8080, "by UDP"):
        until(lambda: answers() == (True, True), 30, "both to answer")
        for ports, wanted in (([tcp], (True, False)), ([udp], (False, True))):
            body = pods.core.read_namespaced_service("multiprotocol", pods.namespace)
            body.spec.ports = ports
            pods.core.replace_namespaced_service("multiprotocol", pods.namespace, body)
            until(lambda wanted=wanted: answers() == wanted, 30, f"TCP and UDP to be served: {wanted}")


def test_endpointslice_multiple_ips_multiple_ports(pods: Pods) -> None:
    """A Service without a selector has what slices made by hand give it: each port its own address, or both."""
    pods.ready("client")
    addresses = [pods.ready(name)["status"]["podIP"] for name in ("pair-0", "pair-1")]
    for several in (False, True):
        name = "both" if several else "each"
        ports = [{"name": f"port-{n}", "port": n, "protocol": "TCP"} for n in (80, 81)]
        service(pods, name, ports)
        slices = pods.cluster.api.resources.get(api_version="discovery.k8s.io/v1", kind="EndpointSlice")
        for number, address in enumerate(addresses):
            shown = [
                {"name": f"port-{80 + n}", "port": 8080 + n, "protocol": "TCP"}
                for n in (0, 1)
                if several or n == number
            ]
            body = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{name}-{number}", "labels": {"kubernetes.io/service-name": name}
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
                "ports": shown,
            }  # fmt: skip
            slices.create(body=body, namespace=pods.namespace)
        wanted = [{"pair-0", "pair-1"}] * 2 if several else [{"pair-0"}, {"pair-1"}]

        def seen(name: str = name) -> list[set[str]]:
            return [set(fetch(pods, *[f"{name}:{port}"] * 12)) for port in (80, 81)]

        until(lambda wanted=wanted, seen=seen: seen() == wanted, 30, f"the ports of {name} to answer")
        with pytest.raises(AssertionError):
            pods.cluster.kubectl("get", "endpoints", name, "-n", pods.namespace)


def test_scheduling_hostport_matching_and_hostip_and_protocol_not_matching(
    pods: Pods, node: tuple[str, str]
) -> None:
    name, address = node
    found = [pods.ready(f"host-{number}") for number in range(3)]
    assert {pod["spec"]["nodeName"] for pod in found} == {name}

    def said(host: str) -> str:
        url = f"http://{host}:{HOST_PORT}/"
        shown = subprocess.run(["curl", "-fsS", "-m", "3", url], capture_output=True, text=True, check=False)
        return shown.stdout.strip()

    until(lambda: said("127.0.0.1") == "host-0", 30, "the first to answer on the loopback address")
    until(lambda: said(address) == "host-1", 30, "the second to answer on the node's address")
    with udpserver.answering(found[2]["metadata"]["uid"], 8080, "host-2"):
        until(lambda: udpserver.ask(address, HOST_PORT) == "host-2", 30, "the third to answer by UDP")
