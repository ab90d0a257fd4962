"""In which order the pods of a node end that shuts down, and how long each group of them gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kubeletd.eviction_plan import CRITICAL_PRIORITY

REASON = "Terminated"
MESSAGE = "Pod was terminated in response to imminent node shutdown."
REFUSAL = ("NodeShutdown", "Pod was rejected as the node is shutting down.")
NOT_READY = "node is shutting down"


@dataclass(frozen=True, slots=True)
class Period:
    """Pods of this priority and above, up to the next period's, get so many seconds."""

    priority: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Group:
    """The pods (uids) that end together."""

    seconds: float
    pods: tuple[str, ...]


def periods(total: float, critical: float) -> tuple[Period, ...]:
    """`critical` is the part of the `total` that is kept for critical pods. None where the total is 0."""
    if not total:
        return ()
    return (Period(0, max(0.0, total - critical)), Period(CRITICAL_PRIORITY, critical))


def groups(pods: Mapping[str, int], wanted: Iterable[Period]) -> Sequence[Group]:
    """Priorities by uid as groups in the order of their end: the least important first.

    Pods below the lowest period's priority belong to it.
    """
    ordered = sorted(wanted, key=lambda period: period.priority)
    found: list[Group] = []
    for index, period in enumerate(ordered):
        above = ordered[index + 1].priority if index + 1 < len(ordered) else None
        members = sorted(
            uid
            for uid, priority in pods.items()
            if (priority >= period.priority or not index) and (above is None or priority < above)
        )
        if members:
            found.append(Group(period.seconds, tuple(members)))
    return found
