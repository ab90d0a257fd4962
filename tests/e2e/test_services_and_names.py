"""Services by nftables and names by the cluster DNS, between real containers and from the host.

Busybox runs wget under `timeout`: its own -T crashes in this small image.
"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from busyboximage import NAME as IMAGE
from localcluster import LocalCluster, is_ready, until

pytestmark = pytest.mark.e2e

SERVE = "mkdir -p /www; hostname > /www/index.html; exec httpd -f -p 8080 -h /www"


def web(namespace: str, replicas: int = 2) -> list[dict[str, Any]]:
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", SERVE],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"type": "NodePort", "selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "each", "namespace": namespace},
            "spec": {"clusterIP": "None", "selector": labels, "ports": [{"name": "http", "port": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "client", "namespace": namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "c",
                        "image": IMAGE,
                        "imagePullPolicy": "Never",
                        "command": ["sh", "-c", "while true; do sleep 1; done"],
                    }
                ],
            },
        },
    ]


def test_services_answer_by_name_address_and_node_port(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(*web(namespace))
    cluster.pybctl("rollout", "status", "deploy/web", "-n", namespace, "--timeout", "60")
    until(lambda: is_ready(cluster.pod("client", namespace)), 60)

    def ask(url: str) -> str:
        command = ("exec", "client", "-n", namespace, "--", "timeout", "5", "wget", "-qO-", url)
        return cluster.pybctl(*command, check=False).stdout.strip()

    names = {p["metadata"]["name"] for p in cluster.pods(namespace, "app=web")}
    until(lambda: ask("http://web/") in names, 30, "the Service by its short name")
    assert ask(f"http://web.{namespace}.svc.cluster.local/") in names
    seen = {ask("http://web/") for _ in range(20)}
    assert seen == names, "both endpoints answer"

    service = cluster.core.read_namespaced_service("web", namespace)
    assert ask(f"http://{service.spec.cluster_ip}/") in names
    port = service.spec.ports[0].node_port
    node_address = cluster.core.list_node().items[0].status.addresses[0].address
    for host in ("127.0.0.1", node_address):
        url = f"http://{host}:{port}/"
        shown = subprocess.run(
            ["curl", "-fsS", "--max-time", "3", url], capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() in names
    assert ask(f"http://{node_address}:{port}/") in names

    addresses = {p["status"]["podIP"] for p in cluster.pods(namespace, "app=web")}
    lookup = ("exec", "client", "-n", namespace, "--", "nslookup", f"each.{namespace}.svc.cluster.local")
    shown_names = cluster.pybctl(*lookup, check=False).stdout
    assert all(address in shown_names for address in addresses), shown_names

    cluster.pybctl("scale", "deploy/web", "--replicas", "0", "-n", namespace)
    refused = ("exec", "client", "-n", namespace, "--", "timeout", "5", "wget", "-qO-", "http://web/")
    until(
        lambda: "refused" in cluster.pybctl(*refused, check=False).stderr, 30, "the empty Service to refuse"
    )


def test_a_pod_reaches_itself_through_its_service(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(*web(namespace, 1))
    cluster.pybctl("rollout", "status", "deploy/web", "-n", namespace, "--timeout", "60")
    name = cluster.pods(namespace, "app=web")[0]["metadata"]["name"]
    command = ("exec", name, "-n", namespace, "--", "timeout", "5", "wget", "-qO-", "http://web/")
    until(lambda: cluster.pybctl(*command, check=False).stdout.strip() == name, 30)


def test_pods_reach_the_api_server_with_their_token(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(web(namespace)[3])
    until(lambda: is_ready(cluster.pod("client", namespace)), 60)
    script = "nc -w 2 kubernetes.default.svc.cluster.local 443 </dev/null && echo reached"
    command = ("exec", "client", "-n", namespace, "--", "sh", "-c", script)
    until(lambda: "reached" in cluster.pybctl(*command, check=False).stdout, 30)
