"""What drivers are asked, field by field as the interface has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from kubeletd.csi.model import MOUNT_GROUP, MULTI_WRITER, Driver, Source

Request = dict[str, Any]
Object = Mapping[str, Any]
_MODES = {
    "ReadOnlyMany": "MULTI_NODE_READER_ONLY",
    "ReadWriteMany": "MULTI_NODE_MULTI_WRITER",
}
_ONE_NODE = {"ReadWriteOnce": "SINGLE_NODE_MULTI_WRITER", "ReadWriteOncePod": "SINGLE_NODE_SINGLE_WRITER"}


def access_mode(source: Source, driver: Driver) -> str:
    """The interface's name of the volume's first access mode."""
    first = source.access_modes[0] if source.access_modes else "ReadWriteOnce"
    if first in _MODES:
        return _MODES[first]
    return _ONE_NODE[first] if MULTI_WRITER in driver.capabilities else "SINGLE_NODE_WRITER"


def capability(source: Source, driver: Driver, group: int | None) -> Request:
    """A VolumeCapability; `group` is the pod's fsGroup, which some drivers mount with."""
    found: Request = {"access_mode": {"mode": access_mode(source, driver)}}
    if source.block:
        return {**found, "block": {}}
    mount: Request = {"fs_type": source.fs_type, "mount_flags": list(source.mount_options)}
    if group is not None and MOUNT_GROUP in driver.capabilities:
        mount["volume_mount_group"] = str(group)
    return {**found, "mount": mount}


def pod_info(pod: Object, ephemeral: bool) -> dict[str, str]:
    """What a driver with podInfoOnMount is told of the pod."""
    meta = pod["metadata"]
    return {
        "csi.storage.k8s.io/pod.name": meta["name"],
        "csi.storage.k8s.io/pod.namespace": meta["namespace"],
        "csi.storage.k8s.io/pod.uid": meta["uid"],
        "csi.storage.k8s.io/serviceAccount.name": pod["spec"].get("serviceAccountName") or "",
        "csi.storage.k8s.io/ephemeral": "true" if ephemeral else "false",
    }


def tokens(found: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Audience → (token, when it expires), as drivers get them."""
    shown = {a: {"token": token, "expirationTimestamp": expires} for a, (token, expires) in found.items()}
    return {"csi.storage.k8s.io/serviceAccount.tokens": orjson.dumps(shown).decode()}


def stage(
    source: Source,
    driver: Driver,
    staging: str,
    *,
    attachment: Mapping[str, str],
    secrets: Mapping[str, str],
    group: int | None,
) -> Request:
    """NodeStageVolume."""
    return {
        "volume_id": source.handle,
        "publish_context": dict(attachment),
        "staging_target_path": staging,
        "volume_capability": capability(source, driver, group),
        "secrets": dict(secrets),
        "volume_context": dict(source.attributes or {}),
    }


def publish(
    source: Source,
    driver: Driver,
    staging: str,
    target: str,
    *,
    attachment: Mapping[str, str],
    secrets: Mapping[str, str],
    context: Mapping[str, str],
    group: int | None,
) -> Request:
    """NodePublishVolume. `context` is what the driver is told besides the volume's own attributes."""
    return {
        "volume_id": source.handle,
        "publish_context": dict(attachment),
        "staging_target_path": staging,
        "target_path": target,
        "volume_capability": capability(source, driver, group),
        "readonly": source.read_only,
        "secrets": dict(secrets),
        "volume_context": {**(source.attributes or {}), **context},
    }


def expand(
    source: Source, driver: Driver, staging: str, path: str, secrets: Mapping[str, str], group: int | None
) -> Request:
    """NodeExpandVolume."""
    return {
        "volume_id": source.handle,
        "volume_path": path,
        "capacity_range": {"required_bytes": source.capacity},
        "staging_target_path": staging,
        "volume_capability": capability(source, driver, group),
        "secrets": dict(secrets),
    }


def seen_by(driver: Driver, root: str, path: str) -> str:
    """A path of ours as the driver sees it: its container may have our root directory elsewhere."""
    if not driver.root or driver.root == root or not path.startswith(root + "/"):
        return path
    return driver.root + path[len(root) :]


KUBELET_ROOT = "/var/lib/kubelet"


def our_path(root: str, path: str) -> tuple[str, str]:
    """(path on this node, where whoever named it sees our root directory) of a path in a manifest or registration.

    Who says /var/lib/kubelet, the usual place, means the agent's root directory, wherever that is.
    """
    if (path + "/").startswith(KUBELET_ROOT + "/") and root != KUBELET_ROOT:
        return root + path[len(KUBELET_ROOT) :], KUBELET_ROOT
    return path, root
