"""A node is away for a while: what was decided meanwhile holds when it is back, and what it kept is kept."""

from __future__ import annotations

import os
import signal

import pytest
from docker.api.client import APIClient
from localcluster import LocalCluster, is_ready, restarts, until
from test_pods_on_containers import SLEEP, container_id, deployment, pod, ready, shell

from pybctl import engine

pytestmark = pytest.mark.e2e

NODE = "e2e-node-2"


def node_status(cluster: LocalCluster) -> str:
    node = cluster.api.resources.get(api_version="v1", kind="Node").get(name=NODE).to_dict()
    return next(str(c["status"]) for c in node["status"]["conditions"] if c["type"] == "Ready")


def test_pods_deleted_by_force_meanwhile_leave_nothing(cluster: LocalCluster, namespace: str) -> None:
    mounts = [{"name": "m", "mountPath": "/m"}]
    volumes = [{"name": "m", "emptyDir": {"medium": "Memory"}}]
    names = ("whole", "files")
    for name in names:
        cluster.apply(pod(name, namespace, shell(SLEEP, volumeMounts=mounts), volumes=volumes, nodeName=NODE))
    uids = {name: ready(cluster, namespace, name)["metadata"]["uid"] for name in names}
    client = APIClient(version="auto")

    def containers(uid: str) -> list[str]:
        found = engine.containers(client, cluster.name, NODE)
        return [c["Id"] for c in found if c["Labels"]["io.pybernetes.uid"] == uid]

    cluster.pybctl("node", "stop", NODE, "--cluster", cluster.name)
    try:
        for name in names:
            cluster.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
            assert cluster.pod(name, namespace) == {}
        # Of one even the containers are gone: only its files tell of it.
        for container in containers(uids["files"]):
            client.remove_container(container, force=True)
        pods = cluster.home / "nodes" / NODE / "root" / "pods"
        assert all((pods / uid).exists() for uid in uids.values())
    finally:
        cluster.pybctl("node", "start", NODE, "--cluster", cluster.name)
    for uid in uids.values():
        until(lambda u=uid: not (pods / u).exists() and not containers(u), 60, "nothing to be left")  # type: ignore[misc]
    until(lambda: node_status(cluster) == "True", 60, "the node to be Ready")
    client.close()


def test_a_node_that_was_only_silent_keeps_its_pods(cluster: LocalCluster, namespace: str) -> None:
    body = deployment("web", namespace, 2, shell(SLEEP))
    body["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": NODE}
    cluster.apply(body)

    def both() -> dict[str, str]:
        found = cluster.pods(namespace, "app=web")
        good = len(found) == 2 and all(map(is_ready, found))
        return {p["metadata"]["name"]: container_id(p) for p in found} if good else {}

    before = until(both, 60, "two Ready pods")
    pid = cluster.pid(f"kubeletd-{NODE}")
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: node_status(cluster) == "Unknown", 60, "the node to be missed")
        until(lambda: not any(map(is_ready, cluster.pods(namespace, "app=web"))), 30, "no Ready pod")
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: node_status(cluster) == "True", 60, "the node to be Ready")
    assert until(both, 60, "both to be Ready again") == before
    assert all(restarts(p) == 0 for p in cluster.pods(namespace, "app=web"))
