"""Validation of what a pod asks for as a whole (KEP-2837), against what its containers ask for."""

from __future__ import annotations

from typing import Any

from apimachinery.defaults_pods import effective_resources
from apimachinery.errors import forbidden_field, invalid_value
from apimachinery.quantity import Quantity
from apimachinery.validation import resourceamounts
from apimachinery.validation.fields import Errors

Object = dict[str, Any]


def resources(errs: Errors, path: str, spec: Object) -> None:
    """`path` is that of the pod's `resources`."""
    own = spec["resources"]
    if own.get("claims") is not None:
        errs.append(forbidden_field(f"{path}.claims", "claims cannot be set for Resources at pod-level"))
    before = len(errs)
    resourceamounts.requirements(errs, path, own, name_check=resourceamounts.pod_name)
    if len(errs) > before:
        return  # amounts that are none cannot be compared
    requests, limits = own.get("requests") or {}, own.get("limits") or {}
    for name, needed in effective_resources(spec, "requests").items():
        if name in ("cpu", "memory") or resourceamounts.is_hugepage(name):
            given = Quantity.parse(str(requests.get(name, "0")))
            if needed > given:
                text = f"must be greater than or equal to aggregate container requests of {needed}"
                errs.append(invalid_value(f"{path}.requests[{name}]", str(given), text))
    for i, item in enumerate(spec.get("containers") or ()):
        for name, text in ((item.get("resources") or {}).get("limits") or {}).items():
            if name not in limits:
                continue
            limit, most = Quantity.parse(str(text)), Quantity.parse(str(limits[name]))
            if limit > most:
                detail = f"must be less than or equal to pod limits of {most}"
                place = f"{path}.containers[{i}][{name}].limits"
                errs.append(invalid_value(place, str(limit), detail))
