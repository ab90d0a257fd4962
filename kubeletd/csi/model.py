"""What a CSI volume, a driver on this node and its CSIDriver object are. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apimachinery import quantity

Object = Mapping[str, Any]
SecretKey = tuple[str, str]  # namespace, name

STAGE, EXPAND = "STAGE_UNSTAGE_VOLUME", "EXPAND_VOLUME"
STATS, MOUNT_GROUP = "GET_VOLUME_STATS", "VOLUME_MOUNT_GROUP"
MULTI_WRITER = "SINGLE_NODE_MULTI_WRITER"


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver as it registered. `capabilities` are names of NodeServiceCapability; `max_volumes` 0: no limit.

    `root` is where it sees the agent's root directory.
    """

    name: str
    node_id: str
    capabilities: frozenset[str] = frozenset()
    max_volumes: int = 0
    topology: Mapping[str, str] | None = None
    root: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the CSIDriver object says; the defaults are those of a driver without one."""

    exists: bool = False
    attach_required: bool = True
    pod_info: bool = False
    fs_group_policy: str = "ReadWriteOnceWithFSType"
    modes: tuple[str, ...] = ("Persistent",)
    token_requests: tuple[tuple[str, int], ...] = ()  # audience, seconds
    requires_republish: bool = False
    tokens_in_secrets: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A volume as its driver is asked for it. `name` is the PersistentVolume's, or the one in the pod's spec.

    `capacity` is what the PersistentVolume has, in bytes; 0 for ephemeral ones.
    """

    driver: str
    handle: str
    name: str
    ephemeral: bool = False
    attributes: Mapping[str, str] | None = None
    fs_type: str = ""
    read_only: bool = False
    access_modes: tuple[str, ...] = ()
    mount_options: tuple[str, ...] = ()
    block: bool = False
    stage_secret: SecretKey | None = None
    publish_secret: SecretKey | None = None
    expand_secret: SecretKey | None = None
    capacity: int = 0


def device_name(handle: str) -> str:
    """The name of the directory in which a volume is staged."""
    return hashlib.sha256(handle.encode()).hexdigest()


def inline_handle(pod_uid: str, volume: str) -> str:
    """The handle of a volume that lives with its pod."""
    return "csi-" + hashlib.sha256(f"{pod_uid}{volume}".encode()).hexdigest()


def rules_of(driver: Object | None) -> Rules:
    if driver is None:
        return Rules()
    spec = driver.get("spec") or {}
    return Rules(
        exists=True,
        attach_required=spec.get("attachRequired") is not False,
        pod_info=bool(spec.get("podInfoOnMount")),
        fs_group_policy=spec.get("fsGroupPolicy") or "ReadWriteOnceWithFSType",
        modes=tuple(spec.get("volumeLifecycleModes") or ("Persistent",)),
        token_requests=tuple(
            (request.get("audience") or "", int(request.get("expirationSeconds") or 3600))
            for request in spec.get("tokenRequests") or ()
        ),
        requires_republish=bool(spec.get("requiresRepublish")),
        tokens_in_secrets=bool(spec.get("serviceAccountTokenInSecrets")),
    )


def persistent_source(volume: Object, read_only: bool) -> Source:
    """Of a PersistentVolume; `read_only` is the pod's word about its claim."""
    spec = volume["spec"]
    csi = spec["csi"]
    return Source(
        driver=csi["driver"],
        handle=csi["volumeHandle"],
        name=volume["metadata"]["name"],
        attributes=csi.get("volumeAttributes") or {},
        fs_type=csi.get("fsType") or "",
        read_only=read_only or bool(csi.get("readOnly")),
        access_modes=tuple(spec.get("accessModes") or ()),
        mount_options=tuple(spec.get("mountOptions") or ()),
        block=spec.get("volumeMode") == "Block",
        stage_secret=_secret(csi.get("nodeStageSecretRef")),
        publish_secret=_secret(csi.get("nodePublishSecretRef")),
        expand_secret=_secret(csi.get("nodeExpandSecretRef")),
        capacity=quantity.to_int((spec.get("capacity") or {}).get("storage", "0")),
    )


def inline_source(pod: Object, volume: str, csi: Object) -> Source:
    """Of a `csi` volume in a pod's spec."""
    meta = pod["metadata"]
    secret = (csi.get("nodePublishSecretRef") or {}).get("name")
    return Source(
        driver=csi["driver"],
        handle=inline_handle(meta["uid"], volume),
        name=volume,
        ephemeral=True,
        attributes=csi.get("volumeAttributes") or {},
        fs_type=csi.get("fsType") or "",
        read_only=bool(csi.get("readOnly")),
        publish_secret=(meta["namespace"], secret) if secret else None,
    )


def _secret(reference: Object | None) -> SecretKey | None:
    if not reference or not reference.get("name"):
        return None
    return reference.get("namespace") or "", reference["name"]


def refusal(source: Source, rules: Rules) -> str:
    """Why a volume of this life cycle cannot be had from the driver; "" if it can."""
    wanted = "Ephemeral" if source.ephemeral else "Persistent"
    if wanted in rules.modes:
        return ""
    if not rules.exists:
        return f'volume mode "{wanted}" not supported by driver {source.driver} (no CSIDriver object)'
    offered = " ".join(f'"{mode}"' for mode in rules.modes)
    return f'volume mode "{wanted}" not supported by driver {source.driver} (only supports [{offered}])'


def not_registered(driver: str) -> str:
    return f"driver name {driver} not found in the list of registered CSI drivers"


def attached(node: Object | None, volume: str) -> bool:
    """Whether the Node's status has it that the volume (by its unique name) is in use here and attached."""
    status = (node or {}).get("status") or {}
    names = {entry["name"] for entry in status.get("volumesAttached") or ()}
    return volume in names and volume in (status.get("volumesInUse") or ())


def owns_group(source: Source, rules: Rules, driver: Driver, group: int | None) -> bool:
    """Whether the agent gives what is in the volume to the pod's fsGroup."""
    if group is None or source.read_only or source.block or MOUNT_GROUP in driver.capabilities:
        return False
    if rules.fs_group_policy == "None":
        return False
    if rules.fs_group_policy == "File":
        return True
    # Only what one node writes to, and what has owners at all.
    return bool(source.fs_type) and (source.ephemeral or "ReadWriteOnce" in source.access_modes)


def csi_node_driver(driver: Driver) -> dict[str, Any]:
    """The driver's entry in the CSINode object."""
    entry: dict[str, Any] = {"name": driver.name, "nodeID": driver.node_id}
    if driver.topology:
        entry["topologyKeys"] = sorted(driver.topology)
    if driver.max_volumes > 0:
        entry["allocatable"] = {"count": min(driver.max_volumes, 2**31 - 1)}
    return entry


def label_collision(labels: Mapping[str, str], topology: Mapping[str, str]) -> str:
    """Why the driver's place cannot be written on the node; "" if it can."""
    for key, value in sorted(topology.items()):
        if labels.get(key, value) != value:
            return (
                f'detected topology value collision: driver reported "{key}":"{value}" '
                f'but existing label is "{key}":"{labels[key]}"'
            )
    return ""


def grown(claim: Object | None, source: Source) -> bool:
    """Whether the volume has become larger than what its claim has been told it is."""
    if claim is None or not source.capacity:
        return False
    known = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return known is not None and quantity.to_int(known) < source.capacity


_GROWING = ("Resizing", "FileSystemResizePending", "NodeResizeError", "ControllerResizeError")


def grown_claim(claim: Object, volume: Object) -> dict[str, Any]:
    """The merge patch of the claim's status once its node has made the file system larger."""
    conditions: Sequence[Object] = (claim.get("status") or {}).get("conditions") or ()
    left = [dict(one) for one in conditions if one["type"] not in _GROWING]
    status: dict[str, Any] = {
        "capacity": {"storage": volume["spec"]["capacity"]["storage"]},
        "conditions": left or None,
    }
    if (claim.get("status") or {}).get("allocatedResourceStatuses"):
        status["allocatedResourceStatuses"] = None
    return {"metadata": {"uid": claim["metadata"]["uid"]}, "status": status}
