"""Tables of pods and pod templates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apiserver.tables_format import (
    NONE,
    Printer,
    age,
    condition,
    containers,
    created,
    is_true,
    labels,
    name,
    printer,
)

Object = dict[str, Any]

_SUCCEEDED = {
    "type": "Completed",
    "status": "True",
    "reason": "Succeeded",
    "message": "The pod has completed successfully.",
}
_FAILED = {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}


def _conditions(pod: Object) -> list[Object]:
    phase = (pod.get("status") or {}).get("phase")
    return [_SUCCEEDED] if phase == "Succeeded" else [_FAILED] if phase == "Failed" else []


class _Restarts:
    """How often containers were restarted, and when last."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, status: Object) -> None:
        self.count += status.get("restartCount", 0)
        finished = ((status.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
        self.last = max(self.last, finished)

    def text(self, now: datetime) -> str:
        if self.count and self.last:
            return f"{self.count} ({age(self.last, now)} ago)"
        return str(self.count)


def _ended(terminated: Object) -> str:
    """Why a container ended."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


class _Summary:
    """READY, STATUS and RESTARTS of one pod."""

    def __init__(self, pod: Object) -> None:
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        self.ready = 0
        self.restarts = _Restarts()
        init = spec.get("initContainers") or ()
        sidecars = {c.get("name") for c in init if c.get("restartPolicy") == "Always"}
        self.total = len(spec.get("containers") or ()) + len(sidecars)
        self.reason = status.get("reason") or status.get("phase") or ""
        scheduled = condition(pod, "PodScheduled")
        if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
            self.reason = "SchedulingGated"
        sidecar_restarts = _Restarts()
        initializing = self._initializing(status, len(init), sidecars, sidecar_restarts)
        if not initializing or is_true(condition(pod, "Initialized")):
            self.restarts = sidecar_restarts
            self._running(pod, status)
        if pod["metadata"].get("deletionTimestamp"):
            if status.get("reason") == "NodeLost":
                self.reason = "Unknown"
            elif status.get("phase") not in ("Succeeded", "Failed"):
                self.reason = "Terminating"

    def _initializing(
        self, status: Object, count: int, sidecars: set[Any], sidecar_restarts: _Restarts
    ) -> bool:
        """Look at init containers up to the first that is not done; whether there is one."""
        for place, container in enumerate(status.get("initContainerStatuses") or ()):
            self.restarts.add(container)
            sidecar = container.get("name") in sidecars
            if sidecar:
                sidecar_restarts.add(container)
            state = container.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting")
            if terminated is not None and terminated.get("exitCode", 0) == 0:
                continue
            if sidecar and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            if terminated is not None:
                self.reason = "Init:" + _ended(terminated)
            elif waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
                self.reason = "Init:" + waiting["reason"]
            else:
                self.reason = f"Init:{place}/{count}"
            return True
        return False

    def _running(self, pod: Object, status: Object) -> None:
        """Look at the containers; the first one with something to say names the status."""
        running = False
        for container in reversed(status.get("containerStatuses") or ()):
            self.restarts.add(container)
            state = container.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting")
            if waiting is not None and waiting.get("reason"):
                self.reason = waiting["reason"]
            elif terminated is not None:
                self.reason = _ended(terminated)
            elif container.get("ready") and state.get("running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if is_true(condition(pod, "Ready")) else "NotReady"


def _gates(pod: Object) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return NONE
    passed = sum(is_true(condition(pod, gate.get("conditionType", ""))) for gate in gates)
    return f"{passed}/{len(gates)}"


def _pod(pod: Object, now: datetime) -> list[Any]:
    summary = _Summary(pod)
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    addresses = status.get("podIPs") or ()
    return [
        name(pod),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        summary.restarts.text(now),
        created(pod, now),
        (addresses[0].get("ip") if addresses else "") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(pod),
    ]


def _pod_template(obj: Object, now: datetime) -> list[Any]:
    template = obj.get("template") or {}
    names, images = containers(template.get("spec") or {})
    return [name(obj), names, images, labels((template.get("metadata") or {}).get("labels"))]


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "pods"): printer(
        "Name|Ready|Status|Restarts|Age|+IP|+Node|+Nominated Node|+Readiness Gates", _pod, _conditions
    ),
    ("", "podtemplates"): printer("Name|Containers|Images|Pod Labels", _pod_template),
}
