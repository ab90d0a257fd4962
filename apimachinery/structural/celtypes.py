"""What schemas are as types of CEL, for checking rules and estimating what they cost. Pure.

Sizes are in bytes, items or entries: what the schema allows, or else what a request can hold at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from apimachinery import schema
from apimachinery.cel import types
from apimachinery.cel.types import DYN, INT, STRING, Type
from apimachinery.structural.celvalues import escaped

Raw = dict[str, Any]

MAX_REQUEST_BYTES = 3 * 1024 * 1024
_SCALARS = {"integer": INT, "number": types.DOUBLE, "boolean": types.BOOL}
_FORMATS = {
    "byte": types.BYTES,
    "duration": types.DURATION,
    "date": types.TIMESTAMP,
    "date-time": types.TIMESTAMP,
    "datetime": types.TIMESTAMP,
}
_FEWEST_BYTES = {"string": 2, "boolean": 4, "array": 2, "object": 2}
_ROOT_METADATA = types.object_of("metadata", {"name": STRING, "generateName": STRING})


def items_at_most(raw: Raw) -> int:
    """How many items a list of such items, or entries a map of them, can have in one request."""
    return (MAX_REQUEST_BYTES - 2) // (fewest_bytes(raw) + 1)


def _entries_at_most(raw: Raw) -> int:
    return (MAX_REQUEST_BYTES - 2) // (fewest_bytes(raw) + 6)


def fewest_bytes(raw: Raw) -> int:
    """The size of the smallest value a schema allows, as JSON."""
    if raw.get("x-kubernetes-int-or-string"):
        return 1
    least = _FEWEST_BYTES.get(raw.get("type", ""), 1)
    properties = raw.get("properties") or {}
    for name in raw.get("required") or ():
        child = properties.get(name)
        if child is not None and "default" not in child:
            least += len(name) + 4 + fewest_bytes(child)
    return least


def of(raw: Raw, *, root: bool = False) -> Type:
    """The type of values of a structural schema. `root`: of a whole object, which has kind and metadata too."""
    kind = raw.get("type", "")
    if raw.get("x-kubernetes-int-or-string"):
        return DYN
    if kind == "array":
        items = raw.get("items")
        if not isinstance(items, dict):
            return types.list_of(DYN)
        most = raw.get("maxItems")
        return types.list_of(of(items), items_at_most(items) if most is None else int(most))
    if kind == "object":
        return _object(raw, root=root or bool(raw.get("x-kubernetes-embedded-resource")))
    if kind == "string":
        return _string(raw)
    return _SCALARS.get(kind, DYN)


def _object(raw: Raw, *, root: bool) -> Type:
    values = raw.get("additionalProperties")
    if isinstance(values, dict):
        most = raw.get("maxProperties")
        return types.map_of(STRING, of(values), _entries_at_most(values) if most is None else int(most))
    if values:
        return DYN
    properties = {escaped(name): child for name, child in (raw.get("properties") or {}).items()}
    unknown = DYN if raw.get("x-kubernetes-preserve-unknown-fields") else None

    def field(name: str) -> Type | None:
        if root and name in ("apiVersion", "kind"):
            return STRING
        if root and name == "metadata":
            return _ROOT_METADATA
        child = properties.get(name)
        return of(child) if child is not None else unknown

    return Type("object", name="object", fields=field)


def _string(raw: Raw) -> Type:
    found = _FORMATS.get(raw.get("format", ""))
    if found is not None and found.kind != "bytes":
        return found
    if raw.get("maxLength") is not None:
        size = 4 * max(0, int(raw["maxLength"]))
    elif raw.get("enum"):
        size = max(len(str(value)) for value in raw["enum"])
    else:
        size = MAX_REQUEST_BYTES - 2
    return Type("bytes" if found is not None else "string", size=size)


# Built-in kinds


def of_schema(node: schema.Schema) -> Type:
    """The type of values of a built-in kind's schema."""
    if node.int_or_string or node.preserve_unknown or node.format == "quantity":
        return DYN
    if node.type == "array":
        return types.list_of(of_schema(node.items) if node.items is not None else DYN)
    if node.type == "object":
        if node.values is not None:
            return types.map_of(STRING, of_schema(node.values))
        return Type("object", name=node.ref or "object", fields=_fields(node)) if node.fields else DYN
    if node.type == "string":
        return _FORMATS.get(node.format or "", STRING)
    return _SCALARS.get(node.type, DYN)


def _fields(node: schema.Schema) -> Callable[[str], Type | None]:
    names = {escaped(name): name for name in node.fields}

    @lru_cache(maxsize=64)
    def field(name: str) -> Type | None:
        return of_schema(node.fields[names[name]]) if name in names else None

    return field
