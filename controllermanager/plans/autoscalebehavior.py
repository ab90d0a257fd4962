"""How fast a HorizontalPodAutoscaler may follow what its metrics ask for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Object = dict[str, Any]

_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Object = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
}
_LONGEST = timedelta(hours=1)
_NOT_STABILIZED = ("ReadyForNewScale", "recommended size matches current size")


@dataclass(frozen=True, slots=True)
class History:
    """What was recommended, and by how much was scaled, in the last hour."""

    recommendations: tuple[tuple[datetime, int], ...] = ()
    changes: tuple[tuple[datetime, int], ...] = ()

    def recommended(self, replicas: int, now: datetime) -> History:
        kept = tuple(entry for entry in self.recommendations if now - entry[0] < _LONGEST)
        return History((*kept, (now, replicas)), self.changes)

    def changed(self, by: int, now: datetime) -> History:
        kept = tuple(entry for entry in self.changes if now - entry[0] < _LONGEST)
        return History(self.recommendations, (*kept, (now, by)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """`able` and `limited` are (reason, message) of AbleToScale and ScalingLimited; `is_limited` its status."""

    replicas: int
    able: tuple[str, str]
    limited: tuple[str, str]
    is_limited: bool


def rules(spec: Object, direction: str) -> Object:
    """What spec.behavior says for scaleUp or scaleDown, with defaults in place of what it does not say."""
    default = _UP if direction == "scaleUp" else _DOWN
    given = (spec.get("behavior") or {}).get(direction) or {}
    return {**default, **{key: value for key, value in given.items() if value not in (None, [])}}


def follow(spec: Object, current: int, wanted: int, history: History, now: datetime) -> Outcome:
    """The replicas to set. `history` does not have `wanted` yet."""
    up, down = rules(spec, "scaleUp"), rules(spec, "scaleDown")
    lowest, highest = spec.get("minReplicas", 1), spec["maxReplicas"]
    low = min([wanted, *_within(history.recommendations, up["stabilizationWindowSeconds"], now)])
    high = max([wanted, *_within(history.recommendations, down["stabilizationWindowSeconds"], now)])
    stable = min(max(current, low), high)
    able = _NOT_STABILIZED
    if stable != wanted and stable > wanted:
        able = (
            "ScaleDownStabilized",
            "recent recommendations were higher than current one, applying the highest recent recommendation",
        )
    elif stable != wanted:
        able = (
            "ScaleUpStabilized",
            "recent recommendations were lower than current one, applying the lowest recent recommendation",
        )
    limited = ("DesiredWithinRange", "the desired count is within the acceptable range")
    if stable > current:
        bound = max(current, _limit(up, current, history, now, up=True))
        if stable > min(bound, highest):
            limited = (
                ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
                if bound < highest
                else ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
            )
            return Outcome(min(bound, highest), able, limited, True)
    elif stable < current:
        bound = min(current, _limit(down, current, history, now, up=False))
        if stable < max(bound, lowest):
            limited = (
                (
                    "ScaleDownLimit",
                    "the desired replica count is decreasing faster than the maximum scale rate",
                )
                if bound > lowest
                else ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
            )
            return Outcome(max(bound, lowest), able, limited, True)
    return Outcome(stable, able, limited, False)


def _within(entries: Iterable[tuple[datetime, int]], seconds: int, now: datetime) -> list[int]:
    return [value for at, value in entries if now - at < timedelta(seconds=seconds)]


def _limit(chosen: Object, current: int, history: History, now: datetime, *, up: bool) -> int:
    if chosen["selectPolicy"] == "Disabled":
        return current
    proposals: list[int] = []
    for policy in chosen["policies"]:
        start = current - sum(_within(history.changes, policy["periodSeconds"], now))
        share = policy["value"] / 100
        if policy["type"] == "Pods":
            proposals.append(start + policy["value"] if up else start - policy["value"])
        else:
            proposals.append(math.ceil(start * (1 + share)) if up else int(start * (1 - share)))
    largest_change = chosen["selectPolicy"] == "Max"
    return max(proposals) if up == largest_change else min(proposals)
