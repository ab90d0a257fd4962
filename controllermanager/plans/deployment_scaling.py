"""How many replicas each of a Deployment's sets gets: the arithmetic of rolling updates and of proportional scaling.

The names of the bounds are the API's: never more than replicas + maxSurge pods, never fewer available ones than
replicas - maxUnavailable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from controllermanager.plans.deployment_sets import DESIRED_REPLICAS, MAX_REPLICAS, SetState, number

Object = dict[str, Any]


def replicas_of(deployment: Object) -> int:
    value = deployment["spec"].get("replicas")
    return 1 if value is None else int(value)


def is_rolling(deployment: Object) -> bool:
    strategy: Object = deployment["spec"].get("strategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def _resolve(value: Any, total: int, up: bool) -> int:
    """An int-or-percent; percentages round up or down."""
    if value is None:
        return 0
    if isinstance(value, str):
        share = int(value.rstrip("%")) * total
        return -(-share // 100) if up else share // 100
    return int(value)


def fenceposts(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods. If percentages leave neither, one pod may be unavailable."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    total = replicas_of(deployment)
    surge = _resolve(rolling.get("maxSurge", "25%"), total, up=True)
    unavailable = _resolve(rolling.get("maxUnavailable", "25%"), total, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_surge(deployment: Object) -> int:
    return fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Object) -> int:
    if not is_rolling(deployment) or replicas_of(deployment) == 0:
        return 0
    return min(fenceposts(deployment)[1], replicas_of(deployment))


def total_replicas(sets: Sequence[SetState]) -> int:
    return sum(s.replicas for s in sets)


def new_set_replicas(deployment: Object, sets: Sequence[SetState], new: SetState) -> int:
    """What the new set may grow to now (`sets` includes it)."""
    wanted = replicas_of(deployment)
    if not is_rolling(deployment):
        return wanted
    if new.replicas > wanted:
        return wanted
    others = [s for s in sets if s is not new]
    if any(not s.settled for s in others):
        return new.replicas  # Pods of a set just scaled down may still be there: its loop will tell.
    room = wanted + max_surge(deployment) - new.replicas - sum(max(s.replicas, s.pods) for s in others)
    return new.replicas + max(0, min(room, wanted - new.replicas))


def shrink_old_sets(deployment: Object, old: Sequence[SetState], new: SetState) -> None:
    """Takes from old sets what availability allows: first pods that are not available anyway, then the others."""
    if not total_replicas(old):
        return
    least = replicas_of(deployment) - max_unavailable(deployment)
    new_unavailable = new.replicas - new.available
    budget = total_replicas([*old, new]) - least - new_unavailable
    if budget <= 0:
        return
    for s in sorted(old, key=lambda s: s.created):
        broken = min(budget, s.replicas - s.available)
        if broken > 0:
            s.replicas -= broken
            budget -= broken
    spare = sum(s.available for s in (*old, new)) - least
    for s in sorted(old, key=lambda s: s.created):
        taken = min(spare, s.replicas)
        if taken > 0:
            s.replicas -= taken
            spare -= taken


def scale(deployment: Object, old: Sequence[SetState], new: SetState | None) -> None:
    """Follows a change of spec.replicas: in the middle of a rollout every set gets its proportion."""
    wanted = replicas_of(deployment)
    sets = [*old, new] if new is not None else list(old)
    active = [s for s in sets if s.replicas > 0]
    if len(active) <= 1:
        only = active[0] if active else new or max(old, key=lambda s: s.created, default=None)
        if only is not None:
            only.replicas = wanted
        return
    if new is not None and _saturated(deployment, new):
        for s in old:
            s.replicas = 0
        return
    if not is_rolling(deployment):
        return
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    change = allowed - total_replicas(active)
    by_age = sorted(active, key=lambda s: s.created, reverse=change > 0)
    by_size = sorted(by_age, key=lambda s: s.replicas, reverse=True)
    given = 0
    for s in by_size:
        share = _proportion(deployment, s, change, given)
        s.replicas += share
        given += share
    if change:
        by_size[0].replicas = max(0, by_size[0].replicas + change - given)


def _saturated(deployment: Object, new: SetState) -> bool:
    wanted = replicas_of(deployment)
    return (
        new.replicas == wanted
        and new.annotations.get(DESIRED_REPLICAS) == str(wanted)
        and int(new.status.get("availableReplicas") or 0) == wanted
    )


def _proportion(deployment: Object, s: SetState, change: int, given: int) -> int:
    if s.replicas == 0 or change in (0, given):
        return 0
    left = change - given
    share = _fraction(deployment, s)
    return min(share, left) if change > 0 else max(share, left)


def _fraction(deployment: Object, s: SetState) -> int:
    """By how much this set would change if every set kept its share of the whole."""
    if replicas_of(deployment) == 0:
        return -s.replicas
    before = number(s.annotations.get(MAX_REPLICAS, "")) or int(
        (deployment.get("status") or {}).get("replicas") or 0
    )
    if before == 0:
        return 0
    after = replicas_of(deployment) + max_surge(deployment)
    return math.floor(s.replicas * after / before + 0.5) - s.replicas


def is_scaling_event(deployment: Object, sets: Sequence[SetState]) -> bool:
    """spec.replicas is no longer what the active sets were scaled for."""
    wanted = replicas_of(deployment)
    return any(
        s.replicas > 0
        and DESIRED_REPLICAS in s.annotations
        and number(s.annotations[DESIRED_REPLICAS]) != wanted
        for s in sets
    )


def mark_scaled_for(deployment: Object, s: SetState) -> None:
    """Writes down what the set was scaled for: the base of the next proportional scaling."""
    s.annotations[DESIRED_REPLICAS] = str(replicas_of(deployment))
    s.annotations[MAX_REPLICAS] = str(replicas_of(deployment) + max_surge(deployment))
