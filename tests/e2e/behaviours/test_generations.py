"""Area node: a pod's generation goes up with its spec, and the node says which one it has seen."""

from __future__ import annotations

from typing import Any

import pytest
from podset import FOREVER, Pods, running, shell

pytestmark = pytest.mark.e2e
DEADLINE = 5000


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, entry_image: str) -> None:
    pods.create("updated", shell(FOREVER), initContainers=[shell("true", "init")], restartPolicy="Always")
    pods.create("deleted", shell(FOREVER), restartPolicy="Always")
    pods.create("often", shell(FOREVER), restartPolicy="Always", activeDeadlineSeconds=DEADLINE)


def generation(pod: Any) -> int:
    return int(pod["metadata"]["generation"])


def seen(pods: Pods, name: str, number: int) -> Any:
    """The pod once its node has seen this generation, in its status and in its conditions."""
    pod = pods.wait(name, lambda pod: pod["status"].get("observedGeneration") == number)
    assert {c["observedGeneration"] for c in pod["status"]["conditions"]} == {number}
    return pod


def test_pods_generation_updates(pods: Pods, entry_image: str) -> None:
    pod = pods.ready("updated")
    assert generation(pod) == 1
    seen(pods, "updated", 1)
    toleration = {"key": "foo", "operator": "Equal", "value": "bar", "effect": "NoSchedule"}
    tolerations = [*pod["spec"]["tolerations"], toleration]
    image = {"containers": [{"name": "main", "image": entry_image}]}
    init = {"initContainers": [{"name": "init", "image": entry_image}]}
    updates: list[tuple[Any, bool]] = [
        ({}, False),
        ({"spec": {"tolerations": tolerations}}, True),
        ({"spec": {"activeDeadlineSeconds": DEADLINE}}, True),
        ({"spec": image}, True),
        ({"spec": init}, True),
        ({"metadata": {"annotations": {"key": "value"}}}, False),
        ({"metadata": {"generation": 1}}, False),
    ]
    expected = 1
    for update, bumps in updates:
        expected += bumps
        assert generation(pods.patch("updated", update)) == expected
        seen(pods, "updated", expected)


def test_pods_generation_graceful_delete(pods: Pods) -> None:
    made = pods.core.create_namespaced_pod(
        pods.namespace,
        {"metadata": {"name": "numbered", "generation": 100}, "spec": {"containers": [shell(FOREVER)]}},
    )
    assert made.metadata.generation == 1
    assert generation(pods.wait("deleted", running)) == 1
    # Long enough to be looked at: it does not heed the signal in time.
    pods.delete("numbered", 0)
    pods.delete("deleted", 60)
    pod = pods.get("deleted")
    assert not pod or (generation(pod) == 2 and pod["metadata"]["deletionTimestamp"])
    pods.gone("deleted")


def test_pods_generation_500_updates(pods: Pods) -> None:
    pods.wait("often", running)
    for number in range(1, 500):
        pods.patch("often", {"spec": {"activeDeadlineSeconds": DEADLINE - number}})
    assert generation(pods.get("often")) == 500
    seen(pods, "often", 500)
