"""How many seats each priority level has of the server's total. Pure.

nominal = ceil(total * shares / all shares), as Kubernetes computes it. Of these, lendablePercent may be used by
other levels while they are free; the rest is reserved. borrowingLimitPercent bounds what a level takes from others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LevelSpec:
    """A PriorityLevelConfiguration. `queues` is 0 where requests that find no seat are rejected at once."""

    name: str
    uid: str = ""
    exempt: bool = False
    shares: int = 0
    lendable_percent: int = 0
    borrowing_percent: int | None = None
    queues: int = 0
    hand_size: int = 1
    queue_length: int = 0

    @classmethod
    def of(cls, obj: Object) -> LevelSpec:
        spec, metadata = obj.get("spec") or {}, obj["metadata"]
        exempt = spec.get("type") == "Exempt"
        shaped = spec.get("exempt" if exempt else "limited") or {}
        response = shaped.get("limitResponse") or {}
        queuing = (response.get("queuing") or {}) if response.get("type") == "Queue" else {}
        queues = queuing.get("queues") or 0
        return cls(
            metadata["name"],
            metadata.get("uid", ""),
            exempt,
            shaped.get("nominalConcurrencyShares") or 0,
            shaped.get("lendablePercent") or 0,
            shaped.get("borrowingLimitPercent"),
            queues,
            max(1, min(queuing.get("handSize") or 1, queues)),
            queuing.get("queueLengthLimit") or 0,
        )


@dataclass(frozen=True, slots=True)
class Size:
    """Seats of a level: what is its own, how much of that nobody else may use, and the most it may ever use."""

    nominal: int
    reserved: int
    ceiling: int


def sizes(levels: Iterable[LevelSpec], total: int) -> dict[str, Size]:
    """The size of each level by name. Rounding up may give a few seats more than `total`."""
    levels = list(levels)
    shares = sum(level.shares for level in levels) or 1
    nominal = {level.name: -(-total * level.shares // shares) for level in levels}
    everything = sum(nominal.values())
    result = {}
    for level in levels:
        own = nominal[level.name]
        borrowed = everything if level.borrowing_percent is None else _percent(own, level.borrowing_percent)
        lent = _percent(own, level.lendable_percent)
        result[level.name] = Size(own, own - lent, min(everything, own + borrowed))
    return result


def _percent(seats: int, percent: int) -> int:
    return (seats * percent + 50) // 100
