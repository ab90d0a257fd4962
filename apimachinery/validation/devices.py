"""Validation of dynamic resource allocation: claims, their templates, and slices of devices."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, invalid_value, required, too_many
from apimachinery.validation.fields import Errors, enum, immutable, named

Object = dict[str, Any]

_DEVICE_REQUESTS_MAX = 32


def resource_claim(errs: Errors, obj: Object) -> None:
    _claim(errs, "spec", obj.get("spec") or {})


def resource_claim_template(errs: Errors, obj: Object) -> None:
    _claim(errs, "spec.spec", (obj.get("spec") or {}).get("spec") or {})


def _claim(errs: Errors, path: str, spec: Object) -> None:
    requests = (spec.get("devices") or {}).get("requests") or []
    here = f"{path}.devices.requests"
    if len(requests) > _DEVICE_REQUESTS_MAX:
        errs.append(too_many(here, len(requests), _DEVICE_REQUESTS_MAX))
    seen: set[str] = set()
    for i, request in enumerate(requests):
        place = f"{here}[{i}]"
        name = request.get("name")
        named(errs, f"{place}.name", name, names.dns1123_label)
        if name in seen:
            errs.append(duplicate(f"{place}.name", name))
        elif name:
            seen.add(name)
        exact, alternatives = request.get("exactly"), request.get("firstAvailable")
        if (exact is None) == (not alternatives):
            if exact is None:
                errs.append(required(place, "exactly one of `exactly` or `firstAvailable` is required"))
            else:
                text = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
                errs.append(invalid_value(place, request, text))
        wanted = [(f"{place}.exactly", exact)] if exact is not None else []
        wanted += [(f"{place}.firstAvailable[{j}]", item) for j, item in enumerate(alternatives or ())]
        for where, item in wanted:
            if not item.get("deviceClassName"):
                errs.append(required(f"{where}.deviceClassName"))
            mode, count = item.get("allocationMode"), item.get("count") or 0
            enum(errs, f"{where}.allocationMode", mode, ("All", "ExactCount"))
            if mode == "ExactCount" and count <= 0:
                errs.append(invalid_value(f"{where}.count", count, "must be greater than zero"))


def update_resource_claim(errs: Errors, new: Object, old: Object) -> None:
    immutable(errs, "spec", new.get("spec"), old.get("spec"))


def resource_slice(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    if not spec.get("driver"):
        errs.append(required("spec.driver"))
    if not (spec.get("pool") or {}).get("name"):
        errs.append(required("spec.pool.name"))
    seen: set[str] = set()
    for i, device in enumerate(spec.get("devices") or ()):
        name = device.get("name")
        named(errs, f"spec.devices[{i}].name", name, names.dns1123_label)
        if name in seen:
            errs.append(duplicate(f"spec.devices[{i}].name", name))
        elif name:
            seen.add(name)
