"""Validation of persistent volumes, storage classes and what CSI drivers keep."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from apimachinery.quantity import Quantity
from apimachinery.validation import claims, volumedrivers, volumes
from apimachinery.validation.fields import (
    IMMUTABLE,
    NOT_NEGATIVE,
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
    _volume_spec(errs, obj.get("spec") or {}, (obj.get("metadata") or {}).get("name") or "")


def _volume_spec(errs: Errors, volume: Object, name: str) -> None:
    claims.access_modes(errs, "spec.accessModes", volume.get("accessModes"))
    capacity = volume.get("capacity")
    if not capacity:
        errs.append(required("spec.capacity"))
    elif "storage" not in capacity or len(capacity) > 1:
        errs.append(not_supported("spec.capacity", capacity, ("storage",)))
    for resource, text in (capacity or {}).items():
        value = Quantity.parse(text)
        if value.value() < 0:
            detail = "must be a valid resource quantity"
            errs.append(invalid_value(f"spec.capacity[{resource}]", value.value(), detail))
        if value.nano <= 0:
            errs.append(invalid_value(f"spec.capacity[{resource}]", text, "must be greater than zero"))
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
        if kinds[0] == "iscsi":
            portal = volume["iscsi"].get("targetPortal") or ""
            here = "spec.iscsi.targetportal"
            volumedrivers.iscsi_name_length(errs, here, portal, name, volume["iscsi"])
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
    attributes = volume.get("volumeAttributesClassName")
    if attributes is not None:
        if not attributes:
            errs.append(required("spec.volumeAttributesClassName", "an empty string is disallowed"))
        else:
            checked(errs, "spec.volumeAttributesClassName", attributes, names.dns1123_subdomain)
        if volume.get("csi") is None:
            text = "has to be specified when using volumeAttributesClassName"
            errs.append(required("spec.csi", text))


def update_volume(errs: Errors, new: Object, old: Object) -> None:
    create_volume(errs, new)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    for kind in sorted({*after, *before} - _NOT_SOURCES):
        now, was = after.get(kind) or None, before.get(kind) or None
        if kind == "csi" and now and was and was.get("controllerExpandSecretRef") is None:
            now = {k: v for k, v in now.items() if k != "controllerExpandSecretRef"}
        if now != was:
            text = "spec.persistentvolumesource is immutable after creation"
            errs.append(forbidden_field("spec.persistentvolumesource", text))
            break
    immutable(errs, "volumeMode", after.get("volumeMode"), before.get("volumeMode"))
    affinity, was = after.get("nodeAffinity"), before.get("nodeAffinity")
    if was is not None and _renamed(affinity) != _renamed(was):
        text = f"{IMMUTABLE}, except for updating from beta label to GA"
        errs.append(invalid_value("nodeAffinity", affinity, text))
    gone = "volumeAttributesClassName"
    if before.get(gone) is not None and after.get(gone) is None:
        errs.append(forbidden_field(f"spec.{gone}", "update from non-nil value to nil is forbidden"))


_STABLE_LABELS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
}


def _renamed(value: Any) -> Any:
    """Node affinity with the present names of labels that once had others."""
    if isinstance(value, dict):
        return {
            k: _STABLE_LABELS.get(v, v) if k == "key" and isinstance(v, str) else _renamed(v)
            for k, v in value.items()
        }
    return [_renamed(item) for item in value] if isinstance(value, list) else value


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
    _parameters(errs, parameters)
    for i, option in enumerate(obj.get("mountOptions") or ()):
        if option == "":
            errs.append(required(f"mountOptions[{i}]"))
    seen: list[Any] = []
    for i, term in enumerate(obj.get("allowedTopologies") or ()):
        _topology(errs, f"allowedTopologies[{i}]", term, seen)


_PARAMETERS_MAX = 512
_PARAMETERS_SIZE_MAX = 256 * 1024


def _parameters(errs: Errors, parameters: dict[str, str]) -> None:
    if len(parameters) > _PARAMETERS_MAX:
        errs.append(too_long("parameters", _PARAMETERS_MAX))
        return
    for key in parameters:
        if not key:
            errs.append(invalid_value("parameters", key, "field can not be empty."))
    if sum(len(k.encode()) + len(v.encode()) for k, v in parameters.items()) > _PARAMETERS_SIZE_MAX:
        errs.append(too_long("parameters", _PARAMETERS_SIZE_MAX))


def _topology(errs: Errors, path: str, term: Object, seen: list[Any]) -> None:
    """A TopologySelectorTerm, which must not say what another has said."""
    raw: dict[str, Any] = {}
    for i, expression in enumerate(term.get("matchLabelExpressions") or ()):
        here = f"{path}.matchLabelExpressions[{i}]"
        key, values = expression.get("key") or "", expression.get("values") or []
        if not values:
            errs.append(required(f"{here}.values"))
        for j, value in enumerate(values):
            if value in values[:j]:
                errs.append(duplicate(f"{here}.values[{j}]", value))
        checked(errs, f"{here}.key", key, names.qualified_name)
        if key in raw:
            errs.append(duplicate(f"{here}.key", key))
        raw[key] = set(values)
    if raw in seen:
        errs.append(duplicate(f"{path}.matchLabelExpressions", ""))
    seen.append(raw)


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
    _parameters(errs, obj.get("parameters") or {})


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
        elif len(driver["nodeID"]) > _NODE_ID_MAX:
            text = f"must be {_NODE_ID_MAX} characters or less"
            errs.append(invalid_value(f"{here}.nodeID", driver["nodeID"], text))
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None and count < 0:
            errs.append(invalid_value(f"{here}.allocatable.count", count, NOT_NEGATIVE))
        keys = driver.get("topologyKeys") or []
        for j, key in enumerate(keys):
            if not key:
                errs.append(required(f"{here}.topologyKeys"))
            if key in keys[:j]:
                errs.append(duplicate(f"{here}.topologyKeys", key))
            checked(errs, f"{here}.topologyKeys", key, names.qualified_name)


_NODE_ID_MAX = 256


def update_csi_node(errs: Errors, new: Object, old: Object) -> None:
    """Drivers come and go; one that stays keeps what it says of the node but how many volumes it takes."""
    create_csi_node(errs, new)
    before = {d.get("name"): d for d in (old.get("spec") or {}).get("drivers") or ()}
    for driver in (new.get("spec") or {}).get("drivers") or ():
        was = before.get(driver.get("name"))
        if was is None:
            continue
        fixed = [{k: v for k, v in d.items() if k != "allocatable"} for d in (driver, was)]
        if fixed[0] != fixed[1]:
            errs.append(invalid_value("CSINodeDriver", driver, IMMUTABLE))


def create_attachment(errs: Errors, obj: Object) -> None:
    """A VolumeAttachment."""
    attachment = obj.get("spec") or {}
    if not attachment.get("attacher"):
        errs.append(required("spec.attacher"))
    if not attachment.get("nodeName"):
        errs.append(required("spec.nodeName"))
    else:
        checked(errs, "spec.nodeName", attachment["nodeName"], names.dns1123_subdomain)
    if attachment.get("attacher"):
        claims.driver_name(errs, "spec.attacher", attachment["attacher"])
    source = attachment.get("source") or {}
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if volume is None and inline is None:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errs.append(required("spec.source", text))
    elif volume is not None and inline is not None:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errs.append(forbidden_field("spec.source", text))
    elif volume is not None:
        if not volume:
            errs.append(required("spec.source.persistentVolumeName"))
        else:
            checked(errs, "spec.source.persistentVolumeName", volume, names.dns1123_subdomain)


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
