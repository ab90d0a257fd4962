"""Validation of what a container mounts: volumes as directories, and as block devices."""

from __future__ import annotations

from typing import Any

from apimachinery.errors import forbidden_field, invalid_value, not_found_value, required
from apimachinery.validation.fields import Errors, enum, relative_path

Object = dict[str, Any]


def mounts(errs: Errors, path: str, item: Object, volumes: dict[str, Object]) -> None:
    """`volumes` are the pod's, by name; those that are wrong themselves are not there."""
    mounted, devices = item.get("volumeMounts") or (), item.get("volumeDevices") or ()
    used_names = {d.get("name") for d in devices}
    used_paths = {d.get("devicePath") for d in devices}
    places: set[str] = set()
    for i, mount in enumerate(mounted):
        here = f"{path}.volumeMounts[{i}]"
        name, place = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errs.append(required(f"{here}.name"))
        if name not in volumes:
            errs.append(not_found_value(f"{here}.name", name))
        if not place:
            errs.append(required(f"{here}.mountPath"))
        if place in places:
            errs.append(invalid_value(f"{here}.mountPath", place, "must be unique"))
        places.add(place)
        if name in used_names:
            errs.append(invalid_value(f"{here}.name", name, "must not already exist in volumeDevices"))
        if place in used_paths:
            text = "must not already exist as a path in volumeDevices"
            errs.append(invalid_value(f"{here}.mountPath", place, text))
        if len(mount) > 2:
            _details(errs, path, here, mount, item)
    if devices:
        _devices(errs, path, devices, mounted, volumes)


def _details(errs: Errors, path: str, here: str, mount: Object, item: Object) -> None:
    """What is said of paths below the volume, and of propagation, names no mount but the list."""
    everywhere = f"{path}.volumeMounts"
    for field in ("subPath", "subPathExpr"):
        value = mount.get(field)
        if not value:
            continue
        if field == "subPathExpr" and mount.get("subPath"):
            text = "subPathExpr and subPath are mutually exclusive"
            errs.append(invalid_value(f"{here}.subPathExpr", value, text))
        relative_path(errs, f"{everywhere}.{field}", value)
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        enum(
            errs, f"{everywhere}.mountPropagation", propagation, ("Bidirectional", "HostToContainer", "None")
        )
        if propagation == "Bidirectional" and not (item.get("securityContext") or {}).get("privileged"):
            text = "Bidirectional mount propagation is available only to privileged containers"
            errs.append(forbidden_field(f"{everywhere}.mountPropagation", text))
    recursive = mount.get("recursiveReadOnly")
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            text = "may only be specified when readOnly is true"
            errs.append(forbidden_field(f"{everywhere}.recursiveReadOnly", text))
        if propagation not in (None, "None"):
            text = "may only be specified when mountPropagation is None or not specified"
            errs.append(forbidden_field(f"{everywhere}.recursiveReadOnly", text))
    elif recursive is not None:
        enum(errs, f"{everywhere}.recursiveReadOnly", recursive, ("Disabled", "Enabled", "IfPossible"))


def _devices(errs: Errors, path: str, devices: Any, mounted: Any, volumes: dict[str, Object]) -> None:
    mount_names = {m.get("name") for m in mounted}
    mount_paths = {m.get("mountPath") for m in mounted}
    seen: set[str] = set()
    places: set[str] = set()
    for i, device in enumerate(devices):
        here = f"{path}.volumeDevices[{i}]"
        name, place = device.get("name") or "", device.get("devicePath") or ""
        volume = volumes.get(name)
        if not name:
            errs.append(required(f"{here}.name"))
        if name in seen:
            errs.append(invalid_value(f"{here}.name", name, "must be unique"))
        if volume is None:
            errs.append(not_found_value(f"{here}.name", name))
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errs.append(invalid_value(f"{here}.name", name, text))
        if not place:
            errs.append(required(f"{here}.devicePath"))
        if place in places:
            errs.append(invalid_value(f"{here}.devicePath", place, "must be unique"))
        if ".." in place.split("/"):
            errs.append(invalid_value(f"{here}.devicePath", place, "can not contain backsteps ('..')"))
        else:
            places.add(place)
        if name in mount_names:
            errs.append(invalid_value(f"{here}.name", name, "must not already exist in volumeMounts"))
        if place in mount_paths:
            text = "must not already exist as a path in volumeMounts"
            errs.append(invalid_value(f"{here}.devicePath", place, text))
        if name:
            seen.add(name)
