"""Exponential back-off with jitter; the source of randomness is passed in."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays in seconds: `initial`, doubling up to `maximum`, each multiplied by a factor in [1, 1 + jitter]."""

    __slots__ = ("_initial", "_jitter", "_maximum", "_next", "_random")

    def __init__(
        self,
        initial: float = 0.05,
        maximum: float = 5.0,
        jitter: float = 0.5,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._initial = initial
        self._maximum = maximum
        self._jitter = jitter
        self._random = random
        self._next = initial

    def next(self) -> float:
        delay = self._next * (1 + self._jitter * self._random())
        self._next = min(self._next * 2, self._maximum)
        return delay

    def reset(self) -> None:
        self._next = self._initial
