"""Area network: the names that pods resolve."""

from __future__ import annotations

import re
from typing import Any

import pytest
from localcluster import until
from podset import FOREVER, Pods, shell

pytestmark = pytest.mark.e2e
Object = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods) -> None:
    serve = "mkdir -p /www; exec httpd -f -p 8080 -h /www"
    for number in range(2):
        pods.create(f"backend-{number}", shell(serve), labels={"app": "backend"})
    pods.create("client", shell(FOREVER))
    pods.create(
        "querier",
        shell(FOREVER),
        labels={"app": "querier"},
        hostname="dns-querier",
        subdomain="dns-subdomain",
    )
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    for name, spec in (
        ("headless", {"clusterIP": "None", "selector": {"app": "backend"}, "ports": ports}),
        ("normal", {"selector": {"app": "backend"}, "ports": ports}),
        ("dns-subdomain", {"clusterIP": "None", "selector": {"app": "querier"}, "ports": ports}),
        ("alias", {"type": "ExternalName", "externalName": "normal." + domain(pods)}),
    ):
        pods.core.create_namespaced_service(pods.namespace, {"metadata": {"name": name}, "spec": spec})


def domain(pods: Pods) -> str:
    return f"{pods.namespace}.svc.cluster.local"


def resolve(pods: Pods, name: str, client: str = "client") -> set[str]:
    """The addresses of a whole name, as the cluster's DNS says."""
    said = pods.exec(client, f"nslookup -type=a {name}")
    return set(re.findall(r"^Address:\s+(\S+)$", said.partition("\n\n")[2], re.MULTILINE))


def look_up(pods: Pods, name: str, client: str = "client") -> str:
    """The address that a program in the pod gets for a name, whole or not."""
    said = pods.exec(client, f"ping -c 1 -W 1 {name} | head -n 1")
    found = re.search(r"\((\S+)\)", said)
    return found[1] if found else ""


def services(pods: Pods, name: str) -> set[tuple[str, str]]:
    """(port, target) of a name's SRV records."""
    said = pods.exec("client", f"nslookup -type=srv {name}")
    return set(re.findall(r"service = \d+ \d+ (\d+) (\S+)", said))


def addresses(pods: Pods) -> set[str]:
    return {str(pods.ready(f"backend-{number}")["status"]["podIP"]) for number in range(2)}


def cluster_ip(pods: Pods, name: str, namespace: str = "") -> str:
    return str(pods.core.read_namespaced_service(name, namespace or pods.namespace).spec.cluster_ip)


def test_dns_cluster(pods: Pods) -> None:
    pods.ready("client")
    address = cluster_ip(pods, "kubernetes", "default")
    until(lambda: look_up(pods, "kubernetes.default") == address, 30, "the API server's name to be known")
    assert resolve(pods, "kubernetes.default.svc.cluster.local") == {address}
    own = pods.exec("client", "cat /etc/hosts")
    assert "Kubernetes-managed hosts file" in own


def test_dns_services(pods: Pods) -> None:
    pods.ready("client")
    backends, address, whole = addresses(pods), cluster_ip(pods, "normal"), domain(pods)
    until(lambda: resolve(pods, f"headless.{whole}") == backends, 30, "the pods of the headless Service")
    until(lambda: resolve(pods, f"normal.{whole}") == {address}, 30, "the Service's address")
    dashed = {("8080", f"{ip.replace('.', '-')}.headless.{whole}") for ip in backends}
    assert services(pods, f"_http._tcp.headless.{whole}") == dashed
    for _, target in dashed:
        assert resolve(pods, target) <= backends
    assert services(pods, f"_http._tcp.normal.{whole}") == {("80", f"normal.{whole}")}
    back = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert f"name = normal.{whole}" in pods.exec("client", f"nslookup -type=ptr {back}")


def test_dns_pqdn_for_services(pods: Pods) -> None:
    pods.ready("client")
    backends, address = addresses(pods), cluster_ip(pods, "normal")
    for rest in ("", f".{pods.namespace}", f".{pods.namespace}.svc"):
        until(lambda rest=rest: look_up(pods, f"normal{rest}") == address, 30, f"normal{rest}")
        until(lambda rest=rest: look_up(pods, f"headless{rest}") in backends, 30, f"headless{rest}")
    config = pods.exec("client", "cat /etc/resolv.conf")
    assert f"search {domain(pods)} svc.cluster.local cluster.local" in config
    assert "options ndots:5" in config


def test_dns_for_externalname_services(pods: Pods) -> None:
    pods.ready("client")
    name = f"alias.{domain(pods)}"

    def alias(target: str) -> bool:
        return f"canonical name = {target}\n" in pods.exec("client", f"nslookup -type=cname {name}")

    until(lambda: alias(f"normal.{domain(pods)}"), 30, "the alias")
    assert resolve(pods, name) == {cluster_ip(pods, "normal")}
    pods.core.patch_namespaced_service("alias", pods.namespace, {"spec": {"externalName": "bar.example.com"}})
    until(lambda: alias("bar.example.com"), 30, "the alias to change")
    spec: Object = {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80, "protocol": "TCP"}]}
    changed = pods.core.patch_namespaced_service("alias", pods.namespace, {"spec": spec})
    until(lambda: resolve(pods, name) == {changed.spec.cluster_ip}, 30, "the alias to become a Service")


def test_dns_resolve_the_hostname(pods: Pods) -> None:
    address = str(pods.ready("querier")["status"]["podIP"])
    pods.ready("client")
    whole = f"dns-querier.dns-subdomain.{domain(pods)}"
    until(lambda: resolve(pods, whole) == {address}, 30, "the host's whole name")
    assert look_up(pods, "dns-querier", "querier") == address
    assert pods.exec("querier", "hostname; hostname -f").split() == ["dns-querier", whole]


def test_dns_resolve_the_subdomain(pods: Pods) -> None:
    address = str(pods.ready("querier")["status"]["podIP"])
    pods.ready("client")
    until(lambda: resolve(pods, f"dns-subdomain.{domain(pods)}") == {address}, 30, "the subdomain")
    for name in ("dns-subdomain", "dns-querier.dns-subdomain"):
        assert look_up(pods, name) == address
    assert look_up(pods, f"dns-querier.dns-subdomain.{domain(pods)}", "querier") == address
