"""The quality of service that a pod's requests and limits amount to. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import quantity

Object = dict[str, Any]

_COMPUTE = ("cpu", "memory")


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, from the CPU and memory of the pod or of its containers."""
    pod_level = spec.get("resources") or {}
    if _compute(pod_level.get("requests")) or _compute(pod_level.get("limits")):
        groups = [pod_level]
    else:
        containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        groups = [container.get("resources") or {} for container in containers]
    any_set, guaranteed = False, True
    for group in groups:
        requests, limits = _compute(group.get("requests")), _compute(group.get("limits"))
        any_set = any_set or bool(requests) or bool(limits)
        if set(limits) != set(_COMPUTE) or any(
            requests.get(name, limits[name]) != limits[name] for name in limits
        ):
            guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _compute(resources: Object | None) -> dict[str, int]:
    """CPU and memory in thousandths, leaving out zeros."""
    found = {}
    for name in _COMPUTE:
        value = (resources or {}).get(name)
        if value is not None and (milli := quantity.to_milli(str(value))):
            found[name] = milli
    return found
