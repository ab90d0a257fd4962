"""Pods that nobody will finish: of nodes that are gone, never scheduled and on their way out, or long ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Delete, Patch
from controllermanager.plans.views import PodView

Object = dict[str, Any]

PODS = resources.get("pods")
TERMINATED_LIMIT = 12500
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def orphaned(pods: Iterable[PodView], nodes: Collection[str]) -> set[str]:
    """The nodes that pods are bound to and that do not exist."""
    return {pod.node for pod in pods if pod.node and pod.node not in nodes}


def plan(
    pods: Iterable[PodView], gone: Collection[str], out_of_service: Collection[str], now: datetime
) -> list[Action]:
    """`gone` are nodes that certainly do not exist any more; `out_of_service` those an operator declared dead."""
    actions: list[Action] = []
    ended: list[PodView] = []
    for pod in pods:
        if pod.node in gone:
            actions += _fail(pod, "PodGC: node no longer exists", now)
        elif pod.deleting and (not pod.node or pod.node in out_of_service):
            actions += _fail(pod, "PodGC: node is out of service" if pod.node else "", now)
        elif pod.finished and not pod.deleting:
            ended.append(pod)
    if len(ended) > TERMINATED_LIMIT:
        ended.sort(key=lambda pod: (pod.created, pod.name))
        actions += [_delete(pod) for pod in ended[: len(ended) - TERMINATED_LIMIT]]
    return actions


def is_out_of_service(node: Object) -> bool:
    """Declared dead by taint, and not ready."""
    ready = meta.condition(node, "Ready")
    tainted = any(t["key"] == _OUT_OF_SERVICE for t in (node.get("spec") or {}).get("taints") or ())
    return tainted and (ready is None or ready["status"] != "True")


def _fail(pod: PodView, text: str, now: datetime) -> list[Action]:
    """Who counts its end needs to see one. `text` says what disrupted it, if anything did."""
    actions: list[Action] = []
    if not pod.finished:
        status: Object = {"phase": "Failed"}
        if text:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": text,
                "lastTransitionTime": meta.rfc3339(now),
            }
            status["conditions"] = [condition]
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        actions.append(
            Patch(
                PODS, pod.namespace, pod.name, patch, kind="strategic", subresource="status", missing_ok=True
            )
        )
    return [*actions, _delete(pod)]


def _delete(pod: PodView) -> Delete:
    return Delete(PODS, pod.namespace, pod.name, pod.uid, grace_period_seconds=0)
