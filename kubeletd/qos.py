"""A pod's quality of service class, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import quantity

GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_CRITICAL_PRIORITY = 2_000_000_000  # system-cluster-critical and above
_GUARANTEED_SCORE, _BEST_EFFORT_SCORE = -997, 1000


def qos_class(pod: Mapping[str, Any]) -> str:
    """Guaranteed: limits equal requests for CPU and memory everywhere; BestEffort: none anywhere."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    anything, guaranteed = False, True
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit = quantity.to_milli(limits.get(name, "0"))
            request = quantity.to_milli(requests.get(name, limits.get(name, "0")))
            anything = anything or limit > 0 or request > 0
            guaranteed = guaranteed and limit > 0 and limit == request
    if not anything:
        return BEST_EFFORT
    return GUARANTEED if guaranteed else BURSTABLE


def oom_score_adj(pod: Mapping[str, Any], container: Mapping[str, Any], memory_capacity: int) -> int:
    """What the kernel kills first under memory pressure: the more is used beyond what was asked for, the sooner."""
    if (pod["spec"].get("priority") or 0) >= _CRITICAL_PRIORITY:
        return _GUARANTEED_SCORE
    kind = qos_class(pod)
    if kind == GUARANTEED:
        return _GUARANTEED_SCORE
    if kind == BEST_EFFORT or not memory_capacity:
        return _BEST_EFFORT_SCORE
    resources = container.get("resources") or {}
    requested = (resources.get("requests") or {}).get("memory") or (resources.get("limits") or {}).get(
        "memory", "0"
    )
    score = 1000 - 1000 * quantity.to_int(requested) // memory_capacity
    return max(1000 + _GUARANTEED_SCORE, min(score, _BEST_EFFORT_SCORE - 1))
