"""Pods: their first status, quality of service, and how long they may take to end. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import quantity

Object = dict[str, Any]

DEFAULT_GRACE = 30
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


def prepare_create(new: Object) -> None:
    """The status of a new pod, and the condition of one that is held back by scheduling gates."""
    spec = new.get("spec") or {}
    status: Object = {"phase": "Pending", "qosClass": qos_class(spec)}
    new["status"] = status
    if spec.get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": None,
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]


def prepare_status(new: Object, old: Object) -> None:
    """The quality of service is the server's; podIP and podIPs say the same."""
    status = new.setdefault("status", {})
    before = old.get("status") or {}
    if before.get("qosClass"):
        status["qosClass"] = before["qosClass"]
    addresses = status.get("podIPs")
    if status.get("podIP") and not addresses:
        status["podIPs"] = [{"ip": status["podIP"]}]
    elif addresses and not status.get("podIP"):
        status["podIP"] = addresses[0].get("ip", "")


def grace(pod: Object, asked: int | None) -> int:
    """Seconds a deleted pod may take to end. Pods that never started, or are over, go at once."""
    spec = pod.get("spec") or {}
    seconds = asked
    if seconds is None:
        seconds = spec.get("terminationGracePeriodSeconds")
        seconds = DEFAULT_GRACE if seconds is None else int(seconds)
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    return 1 if seconds < 0 else seconds


def only_ephemeral_containers(new: Object, old: Object, now: str) -> None:
    """An update through `ephemeralcontainers` changes nothing else of the pod."""
    containers = (new.get("spec") or {}).get("ephemeralContainers")
    _restore(new, old)
    if containers is None:
        new["spec"].pop("ephemeralContainers", None)
    else:
        new["spec"]["ephemeralContainers"] = containers


def only_resources(new: Object, old: Object, now: str) -> None:
    """An update through `resize` changes nothing but the containers' resources and resize policies."""
    wanted = {c.get("name"): c for c in (new.get("spec") or {}).get("containers") or ()}
    _restore(new, old)
    containers = []
    for container in new["spec"].get("containers") or ():
        change = wanted.get(container.get("name")) or {}
        container = dict(container)
        for key in ("resources", "resizePolicy"):
            if key in change:
                container[key] = change[key]
        containers.append(container)
    new["spec"]["containers"] = containers


def _restore(new: Object, old: Object) -> None:
    metadata = new["metadata"]
    new.clear()
    new.update(old)
    new["metadata"] = metadata
    new["spec"] = dict(old.get("spec") or {})
