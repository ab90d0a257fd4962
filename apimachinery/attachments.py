"""The names by which a node, its agent and the attach/detach controller speak of attached volumes."""

from __future__ import annotations

import hashlib

CSI_PLUGIN = "kubernetes.io/csi"


def unique_name(driver: str, handle: str) -> str:
    """A CSI volume in a Node's `volumesInUse` and `volumesAttached`."""
    return f"{CSI_PLUGIN}/{driver}^{handle}"


def parse_unique_name(name: str) -> tuple[str, str] | None:
    """(driver, handle) of a CSI volume; None for another's."""
    prefix = f"{CSI_PLUGIN}/"
    driver, caret, handle = name.removeprefix(prefix).partition("^")
    return (driver, handle) if name.startswith(prefix) and caret else None


def attachment_name(driver: str, handle: str, node: str) -> str:
    """The name of the VolumeAttachment of a CSI volume on a node."""
    return "csi-" + hashlib.sha256(f"{handle}{driver}{node}".encode()).hexdigest()
