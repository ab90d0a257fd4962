"""A Deployment's status: counts, Available, Progressing, ReplicaFailure, and when a rollout counts as stuck."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apimachinery import meta
from controllermanager.plans.deployment_scaling import max_unavailable, replicas_of
from controllermanager.plans.deployment_sets import SetState

Object = dict[str, Any]

_NO_DEADLINE = 2**31 - 1

NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"


def condition(status: Object, kind: str) -> Object | None:
    return next((c for c in status.get("conditions") or () if c["type"] == kind), None)


def make(kind: str, value: str, reason: str, message: str, now: datetime) -> Object:
    stamp = meta.rfc3339(now)
    return {
        "type": kind,
        "status": value,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }


def set_condition(conditions: list[Object], new: Object) -> list[Object]:
    """Unchanged if status and reason are; lastTransitionTime is kept if the status is."""
    current = next((c for c in conditions if c["type"] == new["type"]), None)
    if current is not None and (current["status"], current["reason"]) == (new["status"], new["reason"]):
        return conditions
    if current is not None and current["status"] == new["status"]:
        new = {**new, "lastTransitionTime": current["lastTransitionTime"]}
    return [*without(conditions, new["type"]), new]


def without(conditions: list[Object], kind: str) -> list[Object]:
    return [c for c in conditions if c["type"] != kind]


def has_deadline(deployment: Object) -> bool:
    deadline = deployment["spec"].get("progressDeadlineSeconds", 600)
    return deadline is not None and deadline != _NO_DEADLINE


def base_status(deployment: Object, sets: Sequence[SetState], new: SetState | None, now: datetime) -> Object:
    """Counts and Available; the other conditions as they were."""
    old = deployment.get("status") or {}

    def total(key: str) -> int:
        return sum(int(s.status.get(key) or 0) for s in sets)

    replicas, available = total("replicas"), total("availableReplicas")
    status: Object = {"observedGeneration": deployment["metadata"].get("generation") or 0}
    for key, value in (
        ("replicas", replicas),
        ("updatedReplicas", int(new.status.get("replicas") or 0) if new is not None else 0),
        ("readyReplicas", total("readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", max(0, replicas - available)),
    ):
        if value:
            status[key] = value
    status["terminatingReplicas"] = total("terminatingReplicas")
    if old.get("collisionCount") is not None:
        status["collisionCount"] = old["collisionCount"]
    conditions = list(old.get("conditions") or ())
    if available >= replicas_of(deployment) - max_unavailable(deployment):
        text = "Deployment has minimum availability."
        met = make("Available", "True", "MinimumReplicasAvailable", text, now)
    else:
        text = "Deployment does not have minimum availability."
        met = make("Available", "False", "MinimumReplicasUnavailable", text, now)
    status["conditions"] = set_condition(conditions, met)
    return status


def is_complete(deployment: Object, status: Object) -> bool:
    wanted = replicas_of(deployment)
    return bool(
        status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status["observedGeneration"] >= (deployment["metadata"].get("generation") or 0)
    )


def _is_progressing(old: Object, new: Object) -> bool:
    def old_left(status: Object) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    return bool(
        new.get("updatedReplicas", 0) > old.get("updatedReplicas", 0)
        or old_left(new) < old_left(old)
        or new.get("readyReplicas", 0) > old.get("readyReplicas", 0)
        or new.get("availableReplicas", 0) > old.get("availableReplicas", 0)
    )


def _left(deployment: Object, current: Object, now: datetime) -> float:
    """Seconds until the progress deadline."""
    deadline = int(deployment["spec"].get("progressDeadlineSeconds") or 600)
    return deadline - (now - meta.parse_time(current["lastUpdateTime"])).total_seconds()


def rollout_status(
    deployment: Object, sets: Sequence[SetState], new: SetState | None, base: list[Object], now: datetime
) -> tuple[Object, float | None]:
    """(status, seconds until the progress deadline has to be looked at). `base` are the conditions to start from."""
    old = deployment.get("status") or {}
    status = base_status({**deployment, "status": {**old, "conditions": base}}, sets, new, now)
    conditions: list[Object] = status["conditions"]
    requeue: float | None = None
    if not has_deadline(deployment):
        conditions = without(conditions, "Progressing")
    else:
        current = next((c for c in base if c["type"] == "Progressing"), None)
        done = (
            current is not None
            and current["reason"] == NEW_SET_AVAILABLE
            and status.get("replicas", 0) == status.get("updatedReplicas", 0)
        )
        if not done:
            conditions = _progress(deployment, status, conditions, current, new, now)
        progress = next((c for c in conditions if c["type"] == "Progressing"), None)
        if progress is not None and progress["reason"] not in (NEW_SET_AVAILABLE, TIMED_OUT):
            requeue = max(0.0, _left(deployment, progress, now)) + 1
    failures = [
        c
        for s in ([new] if new is not None else []) + [s for s in sets if s is not new]
        for c in s.status.get("conditions") or ()
        if c["type"] == "ReplicaFailure"
    ]
    if failures:
        failure = failures[0]
        mine = make(
            "ReplicaFailure", failure["status"], failure.get("reason", ""), failure.get("message", ""), now
        )
        conditions = set_condition(conditions, {**mine, "lastTransitionTime": failure["lastTransitionTime"]})
    else:
        conditions = without(conditions, "ReplicaFailure")
    status["conditions"] = conditions
    return status, requeue


def _progress(
    deployment: Object,
    status: Object,
    conditions: list[Object],
    current: Object | None,
    new: SetState | None,
    now: datetime,
) -> list[Object]:
    name = f'ReplicaSet "{new.name}"' if new is not None else f'Deployment "{deployment["metadata"]["name"]}"'
    if is_complete(deployment, status):
        text = f"{name} has successfully progressed."
        return set_condition(conditions, make("Progressing", "True", NEW_SET_AVAILABLE, text, now))
    if _is_progressing(deployment.get("status") or {}, status):
        made = make("Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.", now)
        if current is not None and current["status"] == "True":
            made["lastTransitionTime"] = current["lastTransitionTime"]
        return [*without(conditions, "Progressing"), made]
    if (
        current is not None
        and current["reason"] not in (NEW_SET_AVAILABLE, TIMED_OUT)
        and _left(deployment, current, now) <= 0
    ):
        text = f"{name} has timed out progressing."
        return set_condition(conditions, make("Progressing", "False", TIMED_OUT, text, now))
    return conditions
