"""What to do about one PersistentVolume: its phase, and what becomes of it when its claim is gone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import meta
from controllermanager.plans import localpath
from controllermanager.plans.actions import Action, Event, Patch, status_patch
from controllermanager.plans.localpath import PROVISIONED_BY
from controllermanager.plans.volumematch import VOLUMES

Object = dict[str, Any]

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`claim` is the one of the name in the volume's claimRef, whatever its uid; `node` the one of a local path."""

    volume: Object
    claim: Object | None
    node: Object | None = None


def volume_phase(
    volume: Object, phase: str, now: datetime, message: str = "", reason: str = ""
) -> list[Action]:
    """The patch that puts the volume into a phase; nothing if it is in it already."""
    old = volume.get("status") or {}
    status = {**old, "phase": phase, "message": message or None, "reason": reason or None}
    if old.get("phase") != phase or not old.get("lastPhaseTransitionTime"):
        status["lastPhaseTransitionTime"] = meta.rfc3339(now)
    return status_patch(VOLUMES, volume, status)


def plan(snapshot: Snapshot, now: datetime) -> list[Action]:
    volume, claim = snapshot.volume, snapshot.claim
    ref = volume["spec"].get("claimRef")
    deleting = bool(volume["metadata"].get("deletionTimestamp"))
    if ref is None or not ref.get("uid"):
        if deleting:
            return _let_go(snapshot)
        return volume_phase(volume, "Available", now)
    if claim is None or claim["metadata"]["uid"] != ref["uid"]:
        return _released(snapshot, now)
    named = claim["spec"].get("volumeName")
    if named == volume["metadata"]["name"]:
        return volume_phase(volume, "Bound", now)
    if named:
        return _loser(snapshot, now)
    return []  # The claim's own turn completes the binding.


def _released(snapshot: Snapshot, now: datetime) -> list[Action]:
    volume = snapshot.volume
    phase = (volume.get("status") or {}).get("phase")
    if phase not in ("Released", "Failed"):
        return volume_phase(volume, "Released", now)
    return _reclaim(snapshot, now)


def _reclaim(snapshot: Snapshot, now: datetime) -> list[Action]:
    volume = snapshot.volume
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    name = volume["metadata"]["name"]
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!", now)
    if policy != "Delete":
        return _let_go(snapshot) if volume["metadata"].get("deletionTimestamp") else []
    if localpath.is_ours(volume):
        trouble = localpath.failure(volume, snapshot.node)
        if trouble:
            return _failed(volume, "VolumeFailedDelete", trouble, now)
        return localpath.remove(volume, snapshot.node)
    if meta.annotations(volume).get(PROVISIONED_BY) or volume["metadata"].get("deletionTimestamp"):
        return []  # Its own provisioner deletes it, or somebody has.
    text = f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
    return _failed(volume, "VolumeFailedDelete", text, now)


def _let_go(snapshot: Snapshot) -> list[Action]:
    """Somebody deleted a volume that has no claim: what it holds is kept, unless it is ours to delete."""
    volume = snapshot.volume
    if not localpath.is_ours(volume):
        return []
    if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return localpath.remove(volume, snapshot.node)
    if localpath.FINALIZER not in meta.finalizers(volume):
        return []
    return [localpath.drop_finalizer(VOLUMES, volume, localpath.FINALIZER)]


def _failed(volume: Object, reason: str, message: str, now: datetime) -> list[Action]:
    status = volume.get("status") or {}
    if status.get("phase") == "Failed" and status.get("message") == message:
        return []
    involved = {**volume, "apiVersion": "v1", "kind": "PersistentVolume"}
    return [
        *volume_phase(volume, "Failed", now, message),
        Event(involved, "Warning", reason, message),
    ]


def _loser(snapshot: Snapshot, now: datetime) -> list[Action]:
    """The claim is bound to another volume: this one is free again."""
    volume = snapshot.volume
    metadata = volume["metadata"]
    if localpath.is_ours(volume) and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
        return _released(snapshot, now)
    by_controller = BOUND_BY_CONTROLLER in meta.annotations(volume)
    patch: Object = {"metadata": {"resourceVersion": metadata["resourceVersion"]}}
    if by_controller:
        patch["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: None}
        patch["spec"] = {"claimRef": None}
    else:
        patch["spec"] = {"claimRef": {"uid": None, "resourceVersion": None}}
    return [Patch(VOLUMES, "", metadata["name"], patch), *volume_phase(volume, "Available", now)]
