"""Area node: what runs on a node that is tainted, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from localcluster import until
from podset import FOREVER, Pods, running, shell

pytestmark = pytest.mark.e2e
KEY = "example.com/evict"
TAINT = {"key": KEY, "value": "yes", "effect": "NoExecute"}
FIRST, SECOND = 2, 6


def tolerant(seconds: int) -> dict[str, Any]:
    tolerations = [{"key": KEY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]
    return {"tolerations": tolerations, "restartPolicy": "Always"}


@pytest.fixture(scope="module")
def nodes(pods: Pods) -> Iterator[tuple[str, str]]:
    """Two nodes, without our taint in the end."""
    names = sorted(node.metadata.name for node in pods.core.list_node().items)
    yield names[-2], names[-1]
    for name in names:
        taint(pods, name, False)


@pytest.fixture(scope="module", autouse=True)
def made(pods: Pods, nodes: tuple[str, str]) -> None:
    for number, node in enumerate(nodes):
        pods.create(f"first-{number}", shell(FOREVER), nodeName=node, **tolerant(FIRST))
        pods.create(f"second-{number}", shell(FOREVER), nodeName=node, **tolerant(SECOND))
        pods.create(f"none-{number}", shell(FOREVER), nodeName=node, restartPolicy="Always")


def taint(pods: Pods, node: str, put: bool) -> None:
    spec = pods.core.read_node(node).spec
    others = [t.to_dict() for t in spec.taints or () if t.key != KEY]
    kept = [{k: v for k, v in each.items() if v is not None and k != "time_added"} for each in others]
    pods.core.patch_node(node, {"spec": {"taints": [*kept, TAINT] if put else kept}})


def leaves(pods: Pods, name: str) -> bool:
    pod = pods.get(name)
    return not pod or "deletionTimestamp" in pod["metadata"]


def test_pod_eviction_toleration_limits(pods: Pods, nodes: tuple[str, str]) -> None:
    for name in ("first-0", "second-0", "none-0"):
        pods.wait(name, running)
    taint(pods, nodes[0], True)
    until(lambda: leaves(pods, "none-0"), 30, "what does not tolerate it to be evicted")
    until(lambda: leaves(pods, "first-0"), 30, "the less tolerant to be evicted")
    assert not leaves(pods, "second-0")
    until(lambda: leaves(pods, "second-0"), 30, "the other to be evicted")
    taint(pods, nodes[0], False)


def test_taint_pod_eviction_on_taint_removal(pods: Pods, nodes: tuple[str, str]) -> None:
    pods.wait("second-1", running)
    taint(pods, nodes[1], True)
    until(lambda: leaves(pods, "first-1"), 30, "the less tolerant to be evicted")
    taint(pods, nodes[1], False)
    # One that is as tolerant, on a node that stays tainted, says when the time is over.
    pods.create("watch", shell(FOREVER), nodeName=nodes[0], **tolerant(SECOND))
    pods.wait("watch", running)
    taint(pods, nodes[0], True)
    until(lambda: leaves(pods, "watch"), 30, "the eviction beside it")
    assert running(pods.get("second-1")) and not leaves(pods, "second-1")
