"""Validation of persistent volumes, storage classes and what CSI drivers keep."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required, too_long
from apimachinery.quantity import Quantity
from apimachinery.validation import claims, resourceamounts, volumes
from apimachinery.validation.fields import (
    IMMUTABLE,
    NOT_NEGATIVE,
    POSITIVE,
    Errors,
    checked,
    enum,
    immutable,
    label_selector,
    named,
    node_selector,
)

Object = dict[str, Any]

RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_NOT_SOURCES = frozenset(
    ["capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions",
     "volumeMode", "nodeAffinity", "volumeAttributesClassName"]
)  # fmt: skip


def create_volume(errs: Errors, obj: Object) -> None:
    """A PersistentVolume."""
    volume = obj.get("spec") or {}
    claims.access_modes(errs, "spec.accessModes", volume.get("accessModes"))
    capacity = volume.get("capacity")
    if not capacity:
        errs.append(required("spec.capacity"))
    elif "storage" not in capacity or len(capacity) > 1:
        errs.append(invalid_value("spec.capacity", capacity, "supported values: storage"))
    for name, text in (capacity or {}).items():
        value = resourceamounts.amount(errs, f"spec.capacity[{name}]", name, text)
        if value.nano == 0:
            errs.append(invalid_value(f"spec.capacity[{name}]", text, POSITIVE))
    policy = volume.get("persistentVolumeReclaimPolicy")
    if policy:
        enum(errs, "spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES)
    kinds = [key for key in volume if key not in _NOT_SOURCES and volume[key] is not None]
    if not kinds:
        errs.append(required("spec", "must specify a volume type"))
    for kind in kinds[1:]:
        errs.append(forbidden_field(f"spec.{kind}", "may not specify more than 1 volume type"))
    if kinds:
        volumes.source(errs, f"spec.{kinds[0]}", kinds[0], volume[kinds[0]], persistent=True)
        if kinds[0] == "hostPath" and volume["hostPath"].get("path") == "/" and policy == "Recycle":
            text = "may not be 'recycle' for a hostPath mount of '/'"
            errs.append(forbidden_field("spec.persistentVolumeReclaimPolicy", text))
    affinity = volume.get("nodeAffinity")
    if affinity is not None:
        if affinity.get("required") is None:
            errs.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
        else:
            node_selector(errs, "spec.nodeAffinity.required", affinity["required"])
    elif kinds == ["local"]:
        errs.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    if volume.get("storageClassName"):
        checked(errs, "spec.storageClassName", volume["storageClassName"], names.dns1123_subdomain)
    if volume.get("volumeMode") is not None:
        enum(errs, "spec.volumeMode", volume["volumeMode"], claims.VOLUME_MODES)


def update_volume(errs: Errors, new: Object, old: Object) -> None:
    create_volume(errs, new)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for kind in sorted({*after, *before} - _NOT_SOURCES):
        if (after.get(kind) or None) != (before.get(kind) or None):
            text = "spec.persistentvolumesource is immutable after creation"
            errs.append(forbidden_field("spec.persistentvolumesource", text))
            break
    immutable(errs, "spec.volumeMode", after.get("volumeMode"), before.get("volumeMode"))
    if before.get("nodeAffinity") is not None and after.get("nodeAffinity") != before["nodeAffinity"]:
        errs.append(invalid_value("spec.nodeAffinity", after.get("nodeAffinity"), IMMUTABLE))


def create_class(errs: Errors, obj: Object) -> None:
    """A StorageClass."""
    named(errs, "provisioner", obj.get("provisioner"), lambda v: names.qualified_name(v.lower()))
    enum(errs, "reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    mode = obj.get("volumeBindingMode")
    if mode is None:
        errs.append(required("volumeBindingMode"))
    else:
        enum(errs, "volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer"))
    parameters = obj.get("parameters") or {}
    if len(parameters) > 512:
        errs.append(too_long("parameters", 512))
    for key in parameters:
        if not key:
            errs.append(invalid_value("parameters", key, "field can not be empty"))


def update_class(errs: Errors, new: Object, old: Object) -> None:
    for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
        if (new.get(field) or None) != (old.get(field) or None):
            if field in ("reclaimPolicy", "volumeBindingMode"):
                errs.append(invalid_value(field, new.get(field), IMMUTABLE))
            else:
                errs.append(forbidden_field(field, f"updates to {field} are forbidden."))


def create_attributes_class(errs: Errors, obj: Object) -> None:
    """A VolumeAttributesClass."""
    named(errs, "driverName", obj.get("driverName"), lambda v: names.qualified_name(v.lower()))
    if not obj.get("parameters"):
        errs.append(required("parameters", "must contain at least one key/value pair"))


def update_attributes_class(errs: Errors, new: Object, old: Object) -> None:
    if new.get("driverName") != old.get("driverName"):
        errs.append(forbidden_field("driverName", "updates to driverName are forbidden."))
    if (new.get("parameters") or None) != (old.get("parameters") or None):
        errs.append(forbidden_field("parameters", "updates to parameters are forbidden."))


def create_driver(errs: Errors, obj: Object) -> None:
    """A CSIDriver."""
    claims.driver_name(errs, "metadata.name", (obj.get("metadata") or {}).get("name") or "")
    driver = obj.get("spec") or {}
    for i, mode in enumerate(driver.get("volumeLifecycleModes") or ()):
        enum(errs, f"spec.volumeLifecycleModes[{i}]", mode, ("Ephemeral", "Persistent"))
    if driver.get("fsGroupPolicy") is not None:
        enum(errs, "spec.fsGroupPolicy", driver["fsGroupPolicy"], ("File", "None", "ReadWriteOnceWithFSType"))


def create_csi_node(errs: Errors, obj: Object) -> None:
    seen: set[str] = set()
    for i, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        here = f"spec.drivers[{i}]"
        name = driver.get("name") or ""
        if not name:
            errs.append(required(f"{here}.name"))
        elif name in seen:
            errs.append(duplicate(f"{here}.name", name))
        seen.add(name)
        if not driver.get("nodeID"):
            errs.append(required(f"{here}.nodeID"))


def create_attachment(errs: Errors, obj: Object) -> None:
    """A VolumeAttachment."""
    attachment = obj.get("spec") or {}
    if not attachment.get("attacher"):
        errs.append(required("spec.attacher"))
    if not attachment.get("nodeName"):
        errs.append(required("spec.nodeName"))
    source = attachment.get("source") or {}
    if not source.get("persistentVolumeName") and source.get("inlineVolumeSpec") is None:
        errs.append(
            required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        )


def update_attachment(errs: Errors, new: Object, old: Object) -> None:
    if (new.get("spec") or None) != (old.get("spec") or None):
        errs.append(invalid_value("spec", new.get("spec"), IMMUTABLE))


def create_capacity(errs: Errors, obj: Object) -> None:
    """A CSIStorageCapacity."""
    if not obj.get("storageClassName"):
        errs.append(required("storageClassName"))
    for field in ("capacity", "maximumVolumeSize"):
        if obj.get(field) is not None and Quantity.parse(obj[field]).nano < 0:
            errs.append(invalid_value(field, obj[field], NOT_NEGATIVE))
    label_selector(errs, "nodeTopology", obj.get("nodeTopology"))


def update_capacity(errs: Errors, new: Object, old: Object) -> None:
    for field in ("nodeTopology", "storageClassName"):
        if (new.get(field) or None) != (old.get(field) or None):
            errs.append(invalid_value(field, new.get(field), IMMUTABLE))
