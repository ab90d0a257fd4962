"""Area architecture, and what needs nodes: `kube_cluster` has three simulated ones."""

from __future__ import annotations

from typing import Any

import pytest
from apiclient import Api
from lifecycle import fine
from registrations import eventually

from pytest_pybernetes.servers import KubeServer

Object = dict[str, Any]
NAMESPACES = "/api/v1/namespaces"


@pytest.fixture
def nodes(kube_cluster: KubeServer) -> Api:
    return Api(kube_cluster.kubeconfig)


def test_conformance_tests_minimum_number_of_nodes(nodes: Api) -> None:
    def schedulable() -> list[Object]:
        found = []
        for node in fine(nodes.get("/api/v1/nodes"))["items"]:
            ready = {c["type"]: c["status"] for c in node["status"].get("conditions") or ()}
            spec = node["spec"]
            if ready.get("Ready") == "True" and not spec.get("unschedulable") and not spec.get("taints"):
                found.append(node)
        return found

    eventually(lambda: len(schedulable()) >= 2)


def test_ephemeral_container_creation(nodes: Api, kube_cluster_namespace: str) -> None:
    """Adding an ephemeral container to a pod that runs: it runs too."""
    pods = f"{NAMESPACES}/{kube_cluster_namespace}/pods"
    pod = {"metadata": {"name": "target"}, "spec": {"containers": [{"name": "main", "image": "busybox"}]}}
    fine(nodes.post(pods, pod), 201)
    eventually(lambda: fine(nodes.get(f"{pods}/target"))["status"]["phase"] == "Running")
    debugger = {"name": "debugger", "image": "busybox", "stdin": True, "tty": True}
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    strategic = "application/strategic-merge-patch+json"
    fine(nodes.patch(f"{pods}/target/ephemeralcontainers", patch, strategic))

    def running() -> Object | None:
        statuses = fine(nodes.get(f"{pods}/target"))["status"].get("ephemeralContainerStatuses") or []
        found: Object | None = next((s["state"].get("running") for s in statuses), None)
        return found

    assert eventually(running)["startedAt"]


def test_namespaces_with_running_pods_end(nodes: Api) -> None:
    """namespace-deletion-removes-pods, where pods take their time to end."""
    made = fine(nodes.post(NAMESPACES, {"metadata": {"generateName": "nsdeletetest-"}}), 201)
    path = f"{NAMESPACES}/{made['metadata']['name']}"
    eventually(lambda: nodes.get(f"{path}/serviceaccounts/default").code == 200)
    pod = {"metadata": {"name": "test-pod"}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}
    fine(nodes.post(f"{path}/pods", pod), 201)
    eventually(lambda: fine(nodes.get(f"{path}/pods/test-pod"))["status"]["phase"] == "Running")
    fine(nodes.delete(path))
    eventually(lambda: nodes.get(path).code == 404)
