"""How many replicas a resource metric asks for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from apimachinery import meta, quantity

Object = dict[str, Any]

TOLERANCE = 0.1
# What a starting pod uses says little of what it will use.
_CPU_INITIALIZATION = timedelta(minutes=5)
_INITIAL_READINESS = timedelta(seconds=30)


class MetricsMissing(Exception):
    """No replica count can be had from this metric; str() says why."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """`status` is the metric's place in status.currentMetrics."""

    replicas: int
    name: str
    status: Object


@dataclass(slots=True)
class _Pods:
    """Usage in milli-units by pod, and the pods that have none to count."""

    usage: dict[str, int] = field(default_factory=dict)
    ready: int = 0
    unready: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def propose(
    metric: Object, current: int, pods: Sequence[Object], samples: Iterable[Object], now: datetime
) -> Proposal:
    """`metric` is of type Resource or ContainerResource; `samples` are PodMetrics. Raises MetricsMissing."""
    kind = metric["type"]
    source = metric["containerResource" if kind == "ContainerResource" else "resource"]
    name, container, target = source["name"], source.get("container", ""), source["target"]
    found = _group(pods, {s["metadata"]["name"]: s for s in samples}, name, container, now)
    if not found.usage:
        raise MetricsMissing("did not receive metrics for targeted pods (pods might be unready)")
    if target["type"] == "Utilization":
        weights = {p["metadata"]["name"]: _requested(p, name, container) for p in pods}
        goal = target["averageUtilization"] / 100
        fallback = max(1.0, goal)
    else:
        weights = dict.fromkeys((p["metadata"]["name"] for p in pods), 1)
        goal = fallback = float(quantity.to_milli(target["averageValue"]))
    replicas = _replicas(current, found, weights, goal, fallback)
    shown: Object = {"averageValue": f"{sum(found.usage.values()) // len(found.usage)}m"}
    label = f"{name} resource"
    if target["type"] == "Utilization":
        total = sum(weights[pod] for pod in found.usage)
        shown["averageUtilization"] = int(100 * sum(found.usage.values()) / total) if total else 0
        label += " utilization (percentage of request)"
    field_name = "containerResource" if container else "resource"
    status = {"name": name, "current": shown, **({"container": container} if container else {})}
    return Proposal(replicas, label, {"type": kind, field_name: status})


def _replicas(current: int, found: _Pods, weights: Mapping[str, int], goal: float, fallback: float) -> int:
    def ratio(usage: Mapping[str, float]) -> float:
        total = sum(weights[pod] for pod in usage)
        if not total:
            raise MetricsMissing("the requests of targeted pods are zero")
        return sum(usage.values()) / total / goal

    first = ratio(found.usage)
    grow_beside_unready = bool(found.unready) and first > 1
    if not grow_beside_unready and not found.missing:
        return current if abs(first - 1) <= TOLERANCE else math.ceil(first * found.ready)
    # Pods that say nothing are held to be against whatever the others suggest.
    usage: dict[str, float] = dict(found.usage)
    if first < 1:
        usage.update({pod: weights[pod] * fallback for pod in found.missing})
    elif first > 1:
        usage.update(dict.fromkeys(found.missing, 0.0))
    if grow_beside_unready:
        usage.update(dict.fromkeys(found.unready, 0.0))
    second = ratio(usage)
    if abs(second - 1) <= TOLERANCE or (first < 1 < second) or (second < 1 < first):
        return current
    replicas = math.ceil(second * len(usage))
    if (second < 1 and replicas > current) or (second > 1 and replicas < current):
        return current
    return replicas


def _group(
    pods: Sequence[Object], samples: Mapping[str, Object], name: str, container: str, now: datetime
) -> _Pods:
    found = _Pods()
    for pod in pods:
        own, phase = pod["metadata"]["name"], (pod.get("status") or {}).get("phase")
        if pod["metadata"].get("deletionTimestamp") or phase in ("Failed", "Succeeded"):
            continue
        if phase == "Pending":
            found.unready.append(own)
            continue
        sample = samples.get(own)
        usage = _usage(sample, name, container) if sample is not None else None
        if sample is None or usage is None:
            found.missing.append(own)
        elif name == "cpu" and _is_starting(pod, sample, now):
            found.unready.append(own)
        else:
            found.usage[own] = usage
            found.ready += 1
    return found


def _usage(sample: Object, name: str, container: str) -> int | None:
    """Milli-units; None where a container says nothing."""
    total, seen = 0, False
    for each in sample.get("containers") or ():
        if container and each["name"] != container:
            continue
        if name not in (each.get("usage") or {}):
            return None
        total += quantity.to_milli(each["usage"][name])
        seen = True
    return total if seen else None


def _is_starting(pod: Object, sample: Object, now: datetime) -> bool:
    ready = meta.condition(pod, "Ready")
    started = (pod.get("status") or {}).get("startTime")
    if ready is None or not started:
        return True
    since, start = meta.parse_time(ready["lastTransitionTime"]), meta.parse_time(started)
    is_ready = ready["status"] == "True"
    if start + _CPU_INITIALIZATION > now:
        taken = meta.parse_time(sample["timestamp"]) if sample.get("timestamp") else now
        return not is_ready or taken < since + _window(sample)
    return not is_ready and start + _INITIAL_READINESS > since


def _window(sample: Object) -> timedelta:
    """The time over which usage was measured; metrics servers write `15s` or `15.123s`."""
    text = str(sample.get("window") or "0s").removesuffix("s")
    try:
        return timedelta(seconds=float(text))
    except ValueError:
        return timedelta(minutes=1)


def _requested(pod: Object, name: str, container: str) -> int:
    """Milli-units. Raises MetricsMissing where a container does not say."""
    total = 0
    sidecars = [c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for each in [*pod["spec"]["containers"], *sidecars]:
        if container and each["name"] != container:
            continue
        request = ((each.get("resources") or {}).get("requests") or {}).get(name)
        if request is None:
            where = f"container {each['name']} of Pod {pod['metadata']['name']}"
            raise MetricsMissing(f"missing request for {name} in {where}")
        total += quantity.to_milli(request)
    return total
