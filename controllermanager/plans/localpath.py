"""The provisioner `pybernetes.io/local-path`: volumes that are directories of one node.

The node's agent says in an annotation of its Node where such directories go, and makes one when the first pod uses
it. To have one removed, the controller asks by another annotation of the Node, which names the volume, and the agent
answers there: so data is removed only by an explicit word, by the one process that owns the disk, and a node that is
down answers when it is back. A finalizer keeps the PersistentVolume until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Delete, Event, Patch
from controllermanager.plans.volumematch import CLAIMS, VOLUMES, class_of

Object = dict[str, Any]

NODES = resources.get("nodes")

PROVISIONER = "pybernetes.io/local-path"
FINALIZER = "pybernetes.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
ROOT_ANNOTATION = "pybernetes.io/local-path-root"
# How a node holds its volumes to their size, on the Node and on volumes made for it.
QUOTA_ANNOTATION = "pybernetes.io/local-path-quota"
NODE_ANNOTATION = "pybernetes.io/node"
REMOVAL_PREFIX = "local-path.pybernetes.io/"
REMOVE = "remove"
REMOVED = "removed"
FAILED_PREFIX = "failed: "
SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True, slots=True)
class Refusal:
    """No volume can be made; with `elsewhere`, the pod should be scheduled anew."""

    why: str
    elsewhere: bool = False


def is_ours(volume: Object) -> bool:
    return meta.annotations(volume).get(PROVISIONED_BY) == PROVISIONER


def provision(claim: Object, storage_class: Object, node: Object | None) -> Object | Refusal:
    """The PersistentVolume for a claim, bound to it beforehand. `node` is the one selected for its pod."""
    selected = meta.annotations(claim).get(SELECTED_NODE, "")
    spec = claim["spec"]
    if spec.get("volumeMode") == "Block":
        return Refusal("local-path volumes have volumeMode Filesystem only")
    if spec.get("selector"):
        return Refusal("claim.Spec.Selector is not supported")
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return Refusal("a data source is not supported")
    if not selected:
        return Refusal(
            f"no node was selected: volumeBindingMode of {PROVISIONER} must be WaitForFirstConsumer"
        )
    if node is None:
        return Refusal(f'node "{selected}" not found', elsewhere=True)
    root = meta.annotations(node).get(ROOT_ANNOTATION)
    if not root:
        return Refusal(f'node "{selected}" offers no local-path volumes', elsewhere=True)
    name = f"pvc-{claim['metadata']['uid']}"
    annotations = {PROVISIONED_BY: PROVISIONER, NODE_ANNOTATION: selected}
    if quota := meta.annotations(node).get(QUOTA_ANNOTATION):
        annotations[QUOTA_ANNOTATION] = quota
    hostname = meta.labels(node).get("kubernetes.io/hostname", selected)
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": annotations,
            "finalizers": [FINALIZER],
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": class_of(claim),
            "hostPath": {"path": f"{root.rstrip('/')}/{name}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim["metadata"]["namespace"],
                "name": claim["metadata"]["name"],
                "uid": claim["metadata"]["uid"],
                "resourceVersion": claim["metadata"]["resourceVersion"],
            },
        },
    }


def select_anew(claim: Object) -> Patch:
    """Has the scheduler choose another node for the claim's pod."""
    metadata = claim["metadata"]
    patch = {"metadata": {"uid": metadata["uid"], "annotations": {SELECTED_NODE: None}}}
    return Patch(CLAIMS, metadata["namespace"], metadata["name"], patch)


def node_of(volume: Object) -> str:
    return meta.annotations(volume).get(NODE_ANNOTATION, "")


def removals(node: Object) -> list[str]:
    """The volumes that the node was asked to remove."""
    start = len(REMOVAL_PREFIX)
    return [key[start:] for key in meta.annotations(node) if key.startswith(REMOVAL_PREFIX)]


def failure(volume: Object, node: Object | None) -> str:
    """Why the node could not remove the volume; "" unless it said so."""
    answer = meta.annotations(node).get(REMOVAL_PREFIX + volume["metadata"]["name"], "") if node else ""
    return answer.removeprefix(FAILED_PREFIX) if answer.startswith(FAILED_PREFIX) else ""


def remove(volume: Object, node: Object | None) -> list[Action]:
    """The next step of taking away a volume of ours that nobody has any more. `node` None: it is gone for good."""
    metadata = volume["metadata"]
    name = metadata["name"]
    held = FINALIZER in meta.finalizers(volume)
    answer = meta.annotations(node).get(REMOVAL_PREFIX + name, "") if node is not None else REMOVED
    if held and answer != REMOVED:
        return [] if answer else [_annotate(node, name, REMOVE)]
    if not metadata.get("deletionTimestamp"):
        return [Delete(VOLUMES, "", name, metadata["uid"], resource_version=metadata["resourceVersion"])]
    return [drop_finalizer(VOLUMES, volume, FINALIZER)] if held else []


def forget(node: Object, volume: str) -> Action:
    """The volume is gone: so is what was written on the node about it."""
    return _annotate(node, volume, None)


def _annotate(node: Object | None, volume: str, value: str | None) -> Patch:
    assert node is not None
    metadata = node["metadata"]
    patch = {"metadata": {"uid": metadata["uid"], "annotations": {REMOVAL_PREFIX + volume: value}}}
    return Patch(NODES, "", metadata["name"], patch, missing_ok=True)


def drop_finalizer(resource: resources.Resource, obj: Object, finalizer: str) -> Patch:
    metadata = obj["metadata"]
    left = [f for f in meta.finalizers(obj) if f != finalizer]
    patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": left}}
    return Patch(resource, metadata.get("namespace", ""), metadata["name"], patch, missing_ok=True)


def is_confined(volume: Object) -> bool:
    """Whether the node holds the volume to its size, so that it has grown only when the node says so."""
    return QUOTA_ANNOTATION in meta.annotations(volume)


def growing(claim: Object, volume: Object, now: str) -> Object:
    """The claim's status while its node has still to give it the volume's new size."""
    old = claim.get("status") or {}
    kind = "FileSystemResizePending"
    conditions = old.get("conditions") or []
    if any(condition["type"] == kind for condition in conditions):
        return old
    pending = {
        "type": kind,
        "status": "True",
        "lastTransitionTime": now,
        "message": "Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
    }
    return {
        **old,
        "conditions": [*conditions, pending],
        "allocatedResources": {"storage": volume["spec"]["capacity"]["storage"]},
        "allocatedResourceStatuses": {"storage": "NodeResizePending"},
    }


def grow(volume: Object, claim: Object) -> list[Action]:
    """A bound claim asks for more: a directory has no size of its own, so what it asks for it has.

    Where the node holds it to its size, the node has the last word.
    """
    wanted = claim["spec"]["resources"]["requests"]["storage"]
    metadata = volume["metadata"]
    patch = {"metadata": {"uid": metadata["uid"]}, "spec": {"capacity": {"storage": wanted}}}
    involved = {**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    told = ("VolumeResizeSuccessful", "Resize volume succeeded")
    if is_confined(volume):
        told = ("FileSystemResizeRequired", "Require file system resize of volume on node")
    return [Patch(VOLUMES, "", metadata["name"], patch), Event(involved, "Normal", *told)]
