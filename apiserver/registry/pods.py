"""Pods: their first status, quality of service, and how long they may take to end. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery.qos import qos_class

Object = dict[str, Any]

DEFAULT_GRACE = 30


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
    spec = new.get("spec") or {}
    wanted = {f: {c.get("name"): c for c in spec.get(f) or ()} for f in ("containers", "initContainers")}
    _restore(new, old)
    for field, changes in wanted.items():
        if new["spec"].get(field):
            new["spec"][field] = [
                _resized(item, changes.get(item.get("name"))) for item in new["spec"][field]
            ]


def _resized(container: Object, change: Object | None) -> Object:
    return (
        {**container, **{k: change[k] for k in ("resources", "resizePolicy") if k in (change or {})}}
        if change
        else container
    )


def _restore(new: Object, old: Object) -> None:
    metadata = new["metadata"]
    new.clear()
    new.update(old)
    new["metadata"] = metadata
    new["spec"] = dict(old.get("spec") or {})
