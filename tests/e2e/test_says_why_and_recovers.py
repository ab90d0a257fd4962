"""What a pod lacks is said in Kubernetes's words, and the pod runs when it is there."""

from __future__ import annotations

from typing import Any

import pytest
from localcluster import LocalCluster, until, waiting_reason
from test_pods_on_containers import SLEEP, pod, ready, shell

pytestmark = pytest.mark.e2e


def status(cluster: LocalCluster, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.pod("p", namespace)["status"]["containerStatuses"][0]
    return found


def test_a_variable_of_a_missing_configmap(cluster: LocalCluster, namespace: str) -> None:
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}]
    cluster.apply(pod("p", namespace, shell("echo $A; " + SLEEP, env=env)))
    wanted = "CreateContainerConfigError"
    until(lambda: waiting_reason(cluster.pod("p", namespace)) == wanted, 60, wanted)
    assert status(cluster, namespace)["state"]["waiting"]["message"] == 'configmap "late" not found'
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": namespace}}
    cluster.apply({**config, "data": {"other": "x"}})
    message = f"couldn't find key k in ConfigMap {namespace}/late"
    until(lambda: status(cluster, namespace)["state"]["waiting"]["message"] == message, 60, message)
    cluster.apply({**config, "data": {"k": "v"}})
    ready(cluster, namespace, "p")
    assert cluster.pybctl("logs", "p", "-n", namespace).stdout == "v\n"


def test_an_image_no_registry_gives(cluster: LocalCluster, namespace: str) -> None:
    image = "127.0.0.1:9/none/such:1"
    container = {**shell(SLEEP), "image": image, "imagePullPolicy": "IfNotPresent"}
    cluster.apply(pod("p", namespace, container))
    until(lambda: waiting_reason(cluster.pod("p", namespace)) == "ErrImagePull", 60, "ErrImagePull")
    until(lambda: waiting_reason(cluster.pod("p", namespace)) == "ImagePullBackOff", 60, "ImagePullBackOff")
    message = status(cluster, namespace)["state"]["waiting"]["message"]
    assert message.startswith(f'Back-off pulling image "{image}": ErrImagePull: ')
    assert "connection refused" in message
    events = cluster.events(namespace)
    assert f'Pulling image "{image}"' in events
    assert f'Back-off pulling image "{image}"' in events
    assert "Error: ErrImagePull" in events
    assert "Error: ImagePullBackOff" in events


def test_a_command_that_does_not_exist(cluster: LocalCluster, namespace: str) -> None:
    cluster.apply(pod("p", namespace, {**shell(SLEEP), "command": ["/no/such"]}))
    until(lambda: waiting_reason(cluster.pod("p", namespace)) == "RunContainerError", 60, "RunContainerError")
    until(lambda: "terminated" in status(cluster, namespace)["lastState"], 30, "the last state")
    ended = status(cluster, namespace)["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert "/no/such" in ended["message"]
    assert ended["startedAt"] == "1970-01-01T00:00:00Z"
    assert any('exec: "/no/such"' in text for text in cluster.events(namespace, "Failed"))
    until(lambda: waiting_reason(cluster.pod("p", namespace)) == "CrashLoopBackOff", 60, "CrashLoopBackOff")
