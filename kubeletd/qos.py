"""A pod's quality of service class, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import quantity

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_CRITICAL_PRIORITY = 2_000_000_000  # system-cluster-critical and above
_GUARANTEED_SCORE, _BEST_EFFORT_SCORE = -997, 1000


def qos_class(pod: Mapping[str, Any]) -> str:
    """Guaranteed: limits equal requests for CPU and memory everywhere; BestEffort: none anywhere.

    Where the pod has resources of its own, they alone count.
    """
    spec = pod["spec"]
    groups = [spec] if _sized(spec) else [*(spec.get("initContainers") or ()), *spec["containers"]]
    anything, guaranteed = False, True
    for group in groups:
        resources = group.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit = quantity.to_milli(limits.get(name, "0"))
            request = quantity.to_milli(requests.get(name, limits.get(name, "0")))
            anything = anything or limit > 0 or request > 0
            guaranteed = guaranteed and limit > 0 and limit == request
    if not anything:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def _sized(spec: Mapping[str, Any]) -> bool:
    given = spec.get("resources") or {}
    return any(
        quantity.to_milli((given.get(key) or {}).get(name, "0"))
        for key in ("requests", "limits")
        for name in ("cpu", "memory")
    )


def _memory_requested(pod: Mapping[str, Any], container: Mapping[str, Any]) -> int:
    """The container's request, and its part of what the pod's own request leaves over."""

    def own(one: Mapping[str, Any]) -> int:
        given = one.get("resources") or {}
        text = (given.get("requests") or {}).get("memory") or (given.get("limits") or {}).get("memory")
        return quantity.to_int(text or "0")

    spec = pod["spec"]
    together = [*spec["containers"]]
    together += [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    left = own(spec) - sum(map(own, together))
    return own(container) + (left // len(together) if _sized(spec) and left > 0 else 0)


def oom_score_adj(pod: Mapping[str, Any], container: Mapping[str, Any], memory_capacity: int) -> int:
    """What the kernel kills first under memory pressure: the more is used beyond what was asked for, the sooner."""
    if (pod["spec"].get("priority") or 0) >= _CRITICAL_PRIORITY:
        return _GUARANTEED_SCORE
    kind = qos_class(pod)
    if kind == GUARANTEED:
        return _GUARANTEED_SCORE
    if kind == BEST_EFFORT or not memory_capacity:
        return _BEST_EFFORT_SCORE
    score = 1000 - 1000 * _memory_requested(pod, container) // memory_capacity
    return max(1000 + _GUARANTEED_SCORE, min(score, _BEST_EFFORT_SCORE - 1))
