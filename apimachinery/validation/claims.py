"""Validation of PersistentVolumeClaims, and of their specs in templates."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, required, too_long
from apimachinery.quantity import Quantity
from apimachinery.validation.fields import (
    POSITIVE,
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


def access_modes(errs: Errors, path: str, modes: list[str] | None) -> None:
    if not modes:
        errs.append(required(path, "at least 1 access mode is required"))
    for mode in modes or ():
        enum(errs, path, mode, ACCESS_MODES)
    if modes and len(modes) > 1 and "ReadWriteOncePod" in modes:
        text = "may not use ReadWriteOncePod with other access modes"
        errs.append(forbidden_field(path, text))


def spec(errs: Errors, path: str, claim: Object) -> None:
    """A PersistentVolumeClaimSpec."""
    access_modes(errs, f"{path}.accessModes", claim.get("accessModes"))
    label_selector(errs, f"{path}.selector", claim.get("selector"))
    resources = claim.get("resources") or {}
    storage = (resources.get("requests") or {}).get("storage")
    here = f"{path}.resources"
    if storage is None:
        errs.append(required(f"{here}[storage]"))
    elif Quantity.parse(storage).nano <= 0:
        errs.append(invalid_value(f"{here}[storage]", storage, POSITIVE))
    limit = (resources.get("limits") or {}).get("storage")
    if storage is not None and limit is not None and Quantity.parse(storage) > Quantity.parse(limit):
        text = f"must be less than or equal to storage limit of {limit}"
        errs.append(invalid_value(f"{here}.requests", storage, text))
    if claim.get("storageClassName"):
        checked(errs, f"{path}.storageClassName", claim["storageClassName"], names.dns1123_subdomain)
    if claim.get("volumeMode") is not None:
        enum(errs, f"{path}.volumeMode", claim["volumeMode"], VOLUME_MODES)
    for field in ("dataSource", "dataSourceRef"):
        source = claim.get(field)
        if source is None:
            continue
        for part in ("name", "kind"):
            if not source.get(part):
                errs.append(required(f"{path}.{field}.{part}"))
        if not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
            text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            errs.append(invalid_value(f"{path}.{field}", source.get("kind") or "", text))


def create_claim(errs: Errors, obj: Object) -> None:
    spec(errs, "spec", obj.get("spec") or {})


def update_claim(errs: Errors, new: Object, old: Object) -> None:
    """Only the requested size may grow, once bound, and the class be set or attributes changed."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    bound = (old.get("status") or {}).get("phase") == "Bound"
    size = ((after.get("resources") or {}).get("requests") or {}).get("storage")
    was = ((before.get("resources") or {}).get("requests") or {}).get("storage")
    changed = {k for k in {*after, *before} if (after.get(k) or None) != (before.get(k) or None)}
    changed -= {"volumeAttributesClassName"}
    if not before.get("volumeName"):
        changed -= {"volumeName"}
    if before.get("storageClassName") is None:
        changed -= {"storageClassName"}
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
    elif size is not None and was is not None and Quantity.parse(size) < Quantity.parse(was):
        allocated = ((old.get("status") or {}).get("capacity") or {}).get("storage")
        if allocated is None or Quantity.parse(size) <= Quantity.parse(allocated):
            text = "field can not be less than status.capacity"
            errs.append(forbidden_field("spec.resources.requests.storage", text))
    if before.get("volumeMode"):
        immutable(errs, "spec.volumeMode", after.get("volumeMode"), before.get("volumeMode"))


def _without_size(claim: Object) -> Object:
    resources = dict(claim.get("resources") or {})
    requests = {k: v for k, v in (resources.pop("requests", None) or {}).items() if k != "storage"}
    return {**resources, "requests": requests}
