"""What a HorizontalPodAutoscaler does: the replicas it sets, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Event, status_patch
from controllermanager.plans.autoscalebehavior import History, follow
from controllermanager.plans.autoscalemetrics import Proposal

Object = dict[str, Any]

AUTOSCALERS = resources.get("horizontalpodautoscalers", "autoscaling")


@dataclass(frozen=True, slots=True)
class Failure:
    """A metric that gives no replica count; `reason` such as FailedGetResourceMetric."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`replicas` is None where the target stays as it is. `actions` are to follow once it is scaled."""

    replicas: int | None
    reason: str
    actions: list[Action]
    history: History


def unscalable(autoscaler: Object, reason: str, message: str, now: datetime) -> list[Action]:
    """The target or its scale cannot be had."""
    text = f"the HPA controller was unable to get the target's current scale: {message}"
    conditions = _conditions(autoscaler, ("AbleToScale", "False", reason, text), now)
    return [
        *_status(autoscaler, {"conditions": conditions}),
        Event(_involved(autoscaler), "Warning", reason, message),
    ]


def decide(
    autoscaler: Object,
    current: int,
    proposals: Sequence[Proposal | Failure],
    history: History,
    now: datetime,
) -> Decision:
    """`current` is what the target's scale asks for, `proposals` what each metric does."""
    spec = autoscaler["spec"]
    lowest, highest = spec.get("minReplicas", 1), spec["maxReplicas"]
    gotten = (
        "AbleToScale",
        "True",
        "SucceededGetScale",
        "the HPA controller was able to get the target's current scale",
    )
    if current == 0 and lowest != 0:
        text = "scaling is disabled since the replica count of the target is zero"
        conditions = _conditions(autoscaler, gotten, now)
        conditions = meta.set_condition(
            conditions, _condition("ScalingActive", "False", "ScalingDisabled", text), meta.rfc3339(now)
        )
        status = {"conditions": conditions, "currentReplicas": 0, "desiredReplicas": 0}
        return Decision(None, "", _status(autoscaler, status), history)
    if current > highest:
        return _set(
            autoscaler, current, highest, "Current number of replicas above Spec.MaxReplicas", history, now
        )
    if current < lowest:
        return _set(
            autoscaler, current, lowest, "Current number of replicas below Spec.MinReplicas", history, now
        )
    found = [p for p in proposals if isinstance(p, Proposal)]
    failures = [p for p in proposals if isinstance(p, Failure)]
    best = max(found, key=lambda p: p.replicas, default=None)
    # With a metric missing nobody knows that less would do.
    if best is None or (failures and best.replicas < current):
        return _inactive(autoscaler, current, failures, gotten, history, now)
    outcome = follow(spec, current, best.replicas, history, now)
    history = history.recommended(best.replicas, now)
    valid = f"the HPA was able to successfully calculate a replica count from {best.name}"
    stamp = meta.rfc3339(now)
    conditions = _conditions(autoscaler, ("AbleToScale", "True", *outcome.able), now)
    for condition in (
        _condition("ScalingActive", "True", "ValidMetricFound", valid),
        _condition("ScalingLimited", "True" if outcome.is_limited else "False", *outcome.limited),
    ):
        conditions = meta.set_condition(conditions, condition, stamp)
    way = "above" if outcome.replicas > current else "below"
    reason = "All metrics below target" if way == "below" else f"{best.name} above target"
    shown = {"currentMetrics": [p.status for p in found]}
    return _set(autoscaler, current, outcome.replicas, reason, history, now, conditions, shown)


def _set(
    autoscaler: Object,
    current: int,
    wanted: int,
    reason: str,
    history: History,
    now: datetime,
    conditions: list[Object] | None = None,
    shown: Object | None = None,
) -> Decision:
    status: Object = {"currentReplicas": current, "desiredReplicas": wanted, **(shown or {})}
    if conditions is not None:
        status["conditions"] = conditions
    if wanted == current:
        return Decision(None, "", _status(autoscaler, status), history)
    text = f"the HPA controller was able to update the target scale to {wanted}"
    rescaled = _condition("AbleToScale", "True", "SucceededRescale", text)
    before = (
        conditions if conditions is not None else (autoscaler.get("status") or {}).get("conditions") or []
    )
    status["conditions"] = meta.set_condition(before, rescaled, meta.rfc3339(now))
    status["lastScaleTime"] = meta.rfc3339(now)
    event = Event(
        _involved(autoscaler), "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}"
    )
    return Decision(
        wanted, reason, [event, *_status(autoscaler, status)], history.changed(wanted - current, now)
    )


def _inactive(
    autoscaler: Object,
    current: int,
    failures: Sequence[Failure],
    gotten: tuple[str, str, str, str],
    history: History,
    now: datetime,
) -> Decision:
    first = failures[0] if failures else Failure("InvalidMetricSourceType", "no metrics are specified")
    text = f"the HPA was unable to compute the replica count: {first.message}"
    conditions = meta.set_condition(
        _conditions(autoscaler, gotten, now),
        _condition("ScalingActive", "False", first.reason, text),
        meta.rfc3339(now),
    )
    status = {"conditions": conditions, "currentReplicas": current, "desiredReplicas": current}
    event = Event(_involved(autoscaler), "Warning", first.reason, first.message)
    return Decision(None, "", [*_status(autoscaler, status), event], history)


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _conditions(autoscaler: Object, new: tuple[str, str, str, str], now: datetime) -> list[Object]:
    before = (autoscaler.get("status") or {}).get("conditions") or []
    return meta.set_condition(before, _condition(*new), meta.rfc3339(now))


def _status(autoscaler: Object, changes: Object) -> list[Action]:
    generation = autoscaler["metadata"].get("generation")
    observed = {"observedGeneration": generation} if generation else {}
    old = {"currentReplicas": 0, "desiredReplicas": 0, **(autoscaler.get("status") or {})}
    return status_patch(AUTOSCALERS, autoscaler, {**old, **observed, **changes})


def _involved(autoscaler: Object) -> Object:
    return {**autoscaler, "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
