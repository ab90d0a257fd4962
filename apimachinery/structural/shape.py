"""Bringing custom objects into the shape of their schema: unknown fields go, nulls that may not be go, defaults come.

Objects are changed in place. Costs one walk over the object each.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Raw = dict[str, Any]
#: What every object has, whether its schema says so or not.
_IDENTITY = frozenset({"apiVersion", "kind", "metadata"})


def prune(value: Any, raw: Raw, dropped: list[str], *, root: bool = False) -> None:
    """Drop the fields the schema does not know, noting their names. `root`: apiVersion, kind and metadata are known."""
    if value.__class__ is dict:
        whole = root or raw.get("x-kubernetes-embedded-resource", False)
        properties = raw.get("properties") or {}
        values = raw.get("additionalProperties")
        preserve = raw.get("x-kubernetes-preserve-unknown-fields", False)
        gone: list[str] = []
        for key, item in value.items():
            if whole and key in _IDENTITY:
                continue
            child = properties.get(key)
            if child is None and values:
                child = values if isinstance(values, dict) else {}
                if not child:
                    continue
            if child is not None:
                if item.__class__ is dict or item.__class__ is list:
                    prune(item, child, dropped)
            elif not preserve and raw.get("type") == "object":
                gone.append(key)
        for key in gone:
            del value[key]
        dropped += gone
    elif value.__class__ is list:
        items = raw.get("items")
        if isinstance(items, dict):
            for item in value:
                if item.__class__ is dict or item.__class__ is list:
                    prune(item, items, dropped)


def default(value: Any, raw: Raw) -> bool:
    """Fill in what is absent and has a default; says whether anything was. Nulls where none may be count as absent."""
    filled = False
    if value.__class__ is dict:
        properties = raw.get("properties") or {}
        for key, child in properties.items():
            if key in value:
                item = value[key]
                if item is not None or child.get("nullable") or _anything(child):
                    if item.__class__ is dict or item.__class__ is list:
                        filled |= default(item, child)
                    continue
                del value[key]
                filled = True
            if "default" in child:
                item = value[key] = copy.deepcopy(child["default"])
                default(item, child)
                filled = True
        values = raw.get("additionalProperties")
        if isinstance(values, dict):
            for key, item in value.items():
                if key in properties:
                    continue
                if item is None and "default" in values and not values.get("nullable"):
                    value[key] = item = copy.deepcopy(values["default"])
                    filled = True
                filled |= default(item, values)
    elif value.__class__ is list:
        items = raw.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                if item is None and "default" in items and not items.get("nullable"):
                    value[index] = item = copy.deepcopy(items["default"])
                    filled = True
                filled |= default(item, items)
    return filled


def _anything(raw: Raw) -> bool:
    """A schema without a type lets nulls be."""
    return not raw.get("type") and not raw.get("x-kubernetes-int-or-string")


def any_with(raw: Raw, keyword: str) -> bool:
    """Whether a schema says something of a kind anywhere."""
    return keyword in raw or any(any_with(child, keyword) for child in children(raw))


def children(raw: Raw) -> list[Raw]:
    """The schemas directly below: properties, items, values."""
    found = list((raw.get("properties") or {}).values())
    for key in ("items", "additionalProperties"):
        if isinstance(raw.get(key), dict):
            found.append(raw[key])
    return found


def published(raw: Raw, *, root: bool = True) -> Raw:
    """The schema as field tracking, strict decoding and OpenAPI read it.

    Embedded objects get the fields all objects have, and maps of anything say so explicitly.
    """
    result = dict(raw)
    values = raw.get("additionalProperties")
    if values is True:
        result["additionalProperties"] = {"x-kubernetes-preserve-unknown-fields": True}
    elif isinstance(values, dict):
        result["additionalProperties"] = published(values, root=False)
    elif values is False:
        del result["additionalProperties"]
    if isinstance(raw.get("items"), dict):
        result["items"] = published(raw["items"], root=False)
    if "properties" in raw:
        result["properties"] = {key: published(child, root=False) for key, child in raw["properties"].items()}
    if raw.get("x-kubernetes-embedded-resource") and not root:
        known: Raw = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
        known["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        result["properties"] = {**known, **result.get("properties", {})}
    return result


def checker(raw: Raw, metadata: Callable[[Any, list[str]], Any]) -> Callable[[Any, list[str]], Any]:
    """What decoding does with a custom object: its metadata is typed, the rest is pruned and validated later."""

    def check(value: Any, dropped: list[str]) -> Any:
        found = value.get("metadata")
        if found is None:
            value.pop("metadata", None)
        else:
            value["metadata"] = metadata(found, dropped)
        prune(value, raw, dropped, root=True)
        return value

    return check
