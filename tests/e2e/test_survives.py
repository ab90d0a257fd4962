"""What a cluster survives: kill -9 of any component, the loss of a node, a restart of an agent."""

from __future__ import annotations

from typing import Any

import pytest
from docker.api.client import APIClient
from localcluster import LocalCluster, is_ready, restarts, until
from test_pods_on_containers import SLEEP, container_id, deployment, shell

from pybctl import engine

pytestmark = pytest.mark.e2e


def steady(cluster: LocalCluster, namespace: str, replicas: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]]:
        current = [
            p for p in cluster.pods(namespace, "app=web") if not p["metadata"].get("deletionTimestamp")
        ]
        return current if len(current) == replicas and all(map(is_ready, current)) else []

    return until(found, 90, f"{replicas} Ready pods")


@pytest.mark.parametrize("component", ["apiserver", "scheduler", "controllermanager", "kubeletd-e2e-node-1"])
def test_a_killed_component_changes_nothing_and_works_again(
    cluster: LocalCluster, namespace: str, component: str
) -> None:
    cluster.apply(deployment("web", namespace, 4, shell(SLEEP)))
    before = {p["metadata"]["name"]: container_id(p) for p in steady(cluster, namespace, 4)}
    cluster.kill(component)
    until(
        lambda: cluster.pybctl("cluster", "status", "e2e", check=False).returncode == 0,
        60,
        "a healthy cluster",
    )
    after = {p["metadata"]["name"]: container_id(p) for p in steady(cluster, namespace, 4)}
    assert after == before, "no container was replaced"
    assert all(restarts(p) == 0 for p in cluster.pods(namespace, "app=web"))
    cluster.pybctl("scale", "deploy/web", "--replicas", "5", "-n", namespace)
    steady(cluster, namespace, 5)


def test_a_lost_nodes_pods_run_elsewhere_and_it_comes_back_clean(
    cluster: LocalCluster, namespace: str
) -> None:
    body = deployment("web", namespace, 3, shell(SLEEP))
    taints = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    body["spec"]["template"]["spec"]["tolerations"] = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2} for key in taints
    ]
    body["spec"]["template"]["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "web"}},
        }
    ]
    cluster.apply(body)
    node = steady(cluster, namespace, 3)[0]["spec"]["nodeName"]
    cluster.pybctl("node", "stop", node, "--cluster", "e2e")
    try:

        def moved() -> bool:
            current = [
                p for p in cluster.pods(namespace, "app=web") if not p["metadata"].get("deletionTimestamp")
            ]
            return (
                len(current) == 3
                and all(map(is_ready, current))
                and all(p["spec"]["nodeName"] != node for p in current)
            )

        until(moved, 120, f"the pods of {node} to run elsewhere")
        shown = cluster.pybctl("get", "nodes", node).stdout
        assert "NotReady" in shown
    finally:
        cluster.pybctl("node", "start", node, "--cluster", "e2e")
    until(lambda: "NotReady" not in cluster.pybctl("get", "nodes", node).stdout, 60, f"{node} to be Ready")
    until(lambda: len(cluster.pods(namespace, "app=web")) == 3, 60, "the old pods to be gone")
    client = APIClient(version="auto")
    wanted = {p["metadata"]["uid"] for p in cluster.pods(namespace)}

    def clean() -> bool:
        found = engine.containers(client, "e2e", node)
        here = {
            c["Labels"]["io.pybernetes.uid"]
            for c in found
            if c["Labels"]["io.pybernetes.namespace"] == namespace
        }
        return here <= wanted

    until(clean, 60, "no container of the old pods to be left")
    client.close()
