"""Which images go when the disk fills up. Pure.

As kubelets do it: above the high threshold, until below the low one, the least recently used first, none in use and
none younger than a minimum age. But an engine may have other users: only names that this agent pulled come into
question, and they are given up as names, so that an image that has others stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PulledImage:
    """A name this agent pulled, which was not here before. Times are seconds since the epoch."""

    name: str
    id: str
    size: int
    pulled_at: float
    used_at: float


@dataclass(frozen=True, slots=True)
class Disk:
    capacity: int
    available: int


def to_free(disk: Disk, high_percent: int, low_percent: int) -> int:
    """Bytes to free; 0 while less than `high_percent` are used, and always where that is 100."""
    if high_percent >= 100 or not disk.capacity:
        return 0
    used = 100 - int(disk.available * 100 / disk.capacity)
    if used < high_percent:
        return 0
    return max(0, disk.capacity * (100 - low_percent) // 100 - disk.available)


def seen(
    pulled: Iterable[PulledImage], here: Mapping[str, str], in_use: Set[str], now: float
) -> list[PulledImage]:
    """The record after a look. `here`: id by name of what the engine has; `in_use`: ids of containers' images.

    A name that is gone, or means another image by now, is no longer ours.
    """
    found = []
    for image in pulled:
        if here.get(image.name) == image.id:
            used_at = now if image.id in in_use else image.used_at
            found.append(PulledImage(image.name, image.id, image.size, image.pulled_at, used_at))
    return found


def candidates(
    pulled: Iterable[PulledImage], in_use: Set[str], now: float, minimum_age: float
) -> list[PulledImage]:
    """Those that may go, the first one first."""
    old = [p for p in pulled if p.id not in in_use and now - p.pulled_at >= minimum_age]
    return sorted(old, key=lambda image: (image.used_at, image.pulled_at, image.name))
