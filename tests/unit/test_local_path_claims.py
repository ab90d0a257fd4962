"""Claims of the default class: directories on the nodes of their pods."""

from __future__ import annotations

from typing import Any

from storagemodel import NODES, Object, Storage

from controllermanager.plans import localpath
from controllermanager.plans.localpath import REMOVAL_PREFIX
from controllermanager.plans.volumematch import CLAIMS, VOLUMES


def test_a_local_path_waits_for_its_pod_and_goes_with_its_claim() -> None:
    storage = Storage()
    storage.node()
    storage.standard()
    claim = storage.claim("c", storageClassName="standard")
    storage.settle()
    assert storage.reasons() and set(storage.reasons()) == {"WaitForFirstConsumer"}
    assert not storage.of(VOLUMES)
    storage.change(CLAIMS, "c", {"metadata": {"annotations": {localpath.SELECTED_NODE: "n1"}}})
    storage.settle()
    name = f"pvc-{claim['metadata']['uid']}"
    volume = storage.get(VOLUMES, name)
    assert volume["spec"]["hostPath"]["path"] == f"/root/local-path/{name}"
    assert storage.phase(CLAIMS, "c") == "Bound"
    storage.change(CLAIMS, "c", {"spec": {"resources": {"requests": {"storage": "4Gi"}}}})
    storage.settle()
    assert storage.get(CLAIMS, "c")["status"]["capacity"] == {"storage": "4Gi"}
    assert storage.get(VOLUMES, name)["spec"]["capacity"] == {"storage": "4Gi"}
    storage.delete(CLAIMS, "c")
    assert storage.phase(VOLUMES, name) == "Released"
    asked = {REMOVAL_PREFIX + name: localpath.REMOVE}
    assert asked.items() <= storage.get(NODES, "n1")["metadata"]["annotations"].items()
    storage.change(
        NODES, "n1", {"metadata": {"annotations": {REMOVAL_PREFIX + name: "failed: disk is read-only"}}}
    )
    storage.settle()
    assert storage.phase(VOLUMES, name) == "Failed"
    assert storage.get(VOLUMES, name)["status"]["message"] == "disk is read-only"
    storage.change(NODES, "n1", {"metadata": {"annotations": {REMOVAL_PREFIX + name: localpath.REMOVED}}})
    storage.settle()
    assert not storage.of(VOLUMES)
    assert localpath.removals(storage.get(NODES, "n1")) == [name]


def test_a_local_path_outlives_its_claim_if_it_is_to_be_retained_and_dies_with_its_node() -> None:
    for policy in ("Retain", "Delete"):
        storage = Storage()
        storage.node()
        storage.standard(policy)
        storage.claim("c", storageClassName="standard", annotations={localpath.SELECTED_NODE: "n1"})
        storage.settle()
        storage.remove(NODES, "n1")
        storage.delete(CLAIMS, "c")
        assert len(storage.of(VOLUMES)) == (1 if policy == "Retain" else 0)
        for volume in storage.of(VOLUMES):
            storage.delete(VOLUMES, volume["metadata"]["name"])
        assert not storage.of(VOLUMES)


def grown(storage: Storage, **node: Any) -> Object:
    """A claim on a node that then asked for more."""
    storage.standard()
    storage.node()
    if node:
        storage.change(NODES, "n1", {"metadata": {"annotations": node}})
    storage.claim("c", storageClassName="standard")
    storage.settle()
    storage.change(CLAIMS, "c", {"metadata": {"annotations": {localpath.SELECTED_NODE: "n1"}}})
    storage.settle()
    storage.change(CLAIMS, "c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    storage.settle()
    (volume,) = storage.of(VOLUMES)
    assert volume["spec"]["capacity"] == {"storage": "2Gi"}
    return storage.get(CLAIMS, "c")


def test_a_directory_has_the_size_that_is_asked_for_at_once() -> None:
    storage = Storage()
    status = grown(storage)["status"]
    assert status["capacity"] == status["allocatedResources"] == {"storage": "2Gi"}
    assert not status.get("conditions") and storage.reasons()[-1] == "VolumeResizeSuccessful"


def test_a_directory_that_is_held_to_its_size_grows_when_its_node_says_so() -> None:
    storage = Storage()
    claim = grown(storage, **{localpath.QUOTA_ANNOTATION: "project"})
    status = claim["status"]
    assert status["capacity"] == {"storage": "1Gi"} and status["allocatedResources"] == {"storage": "2Gi"}
    assert [condition["type"] for condition in status["conditions"]] == ["FileSystemResizePending"]
    assert status["allocatedResourceStatuses"] == {"storage": "NodeResizePending"}
    assert "FileSystemResizeRequired" in storage.reasons()
    told = {"status": {"capacity": {"storage": "2Gi"}, "conditions": None, "allocatedResourceStatuses": None}}
    storage.change(CLAIMS, "c", told)
    storage.settle()
    assert storage.get(CLAIMS, "c")["status"]["capacity"] == {"storage": "2Gi"}
    assert not storage.get(CLAIMS, "c")["status"].get("conditions")


def test_a_node_that_is_gone_is_chosen_anew() -> None:
    storage = Storage()
    storage.standard()
    storage.claim("c", storageClassName="standard", annotations={localpath.SELECTED_NODE: "gone"})
    storage.settle()
    assert localpath.SELECTED_NODE not in storage.get(CLAIMS, "c")["metadata"]["annotations"]
    assert "ProvisioningFailed" in storage.reasons()
