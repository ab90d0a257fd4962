"""NoExecute taints: which pods must leave a node, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Delete, Event, Patch, RequeueAfter
from controllermanager.plans.views import PodView

Object = dict[str, Any]

PODS = resources.get("pods")


def tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if key and key != taint["key"]:
        return False
    if operator == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def stays_for(pod: PodView, taints: Iterable[Object], now: datetime) -> float | None:
    """Seconds the pod may still stay on a node with these NoExecute taints; None: as long as it likes.

    Counted from when each taint was put on (`timeAdded`), so that a restart of ours does not start the time anew, but
    for pods that came later: from then.
    """
    came = meta.parse_time(pod.created) if pod.created else None
    shortest: float | None = None
    for taint in taints:
        allowed: float | None = None
        tolerating = [t for t in pod.tolerations if tolerates(t, taint)]
        if not tolerating:
            return 0.0
        for toleration in tolerating:
            seconds = toleration.get("tolerationSeconds")
            if seconds is not None:
                allowed = min(float(seconds), allowed) if allowed is not None else float(seconds)
        if allowed is None:
            continue
        since = meta.parse_time(taint["timeAdded"]) if taint.get("timeAdded") else now
        since = since if came is None else max(since, came)
        left = max(0.0, allowed - (now - since).total_seconds())
        shortest = left if shortest is None else min(shortest, left)
    return shortest


def dated(node: Object, seen: Mapping[str, str], now: str) -> tuple[Object, dict[str, str]]:
    """The node with a time for each of its NoExecute taints, and the times of those that have none themselves.

    `seen` are those of the last look: whoever puts a taint on a node need not say when.
    """
    found: dict[str, str] = {}
    taints = []
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint["effect"] == "NoExecute" and not taint.get("timeAdded"):
            name = f"{taint['key']}={taint.get('value') or ''}"
            found[name] = seen.get(name, now)
            taint = {**taint, "timeAdded": found[name]}
        taints.append(taint)
    return ({**node, "spec": {**node["spec"], "taints": taints}} if found else node), found


def plan(node: Object, pods: Sequence[PodView], now: datetime) -> list[Action]:
    """Deletes the pods of `node` whose time is up."""
    taints = [t for t in (node.get("spec") or {}).get("taints") or () if t["effect"] == "NoExecute"]
    if not taints:
        return []
    actions: list[Action] = []
    next_look: float | None = None
    for pod in pods:
        if pod.deleting or pod.finished:
            continue
        left = stays_for(pod, taints, now)
        if left is None:
            continue
        if left > 0:
            next_look = left if next_look is None else min(next_look, left)
            continue
        actions += _evict(pod, now)
    if next_look is not None:
        actions.append(RequeueAfter(next_look + 0.01))
    return actions


def _evict(pod: PodView, now: datetime) -> list[Action]:
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": meta.rfc3339(now),
    }
    patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
    involved = {
        "kind": "Pod",
        "apiVersion": "v1",
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
    }
    return [
        Event(
            involved, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {pod.namespace}/{pod.name}"
        ),
        Patch(PODS, pod.namespace, pod.name, patch, kind="strategic", subresource="status", missing_ok=True),
        Delete(PODS, pod.namespace, pod.name, pod.uid),
    ]
