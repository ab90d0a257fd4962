"""The types of volumes, each in a module of its own that is loaded when a pod first wants it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from kubeletd.interfaces import MountError
from kubeletd.volumetypes.interface import Node, VolumeType

# By the key in a pod's volume or in a PersistentVolume: the name of its directories, the module.
_TYPES = {
    "configMap": ("kubernetes.io~configmap", "shown"),
    "csi": ("kubernetes.io~csi", "csi"),
    "downwardAPI": ("kubernetes.io~downward-api", "shown"),
    "emptyDir": ("kubernetes.io~empty-dir", "emptydir"),
    "hostPath": ("kubernetes.io~host-path", "hostpath"),
    "image": ("kubernetes.io~image", "image"),
    "local": ("kubernetes.io~local-volume", "local"),
    "nfs": ("kubernetes.io~nfs", "nfs"),
    "projected": ("kubernetes.io~projected", "shown"),
    "secret": ("kubernetes.io~secret", "shown"),
}
# What shows objects of the API: set up again whenever they change, and never writable.
SHOWN = frozenset(("configMap", "downwardAPI", "projected", "secret"))


def kind_of(source: Mapping[str, Any]) -> str:
    """The key that says the type of a pod's volume or of a PersistentVolume's spec. Raises MountError."""
    for key in source:
        if key in _TYPES:
            return key
    kind = next((key for key, value in source.items() if isinstance(value, dict)), "none")
    raise MountError(f"no volume plugin matched for volume type {kind}")


def plugin_of(kind: str) -> str:
    """The name of the directory of the volumes of that type."""
    return _TYPES[kind][0]


class VolumeTypes:
    """Those of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._made: dict[str, VolumeType] = {}

    def of_kind(self, kind: str) -> VolumeType:
        return self._of_module(_TYPES[kind][1])

    def of_plugin(self, plugin: str) -> VolumeType | None:
        """By the name of a directory under `pods/<uid>/volumes`; None for one that no type has."""
        module = next((module for name, module in _TYPES.values() if name == plugin), None)
        return self._of_module(module) if module is not None else None

    def _of_module(self, module: str) -> VolumeType:
        made = self._made.get(module)
        if made is None:
            created: VolumeType = import_module(f"kubeletd.volumetypes.{module}").create(self._node)
            made = self._made[module] = created
        return made
