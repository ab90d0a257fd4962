"""What the driver is asked for a claim, and the PersistentVolume that comes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apimachinery import meta, quantity
from csicontroller import parameters, topology
from csicontroller.parameters import SECRETS

Object = dict[str, Any]

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONERS = (
    "volume.kubernetes.io/storage-provisioner",
    "volume.beta.kubernetes.io/storage-provisioner",
)
SELECTED_NODE = "volume.kubernetes.io/selected-node"
DELETION_SECRET = "volume.kubernetes.io/provisioner-deletion-secret-"
PROVISIONER_FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
_SHARED = {"ReadOnlyMany": "MULTI_NODE_READER_ONLY", "ReadWriteMany": "MULTI_NODE_MULTI_WRITER"}
_ONE_NODE = {"ReadWriteOnce": "SINGLE_NODE_MULTI_WRITER", "ReadWriteOncePod": "SINGLE_NODE_SINGLE_WRITER"}


class ClaimError(Exception):
    """A claim asks for what cannot be had."""


def volume_name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def class_name(claim: Object) -> str:
    annotated = meta.annotations(claim).get("volume.beta.kubernetes.io/storage-class")
    return annotated if annotated is not None else claim["spec"].get("storageClassName") or ""


def is_for(claim: Object, driver: str, storage_class: Object | None) -> bool:
    """Whether a volume is to be made for the claim now."""
    notes = meta.annotations(claim)
    if claim["spec"].get("volumeName") or claim["metadata"].get("deletionTimestamp") or storage_class is None:
        return False
    if driver not in (notes.get(key) for key in PROVISIONERS):
        return False
    waits = storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"
    return not waits or SELECTED_NODE in notes


def requested(claim: Object) -> int:
    """Bytes."""
    return quantity.to_int(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))


def access_mode(mode: str, capabilities: frozenset[str]) -> str:
    if mode in _SHARED:
        return _SHARED[mode]
    return _ONE_NODE[mode] if "SINGLE_NODE_MULTI_WRITER" in capabilities else "SINGLE_NODE_WRITER"


def capability(
    mode: str, block: bool, file_system: str, options: Sequence[str], capabilities: frozenset[str]
) -> Object:
    """A VolumeCapability."""
    access: Object = {"access_mode": {"mode": access_mode(mode, capabilities)}}
    if block:
        return {**access, "block": {}}
    return {**access, "mount": {"fs_type": file_system, "mount_flags": list(options)}}


def volume_capability(volume: Object, capabilities: frozenset[str]) -> Object:
    """That of a PersistentVolume."""
    spec = volume["spec"]
    modes = spec.get("accessModes") or ["ReadWriteOnce"]
    options = spec.get("mountOptions") or ()
    block = spec.get("volumeMode") == "Block"
    return capability(modes[0], block, spec["csi"].get("fsType") or "", options, capabilities)


def create_request(
    claim: Object,
    storage_class: Object,
    *,
    secrets: Mapping[str, str],
    source: Object | None,
    places: Object | None,
    capabilities: frozenset[str],
    default_fstype: str,
) -> Object:
    """CreateVolume. `source` is the PersistentVolume to clone, `places` a TopologyRequirement."""
    spec = claim["spec"]
    given = storage_class.get("parameters") or {}
    file_system = parameters.file_system(given, default_fstype)
    options = storage_class.get("mountOptions") or ()
    block = spec.get("volumeMode") == "Block"
    size: Object = {"required_bytes": requested(claim)}
    limit = ((spec.get("resources") or {}).get("limits") or {}).get("storage")
    if limit:
        size["limit_bytes"] = quantity.to_int(limit)
    request: Object = {
        "name": volume_name(claim),
        "capacity_range": size,
        "volume_capabilities": [
            capability(mode, block, file_system, options, capabilities)
            for mode in spec.get("accessModes") or ["ReadWriteOnce"]
        ],
        "parameters": parameters.for_driver(given),
        "secrets": dict(secrets),
    }
    if source is not None:
        request["volume_content_source"] = {"volume": {"volume_id": source["spec"]["csi"]["volumeHandle"]}}
    if places is not None:
        request["accessibility_requirements"] = places
    return request


def content_source(claim: Object) -> str:
    """The claim of the same namespace that the claim is to be a copy of, "" for none. Raises ClaimError."""
    source = claim["spec"].get("dataSource") or claim["spec"].get("dataSourceRef")
    if not source:
        return ""
    if source.get("kind") != "PersistentVolumeClaim" or source.get("apiGroup"):
        raise ClaimError(f"data source of kind {source.get('kind')} is not supported")
    return str(source["name"])


def persistent_volume(
    claim: Object,
    storage_class: Object,
    driver: str,
    *,
    handle: str,
    capacity: int,
    context: Mapping[str, str],
    places: Sequence[Mapping[str, str]],
    default_fstype: str,
) -> Object:
    """The volume that the driver made, bound to its claim beforehand. Raises ParameterError."""
    spec = claim["spec"]
    given = storage_class.get("parameters") or {}
    name = volume_name(claim)
    block = spec.get("volumeMode") == "Block"
    csi: Object = {"driver": driver, "volumeHandle": handle}
    if context:
        csi["volumeAttributes"] = dict(context)
    file_system = parameters.file_system(given, default_fstype)
    if file_system and not block:
        csi["fsType"] = file_system
    notes = {PROVISIONED_BY: driver}
    for purpose, field in SECRETS.items():
        key = parameters.secret(given, purpose, claim, name)
        if key is None:
            continue
        if field:
            csi[field] = {"namespace": key[0], "name": key[1]}
        else:
            notes |= {f"{DELETION_SECRET}namespace": key[0], f"{DELETION_SECRET}name": key[1]}
    volume: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": notes, "finalizers": [PROVISIONER_FINALIZER]},
        "spec": {
            "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
            "capacity": {"storage": bytes_text(capacity or requested(claim))},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim["metadata"]["namespace"],
                "name": claim["metadata"]["name"],
                "uid": claim["metadata"]["uid"],
                "resourceVersion": claim["metadata"]["resourceVersion"],
            },
            "csi": csi,
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": class_name(claim),
            "volumeMode": spec.get("volumeMode") or "Filesystem",
        },
    }
    if storage_class.get("mountOptions"):
        volume["spec"]["mountOptions"] = list(storage_class["mountOptions"])
    affinity = topology.node_affinity(places)
    if affinity is not None:
        volume["spec"]["nodeAffinity"] = affinity
    return volume


_UNITS = ("Ti", "Gi", "Mi", "Ki")


def bytes_text(size: int) -> str:
    """A quantity, with the largest unit that says it exactly."""
    for power, unit in zip((40, 30, 20, 10), _UNITS, strict=True):
        if size and size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)


def deletable(volume: Object, driver: str) -> bool:
    """Whether what a PersistentVolume stands for is to be deleted now."""
    if meta.annotations(volume).get(PROVISIONED_BY) != driver or not volume["spec"].get("csi"):
        return False
    if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
        return False
    phase = (volume.get("status") or {}).get("phase")
    # One that an earlier run has deleted already has lost the finalizer.
    return phase in ("Released", "Failed") and (
        PROVISIONER_FINALIZER in meta.finalizers(volume) or not volume["metadata"].get("deletionTimestamp")
    )


def deletion_secret(volume: Object) -> parameters.SecretKey | None:
    """What the driver needs to delete a volume that was made for a claim."""
    notes = meta.annotations(volume)
    name = notes.get(f"{DELETION_SECRET}name")
    return (notes.get(f"{DELETION_SECRET}namespace", ""), name) if name else None


def without_finalizer(obj: Object, finalizer: str) -> Object:
    """The merge patch that takes a finalizer off, if nobody else changed the object meanwhile."""
    left = [one for one in meta.finalizers(obj) if one != finalizer]
    return {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"], "finalizers": left or None}}


def with_finalizer(obj: Object, finalizer: str) -> Object:
    return {
        "metadata": {
            "resourceVersion": obj["metadata"]["resourceVersion"],
            "finalizers": [*meta.finalizers(obj), finalizer],
        }
    }
