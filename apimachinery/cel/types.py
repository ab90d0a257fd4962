"""Types of CEL as the checker compares them. Pure.

What is not known is `dyn`, which goes with everything. Objects tell their fields when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Fields = Callable[[str], "Type | None"]


@dataclass(frozen=True, slots=True)
class Type:
    """`params` of lists (1), maps (2) and optionals (1). `fields` of objects: the type of a field, None for none.

    `name` tells objects and the types Kubernetes adds (Quantity and such) apart. `size` bounds strings, lists and
    maps, where a schema does: for estimates of cost.
    """

    kind: str
    params: tuple[Type, ...] = ()
    name: str = ""
    fields: Fields | None = field(default=None, compare=False)
    size: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        if self.kind == "optional":
            return f"optional_type({self.params[0]})"
        if self.params:
            return f"{self.kind}({', '.join(map(str, self.params))})"
        if self.kind == "timestamp":
            return "timestamp"
        return self.name or self.kind


DYN = Type("dyn")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL = Type("string"), Type("bytes"), Type("null_type")
TIMESTAMP, DURATION, TYPE = Type("timestamp"), Type("duration"), Type("type")


def list_of(item: Type, size: int | None = None) -> Type:
    return Type("list", (item,), size=size)


def map_of(key: Type, value: Type, size: int | None = None) -> Type:
    return Type("map", (key, value), size=size)


def optional_of(inner: Type) -> Type:
    return Type("optional", (inner,))


def object_of(name: str, fields: Mapping[str, Type]) -> Type:
    return Type("object", name=name, fields=fields.get)


def fits(wanted: Type, given: Type, bound: dict[str, Type] | None = None) -> bool:
    """Whether a value of one type can be where another is wanted. `bound`: type parameters, filled on the way."""
    if wanted.kind == "param":
        if bound is None:
            return True
        known = bound.get(wanted.name)
        if known is None or known.kind in ("dyn", "null_type"):
            bound[wanted.name] = given
            return True
        return fits(known, given, bound)
    if "dyn" in (wanted.kind, given.kind) or "null_type" in (wanted.kind, given.kind):
        return True
    if wanted.kind != given.kind or (wanted.kind == "opaque" and wanted.name != given.name):
        return False
    return all(fits(a, b, bound) for a, b in zip(wanted.params, given.params, strict=True))


def filled(wanted: Type, bound: Mapping[str, Type]) -> Type:
    """A type with its parameters replaced; those nothing is known of are dyn."""
    if wanted.kind == "param":
        return bound.get(wanted.name, DYN)
    if wanted.params:
        return Type(wanted.kind, tuple(filled(param, bound) for param in wanted.params), wanted.name)
    return wanted


def joined(first: Type, second: Type) -> Type:
    """What may be either."""
    if first == second:
        return first if (first.size or 0) >= (second.size or 0) else second
    return DYN
