"""Custom objects as CEL sees them: numbers as their schema says, times as times, names of fields escaped. Pure."""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from typing import Any

Raw = dict[str, Any]

_RESERVED_LIST = """
    true false null in as break const continue else for function if import let loop package namespace return var void
    while
"""
_RESERVED = frozenset(_RESERVED_LIST.split())
_SPECIAL = {"__": "__underscores__", "-": "__dash__", ".": "__dot__", "/": "__slash__"}
_TO_ESCAPE = re.compile(r"__|[-./]")
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def escaped(name: str) -> str:
    """The name an expression uses for a field."""
    if name in _RESERVED:
        return f"__{name}__"
    return _TO_ESCAPE.sub(lambda match: _SPECIAL[match[0]], name)


def value(given: Any, raw: Raw) -> Any:
    """A value by its schema. What the schema does not describe is left out of objects, unless it is preserved."""
    if isinstance(given, dict):
        return _object(given, raw)
    if isinstance(given, list):
        items = raw.get("items")
        return [value(item, items) for item in given] if isinstance(items, dict) else given
    if isinstance(given, str):
        return _string(given, raw.get("format", ""))
    if raw.get("type") == "number" and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if raw.get("type") == "integer" and isinstance(given, float):
        return int(given)
    return given


def _object(given: dict[str, Any], raw: Raw) -> dict[str, Any]:
    values = raw.get("additionalProperties")
    if isinstance(values, dict):
        return {key: value(item, values) for key, item in given.items()}
    properties = raw.get("properties") or {}
    found: dict[str, Any] = {}
    for key, item in given.items():
        child = properties.get(key)
        if child is not None:
            found[escaped(key)] = value(item, child)
        elif key in ("apiVersion", "kind", "metadata") or raw.get("x-kubernetes-preserve-unknown-fields"):
            found[escaped(key)] = item
    return found


def _string(given: str, kind: str) -> Any:
    try:
        if kind in ("date-time", "datetime"):
            return datetime.fromisoformat(given)
        if kind == "date":
            return datetime.fromisoformat(f"{given}T00:00:00+00:00")
        if kind == "byte":
            return base64.b64decode(given)
    except ValueError:
        return given
    if kind == "duration":
        parts = _DURATION.findall(given)
        if parts:
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
            return timedelta(seconds=-seconds if given.startswith("-") else seconds)
    return given
