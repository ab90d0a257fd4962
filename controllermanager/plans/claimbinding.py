"""What to do about one PersistentVolumeClaim: find it a volume, have one made, bind, or say why it waits.

A binding is four writes, claimRef and phase on the volume, volumeName and phase on the claim, in this order. Whoever
stops between them is taken over from by what is there: a volume whose claimRef has the claim's uid is the claim's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import meta, quantity
from controllermanager.plans import localpath, volumematch
from controllermanager.plans.actions import Action, Create, Event, Patch, status_patch
from controllermanager.plans.localpath import PROVISIONER, SELECTED_NODE, Refusal
from controllermanager.plans.volumebinding import BOUND_BY_CONTROLLER, volume_phase
from controllermanager.plans.volumematch import CLAIMS, VOLUMES, class_of

Object = dict[str, Any]

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
_PROVISIONER_ANNOTATIONS = (
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)
_NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
_EXTERNAL = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)


_EXPANDING = (
    "Ignoring the PVC: didn't find a plugin capable of expanding the volume; waiting for an external controller "
    "to process this PVC."
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`volumes` are the free ones of the claim's class and those that name it; `named` the one it names itself.

    `default_class` is "" where there is none; `node` the one selected for its pod; `consumers` its pods that are
    not scheduled yet.
    """

    claim: Object
    volumes: Sequence[Object]
    named: Object | None
    storage_class: Object | None
    default_class: str = ""
    node: Object | None = None
    consumers: Sequence[str] = ()


def plan(snapshot: Snapshot, now: datetime) -> list[Action]:
    claim = snapshot.claim
    if BIND_COMPLETED in meta.annotations(claim):
        return _bound(snapshot, now)
    if claim["metadata"].get("deletionTimestamp"):
        return []
    if claim["spec"].get("volumeName"):
        return _named(snapshot, now)
    if not volumematch.has_class_choice(claim) and snapshot.default_class:
        patch = {
            "metadata": {"resourceVersion": claim["metadata"]["resourceVersion"]},
            "spec": {"storageClassName": snapshot.default_class},
        }
        return [Patch(CLAIMS, claim["metadata"]["namespace"], claim["metadata"]["name"], patch)]
    waits = volumematch.waits_for_pod(snapshot.storage_class) and not meta.annotations(claim).get(
        SELECTED_NODE
    )
    found = volumematch.best(snapshot.volumes, claim, only_reserved=waits)
    if found is not None:
        return bind(found, claim, now)
    if waits:
        return [_waiting(snapshot)]
    if not class_of(claim):
        return [_event(claim, "Normal", "FailedBinding", _NO_CLASS)]
    return _provision(snapshot, now)


def _named(snapshot: Snapshot, now: datetime) -> list[Action]:
    """The claim asks for one volume by name."""
    claim, volume = snapshot.claim, snapshot.named
    if volume is None:
        return []
    if volume["spec"].get("claimRef") is None:
        problem = volumematch.mismatch(volume, claim)
        if problem:
            text = f'Cannot bind to requested volume "{volume["metadata"]["name"]}": {problem}'
            return [_event(claim, "Warning", "VolumeMismatch", text)]
        return bind(volume, claim, now)
    if volumematch.claimed_for(volume, claim):
        return bind(volume, claim, now)
    text = f'volume "{volume["metadata"]["name"]}" already bound to a different claim.'
    return [_event(claim, "Warning", "FailedBinding", text)]


def _bound(snapshot: Snapshot, now: datetime) -> list[Action]:
    """The claim has a volume, or had one."""
    claim, volume = snapshot.claim, snapshot.named
    if not claim["spec"].get("volumeName"):
        text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return _lost(claim, "ClaimLost", text)
    if volume is None:
        return _lost(
            claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        )
    ref = volume["spec"].get("claimRef")
    if ref is None or ref.get("uid") == claim["metadata"]["uid"]:
        grown: list[Action] = []
        if localpath.is_ours(volume) and volumematch.requested(claim) > volumematch.capacity(volume):
            grown = localpath.grow(volume, claim)
            volume = {
                **volume,
                "spec": {**volume["spec"], "capacity": claim["spec"]["resources"]["requests"]},
            }
        elif not grown and _grows(claim) and "csi" not in volume["spec"]:
            grown = [_event(claim, "Normal", "ExternalExpanding", _EXPANDING)]
        return [*grown, *bind(volume, claim, now)]
    text = "Two claims are bound to the same volume, this one is bound incorrectly"
    return _lost(claim, "ClaimMisbound", text)


def _grows(claim: Object) -> bool:
    """Whether the claim asks for more than it has."""
    has = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return has is not None and volumematch.requested(claim) > quantity.to_int(has)


def _lost(claim: Object, reason: str, text: str) -> list[Action]:
    if (claim.get("status") or {}).get("phase") == "Lost":
        return []
    return [*status_patch(CLAIMS, claim, {"phase": "Lost"}), _event(claim, "Warning", reason, text)]


def _waiting(snapshot: Snapshot) -> Event:
    if snapshot.consumers:
        text = f"waiting for pod {', '.join(sorted(snapshot.consumers))} to be scheduled"
        return _event(snapshot.claim, "Normal", "WaitForPodScheduled", text)
    text = "waiting for first consumer to be created before binding"
    return _event(snapshot.claim, "Normal", "WaitForFirstConsumer", text)


def _provision(snapshot: Snapshot, now: datetime) -> list[Action]:
    claim, storage_class = snapshot.claim, snapshot.storage_class
    name = class_of(claim)
    if storage_class is None:
        text = f'storageclass.storage.k8s.io "{name}" not found'
        return [_event(claim, "Warning", "ProvisioningFailed", text)]
    provisioner = storage_class["provisioner"]
    if provisioner.startswith("kubernetes.io/"):
        return [
            _event(claim, "Warning", "ProvisioningFailed", f"no volume plugin matched name: {provisioner}")
        ]
    actions: list[Action] = []
    present = meta.annotations(claim)
    if any(present.get(key) != provisioner for key in _PROVISIONER_ANNOTATIONS):
        metadata = claim["metadata"]
        patch = {
            "metadata": {
                "uid": metadata["uid"],
                "annotations": dict.fromkeys(_PROVISIONER_ANNOTATIONS, provisioner),
            }
        }
        actions.append(Patch(CLAIMS, metadata["namespace"], metadata["name"], patch))
    if provisioner != PROVISIONER:
        return [*actions, _event(claim, "Normal", "ExternalProvisioning", _EXTERNAL.format(provisioner))]
    made = localpath.provision(claim, storage_class, snapshot.node)
    if isinstance(made, Refusal):
        text = f'failed to provision volume with StorageClass "{name}": {made.why}'
        if made.elsewhere:
            actions.append(localpath.select_anew(claim))
        return [*actions, _event(claim, "Warning", "ProvisioningFailed", text)]
    volume = made["metadata"]["name"]
    text = f"Successfully provisioned volume {volume}"
    # The claim is looked at again when the volume is there, and bound then.
    return [*actions, Create(VOLUMES, made), _event(claim, "Normal", "ProvisioningSucceeded", text)]


def bind(volume: Object, claim: Object, now: datetime) -> list[Action]:
    """What is missing of the binding of these two."""
    actions: list[Action] = []
    wanted = claim["metadata"]
    metadata, spec = volume["metadata"], volume["spec"]
    ref = spec.get("claimRef")
    if ref is None or ref.get("uid") != wanted["uid"]:
        new_ref = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": wanted["namespace"],
            "name": wanted["name"],
            "uid": wanted["uid"],
            "resourceVersion": wanted["resourceVersion"],
        }
        # Nobody else may have taken the volume since it was looked at.
        change: Object = {
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "spec": {"claimRef": new_ref},
        }
        if ref is None:
            change["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
        actions.append(Patch(VOLUMES, "", metadata["name"], change))
    actions += volume_phase(volume, "Bound", now)
    annotations = {BIND_COMPLETED: "yes"}
    if claim["spec"].get("volumeName") != metadata["name"]:
        annotations[BOUND_BY_CONTROLLER] = "yes"
    present = meta.annotations(claim)
    if claim["spec"].get("volumeName") != metadata["name"] or BIND_COMPLETED not in present:
        completion = {
            "metadata": {"uid": wanted["uid"], "annotations": annotations},
            "spec": {"volumeName": metadata["name"]},
        }
        actions.append(Patch(CLAIMS, wanted["namespace"], wanted["name"], completion))
    old = claim.get("status") or {}
    status = {
        **old,
        "phase": "Bound",
        "accessModes": spec.get("accessModes"),
        "capacity": old["capacity"]
        if old.get("phase") == "Bound" and old.get("capacity")
        else spec.get("capacity"),
    }
    if localpath.is_ours(volume) and old.get("capacity") and _grows(claim):
        if localpath.is_confined(volume):
            status = localpath.growing(claim, volume, meta.rfc3339(now))
        else:
            status["capacity"] = status["allocatedResources"] = spec.get("capacity")
    return [*actions, *status_patch(CLAIMS, claim, status)]


def _event(claim: Object, kind: str, reason: str, message: str) -> Event:
    involved = {**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    return Event(involved, kind, reason, message)
