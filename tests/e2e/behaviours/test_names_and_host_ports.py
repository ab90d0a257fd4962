"""Areas common/network and scheduling: what a pod is called, whom it asks for names, ports of its node."""

from __future__ import annotations

import socket
import urllib.request

import busyboximage
import pytest
from docker.api.client import APIClient
from localcluster import LocalCluster, until
from podset import FOREVER, Pods, condition, shell
from test_network_of_pods import ANSWER, HTTP, IMAGE, UDP

pytestmark = pytest.mark.e2e
ALIASES = [{"ip": "1.2.3.4", "hostnames": ["foo", "bar"]}, {"ip": "fd00::1", "hostnames": ["six"]}]
NAMES = "hostname; cat /etc/hosts"
DNS = "cat /etc/resolv.conf"
OWN_DNS = {
    "nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"], "options": [{"name": "ndots", "value": "2"}],
}  # fmt: skip
LOCAL = "127.0.0.1"


def free_port() -> int:
    with socket.create_server(("0.0.0.0", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def ports() -> tuple[int, ...]:
    return free_port(), free_port(), free_port()


@pytest.fixture(scope="module")
def node(pods: Pods) -> tuple[str, str]:
    """One node's name and address."""
    first = pods.core.list_node().items[0]
    return first.metadata.name, next(a.address for a in first.status.addresses if a.type == "InternalIP")


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, cluster: LocalCluster, ports: tuple[int, ...], node: tuple[str, str]) -> None:
    client = APIClient(version="auto")
    busyboximage.ensure(client, IMAGE, programs=("/usr/bin/perl",))
    client.close()
    pods.create("plain", shell(NAMES), hostAliases=ALIASES)
    pods.create("named", shell(NAMES), hostname="h", subdomain="s")
    pods.create("fully", shell(NAMES), hostname="h", subdomain="s", setHostnameAsFQDN=True)
    pods.create("overridden", shell(NAMES), hostname="h", subdomain="s", hostnameOverride="other.example.com")
    pods.create("too-long", shell(NAMES), hostname="h" * 63, subdomain="s", setHostnameAsFQDN=True)
    pods.create("own-dns", shell(DNS), dnsPolicy="None", dnsConfig=OWN_DNS)
    pods.create("more-dns", shell(DNS), dnsConfig=OWN_DNS)
    pods.create("host-dns", shell(DNS), dnsPolicy="Default")
    pods.create("node-dns", shell(DNS), hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet")
    many = {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"]}
    pods.create("many-dns", shell(DNS), dnsConfig=many)
    name, address = node
    ready = {"httpGet": {"path": "/hostName", "port": HTTP}, "periodSeconds": 1}
    for pod, port, protocol, ip in (
        ("tcp-local", ports[0], "TCP", LOCAL),
        ("tcp-node", ports[0], "TCP", address),
        ("udp-node", ports[0], "UDP", address),
        ("everywhere", ports[1], "TCP", ""),
    ):
        inside = HTTP if protocol == "TCP" else UDP
        wanted = {"containerPort": inside, "hostPort": port, "protocol": protocol, "hostIP": ip}
        serving = shell(ANSWER, image=IMAGE, readinessProbe=ready, ports=[wanted])
        pods.create(pod, serving, nodeSelector={"kubernetes.io/hostname": name})
    serving = shell(
        ANSWER, image=IMAGE, readinessProbe=ready, ports=[{"containerPort": HTTP, "hostPort": ports[2]}]
    )
    template = {
        "metadata": {"labels": {"app": "each"}},
        "spec": {"containers": [serving], "terminationGracePeriodSeconds": 1},
    }
    cluster.apply(
        {
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "each", "namespace": pods.namespace},
            "spec": {"selector": {"matchLabels": {"app": "each"}}, "template": template},
        }
    )  # fmt: skip


def hosts(pods: Pods, name: str) -> tuple[str, list[str]]:
    """The host name a pod sees, and its hosts file's lines after those of every pod."""
    first, *found = pods.output(name).splitlines()
    assert found[:7] == [
        "# Kubernetes-managed hosts file.",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
    ]
    return first, found[7:]


def test_names_of_a_pod(pods: Pods) -> None:
    def address(name: str) -> str:
        return str(pods.ended(name)["status"]["podIP"])

    full = f"h.s.{pods.namespace}.svc.cluster.local"
    aliases = ["", "# Entries added by HostAliases.", "1.2.3.4\tfoo\tbar", "fd00::1\tsix"]
    assert hosts(pods, "plain") == ("plain", [f"{address('plain')}\tplain", *aliases])
    assert hosts(pods, "named") == ("h", [f"{address('named')}\t{full}\th"])
    assert hosts(pods, "fully") == (full, [f"{address('fully')}\t{full}\th"])
    other = "other.example.com"
    assert hosts(pods, "overridden") == (other, [f"{address('overridden')}\t{other}"])
    text = "Failed to construct FQDN from Pod hostname and cluster domain, FQDN "
    until(lambda: any(text in said for said in pods.events("too-long", "FailedCreatePodSandBox")), what=text)


def test_names_that_a_pod_asks_for(pods: Pods, cluster: LocalCluster) -> None:
    cluster_dns = cluster.core.read_namespaced_service("kube-dns", "kube-system").spec.cluster_ip
    searched = f"{pods.namespace}.svc.cluster.local svc.cluster.local cluster.local"
    own = "nameserver 1.1.1.1\nsearch resolv.conf.local\noptions ndots:2\n"
    assert pods.output("own-dns") == own
    servers, search, options = pods.output("node-dns").splitlines()
    assert (servers, options) == (f"nameserver {cluster_dns}", "options ndots:5")
    assert search.startswith(f"search {searched}")
    assert pods.output("more-dns").splitlines() == [
        servers, "nameserver 1.1.1.1", f"{search} resolv.conf.local", "options ndots:2",
    ]  # fmt: skip
    assert cluster_dns not in pods.output("host-dns") and "svc.cluster.local" not in pods.output("host-dns")
    assert pods.output("many-dns").splitlines()[:3] == [servers, "nameserver 1.1.1.1", "nameserver 2.2.2.2"]
    text = (
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        f"the applied nameserver line is: {cluster_dns} 1.1.1.1 2.2.2.2"
    )
    until(lambda: text in pods.events("many-dns", "DNSConfigForming"), what=text)


def by_http(address: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/hostName", timeout=30) as answer:
        return str(answer.read().decode().strip())


def by_udp(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        for _ in range(10):  # a datagram may be lost
            asking.sendto(b"hostName", (address, port))
            try:
                return asking.recv(100).decode().strip()
            except TimeoutError:
                continue
    return ""


def test_scheduling_hostport_matching_and_hostip_and_protocol_not_matching(
    pods: Pods, ports: tuple[int, ...], node: tuple[str, str]
) -> None:
    for name in ("tcp-local", "tcp-node", "udp-node"):
        assert pods.ready(name)["spec"]["nodeName"] == node[0]
    assert by_http(LOCAL, ports[0]) == "tcp-local"
    assert by_http(node[1], ports[0]) == "tcp-node"
    assert by_udp(node[1], ports[0]) == "udp-node"
    # From the node's address to the loopback one: what pods on the host's network may do.
    with socket.create_connection((LOCAL, ports[0]), timeout=30, source_address=(node[1], 0)) as asking:
        asking.sendall(b"GET /hostName HTTP/1.0\r\n\r\n")
        asking.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: asking.recv(4096), b""))
    assert said.decode().split() and said.decode().split()[-1] == "tcp-local"


def test_scheduling_hostport_and_protocol_match_hostips_different_but_one_is_default_hostip_0_0_0_0(
    pods: Pods, ports: tuple[int, ...], node: tuple[str, str]
) -> None:
    pods.ready("everywhere")
    assert by_http(node[1], ports[1]) == by_http(LOCAL, ports[1]) == "everywhere"
    wanted = {"containerPort": HTTP, "hostPort": ports[1], "protocol": "TCP", "hostIP": node[1]}
    body = shell(FOREVER, ports=[wanted])
    pods.create("unscheduled", body, nodeSelector={"kubernetes.io/hostname": node[0]})
    pod = pods.wait("unscheduled", lambda p: condition(p, "PodScheduled") == "False")
    assert not pod["spec"].get("nodeName")
    text = "didn't have free ports for the requested pod ports"
    until(lambda: any(text in said for said in pods.events("unscheduled", "FailedScheduling")), what=text)
    # The scheduler passed by, the node does not take it.
    pods.create("refused", body, nodeName=node[0])
    status = pods.ended("refused", "Failed")["status"]
    assert status["reason"] == "NodePorts"
    assert status["message"] == (
        "Pod was rejected: Predicate NodePorts failed: "
        "node(s) didn't have free ports for the requested pod ports"
    )


def test_a_port_of_each_of_several_nodes_on_one_machine(
    pods: Pods, cluster: LocalCluster, ports: tuple[int, ...]
) -> None:
    addresses = {
        node.metadata.name: next(a.address for a in node.status.addresses if a.type == "InternalIP")
        for node in pods.core.list_node().items
    }

    def each() -> dict[str, str]:
        found = [pod for pod in cluster.pods(pods.namespace, "app=each") if condition(pod, "Ready") == "True"]
        return {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in found}

    until(lambda: each().keys() == addresses.keys(), 90, "a pod of every node")
    names = each()
    assert {node: by_http(address, ports[2]) for node, address in addresses.items()} == names
    assert by_http(LOCAL, ports[2]) in names.values()
