"""What a pod's containers hold of their node while they are resized."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import quantity

Object = Mapping[str, Any]


def held(spec: Object, status: Object) -> Object:
    """The spec with what each container holds while it is resized (KEP-1287); itself where that is what it asks for.

    That is the most of what it asks for, what its node has allocated, and what it has been given so far; a resize
    that its node can never make is not counted.
    """
    infeasible = any(
        c.get("type") == "PodResizePending" and c.get("status") == "True" and c.get("reason") == "Infeasible"
        for c in status.get("conditions") or ()
    )
    changed = {}
    for field, key in (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")):
        by_name = {s.get("name"): s for s in status.get(key) or ()}
        if by_name:
            given = spec.get(field) or ()
            containers = [_held(c, by_name.get(c.get("name")) or {}, infeasible) for c in given]
            if any(new is not old for new, old in zip(containers, given, strict=True)):
                changed[field] = containers
    return {**spec, **changed} if changed else spec


def _held(container: Object, status: Object, infeasible: bool) -> Object:
    resources = container.get("resources") or {}
    asked = resources.get("requests") or {}
    allocated = status.get("allocatedResources")
    actual = (status.get("resources") or {}).get("requests")
    if all(amounts is None or amounts == asked for amounts in (allocated, actual)):
        return container
    held: dict[str, Any] = {}
    for amounts in (None if infeasible else asked, allocated, actual):
        for name, text in (amounts or {}).items():
            if name not in held or quantity.to_milli(str(text)) > quantity.to_milli(str(held[name])):
                held[name] = text
    return {**container, "resources": {**resources, "requests": held}}
