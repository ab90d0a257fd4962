"""Sums of resource amounts by name, and what a pod asks for as a whole. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from apimachinery.quantity import Quantity

Object = dict[str, Any]
Quantities = dict[str, Quantity]


def parse(texts: Mapping[str, object] | None) -> Quantities:
    return {name: Quantity.parse(str(text)) for name, text in (texts or {}).items()}


def _merge(a: Quantities, b: Quantities, both: Callable[[Quantity, Quantity], Quantity]) -> Quantities:
    result = dict(a)
    for name, value in b.items():
        result[name] = both(result[name], value) if name in result else value
    return result


def add(a: Quantities, b: Quantities) -> Quantities:
    return _merge(a, b, Quantity.__add__)


def subtract(a: Quantities, b: Quantities) -> Quantities:
    """a - b; a name that only `b` has counts as zero in `a`."""
    return _merge(a, {name: -value for name, value in b.items()}, Quantity.__add__)


def largest(a: Quantities, b: Quantities) -> Quantities:
    return _merge(a, b, max)


def pod_total(spec: Object, key: str) -> Quantities:
    """What a pod's containers ask for together; `key` is requests or limits.

    Containers and sidecars run side by side; other init containers run one by one, each beside the sidecars before it.
    """
    sidecars: Quantities = {}
    peak: Quantities = {}
    for container in spec.get("initContainers") or ():
        own = parse((container.get("resources") or {}).get(key))
        if container.get("restartPolicy") == "Always":
            sidecars = add(sidecars, own)
            peak = largest(peak, sidecars)
        else:
            peak = largest(peak, add(own, sidecars))
    running = sidecars
    for container in spec.get("containers") or ():
        running = add(running, parse((container.get("resources") or {}).get(key)))
    total = largest(running, peak)
    own_pod = parse((spec.get("resources") or {}).get(key))
    return add({**total, **own_pod}, parse(spec.get("overhead")))
