"""Values that come again: controllers create many objects of one template, and what holds for one holds for all.

What a pure function made of a value is kept by the value's bytes, so that it is made once. Bounded: the oldest goes
first, and large values are not kept. Pure.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")

_MOST = 128
_LARGEST = 8 << 10


class Recurring(Generic[T]):
    """What a function made of the values met lately. A key is small change (1 µs a kB) beside walking the value."""

    __slots__ = ("_known", "_most")

    def __init__(self, most: int = _MOST) -> None:
        self._known: dict[bytes, T] = {}
        self._most = most

    @staticmethod
    def key(value: Any) -> bytes:
        """What the value is known by; empty where it is not to be kept."""
        try:
            key = orjson.dumps(value)
        except TypeError:
            return b""
        return key if len(key) <= _LARGEST else b""

    def get(self, key: bytes) -> T | None:
        return self._known.get(key)

    def put(self, key: bytes, result: T) -> None:
        """Keep a result that nobody will change."""
        if not key:
            return
        known = self._known
        if len(known) >= self._most:
            del known[next(iter(known))]
        known[key] = result
