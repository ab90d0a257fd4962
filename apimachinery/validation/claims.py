"""Validation of PersistentVolumeClaims, and of their specs in templates."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, not_supported, required, too_long
from apimachinery.quantity import Quantity
from apimachinery.validation.fields import (
    Errors,
    checked,
    enum,
    immutable,
    label_selector,
)

Object = dict[str, Any]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def driver_name(errs: Errors, path: str, name: str) -> None:
    """A CSI driver's name."""
    if len(name) > 63:
        errs.append(too_long(path, 63))
    checked(errs, path, name.lower(), names.dns1123_subdomain)


def access_modes(errs: Errors, path: str, modes: list[str] | None, none: str = "") -> None:
    """`none` is what is said where there are none."""
    if not modes:
        errs.append(required(path, none))
    for mode in modes or ():
        enum(errs, path, mode, ACCESS_MODES)
    if modes and "ReadWriteOncePod" in modes and any(m in ACCESS_MODES[:3] for m in modes):
        text = "may not use ReadWriteOncePod with other access modes"
        errs.append(forbidden_field(path, text))


def spec(errs: Errors, path: str, claim: Object) -> None:
    """A PersistentVolumeClaimSpec."""
    access_modes(errs, f"{path}.accessModes", claim.get("accessModes"), "at least 1 access mode is required")
    label_selector(errs, f"{path}.selector", claim.get("selector"))
    resources = claim.get("resources") or {}
    storage = (resources.get("requests") or {}).get("storage")
    here = f"{path}.resources"
    if storage is None:
        errs.append(required(f"{here}[storage]"))
    elif Quantity.parse(storage).nano <= 0:
        errs.append(invalid_value(f"{here}[storage]", storage, "must be greater than zero"))
    if claim.get("storageClassName"):
        checked(errs, f"{path}.storageClassName", claim["storageClassName"], names.dns1123_subdomain)
    if claim.get("volumeMode") is not None:
        enum(errs, f"{path}.volumeMode", claim["volumeMode"], VOLUME_MODES)
    for field in ("dataSource", "dataSourceRef"):
        if claim.get(field) is not None:
            _data_source(errs, f"{path}.{field}", claim[field])
    source, reference = claim.get("dataSource"), claim.get("dataSourceRef")
    if source is not None and reference is not None:
        if reference.get("namespace"):
            text = "may not be specified when dataSourceRef.namespace is specified"
            errs.append(invalid_value(path, f"{path}.dataSource", text))
        elif any(source.get(part) != reference.get(part) for part in ("apiGroup", "kind", "name")):
            errs.append(invalid_value(path, f"{path}.dataSource", "must match dataSourceRef"))
    if claim.get("volumeAttributesClassName"):
        value = claim["volumeAttributesClassName"]
        checked(errs, f"{path}.volumeAttributesClassName", value, names.dns1123_subdomain)


def _data_source(errs: Errors, path: str, source: Object) -> None:
    for part in ("name", "kind"):
        if not source.get(part):
            errs.append(required(f"{path}.{part}"))
    if not source.get("apiGroup"):
        if source.get("kind") != "PersistentVolumeClaim":
            text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            errs.append(invalid_value(path, source.get("kind") or "", text))
    else:
        checked(errs, f"{path}.apiGroup", source["apiGroup"], names.dns1123_subdomain)
    if source.get("namespace"):
        checked(errs, f"{path}.namespace", source["namespace"], names.dns1123_label)


def create_claim(errs: Errors, obj: Object) -> None:
    spec(errs, "spec", obj.get("spec") or {})


_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def update_claim(errs: Errors, new: Object, old: Object) -> None:
    """Only the requested size may change, once bound, and the class be set or attributes changed."""
    create_claim(errs, new)
    after, before = new.get("spec") or {}, old.get("spec") or {}
    bound = (old.get("status") or {}).get("phase") == "Bound"
    size = ((after.get("resources") or {}).get("requests") or {}).get("storage")
    was = ((before.get("resources") or {}).get("requests") or {}).get("storage")
    annotated = ((old.get("metadata") or {}).get("annotations") or {}).get(_BETA_CLASS)
    annotation = ((new.get("metadata") or {}).get("annotations") or {}).get(_BETA_CLASS)
    changed = {k for k in {*after, *before} if (after.get(k) or None) != (before.get(k) or None)}
    if bound and after.get("volumeAttributesClassName") is not None:
        changed -= {"volumeAttributesClassName"}
    if not before.get("volumeName"):
        changed -= {"volumeName"}
    if before.get("storageClassName") is None and annotated in (None, after.get("storageClassName")):
        changed -= {"storageClassName"}
    if (annotation or "") != (annotated or "") and after.get("storageClassName") != annotated:
        place = f"metadata.annotations.{_BETA_CLASS}"
        errs.append(invalid_value(place, annotation or "", "field is immutable"))
    if "resources" in changed:
        rest_after, rest_before = _without_size(after), _without_size(before)
        if rest_after == rest_before and (bound or size == was):
            changed -= {"resources"}
    if changed:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName "
            "for bound claims"
        )
        listed = "\n".join(f"  {k}: {before.get(k)!r} -> {after.get(k)!r}" for k in sorted(changed))
        errs.append(forbidden_field("spec", f"{text}\n{listed}\n"))
    if size is not None and was is not None and Quantity.parse(size) < Quantity.parse(was):
        allocated = ((old.get("status") or {}).get("capacity") or {}).get("storage")
        if allocated is not None and Quantity.parse(size) <= Quantity.parse(allocated):
            text = "field can not be less than status.capacity"
            errs.append(forbidden_field("spec.resources.requests.storage", text))
    immutable(errs, "volumeMode", after.get("volumeMode"), before.get("volumeMode"))
    attributes = after.get("volumeAttributesClassName")
    if before.get("volumeAttributesClassName") is not None and not attributes:
        what = "nil" if attributes is None else "an empty string"
        text = f"update from non-nil value to {what} is forbidden"
        errs.append(forbidden_field("spec.volumeAttributesClassName", text))


_RESIZE_STATUSES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizePending", "NodeResizeInProgress",
    "NodeResizeInfeasible",
)  # fmt: skip


def update_claim_status(errs: Errors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for name, text in (status.get("capacity") or {}).items():
        _basic(errs, f"status.capacity[{name}]", text)
    path = "status.allocatedResourceStatus"
    for name, value in (status.get("allocatedResourceStatuses") or {}).items():
        _resource_key(errs, path, name)
        if value not in _RESIZE_STATUSES:
            errs.append(not_supported(path, name, _RESIZE_STATUSES))
    for name, text in (status.get("allocatedResources") or {}).items():
        before = len(errs)
        _resource_key(errs, "status.allocatedResources", name)
        if len(errs) == before:
            _basic(errs, f"status.allocatedResources[{name}]", text)


def _basic(errs: Errors, path: str, text: str) -> None:
    value = Quantity.parse(text).value()
    if value < 0:
        errs.append(invalid_value(path, value, "must be a valid resource quantity"))


def _resource_key(errs: Errors, path: str, name: str) -> None:
    before = len(errs)
    checked(errs, path, name, names.qualified_name)
    native = "/" not in name or "kubernetes.io/" in name
    if len(errs) == before and native and name != "storage":
        errs.append(not_supported(path, name, ("storage",)))


def _without_size(claim: Object) -> Object:
    resources = dict(claim.get("resources") or {})
    requests = {k: v for k, v in (resources.pop("requests", None) or {}).items() if k != "storage"}
    return {**resources, "requests": requests}
