"""Rates from cumulative figures read at whatever times. Pure."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

#: Seconds: a rate over less says little. A counter younger than `_YOUNG` is measured from its start on.
SHORTEST = 5.0
_YOUNG = 120.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Thousand-millionths of a core in the mean of `window` seconds."""

    nanocores: int
    window: float


@dataclass(slots=True)
class _Counter:
    at: float
    value: int
    before_at: float = 0.0
    before: int = -1  # none yet


class Rates:
    """Counters by key, each with the two latest readings that are worth comparing with."""

    def __init__(self) -> None:
        self._counters: dict[str, _Counter] = {}

    def observe(self, key: str, at: float, value: int, started_at: float = 0.0) -> Rate | None:
        """A counter's reading; None while it has not been known for long enough."""
        known = self._counters.get(key)
        if known is not None and value < known.value:
            known = None  # it began anew
        if known is None:
            self._counters[key] = _Counter(at, value)
        elif at - known.at >= SHORTEST:
            self._counters[key] = _Counter(at, value, known.at, known.value)
            return _rate(known.at, known.value, at, value)
        elif known.before >= 0:
            return _rate(known.before_at, known.before, at, value)
        if started_at and SHORTEST <= at - started_at <= _YOUNG:
            return _rate(started_at, 0, at, value)
        return None

    def keep(self, keys: Set[str]) -> int:
        """Forgets all others; gives the sum of what they had last."""
        gone = [key for key in self._counters if key not in keys]
        return sum(self._counters.pop(key).value for key in gone)


def _rate(from_at: float, before: int, at: float, value: int) -> Rate:
    window = at - from_at
    return Rate(max(0, int((value - before) / window)), window)
