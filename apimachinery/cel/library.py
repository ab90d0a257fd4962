"""The functions of Kubernetes's CEL: strings, lists, sets, math, regular expressions, formats, conversions.

Receivers come as first arguments. Values of types CEL does not have are maps marked by a key of their own. Quantities,
addresses and URLs are in `library_kinds`.
"""

from __future__ import annotations

import base64
import itertools
import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from apimachinery.cel import library_kinds
from apimachinery.structural.values import pattern

Function = Callable[..., Any]


def _compiled(text: str) -> re.Pattern[str]:
    found = pattern(text)
    if found is None:
        raise ValueError(f"error parsing regexp: {text}")
    return found


def string(value: Any) -> str:
    """string(): as CEL writes values."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, dict):
        return library_kinds.text(value)
    return str(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "True", "TRUE", "t", "1"):
        return True
    if value in ("false", "False", "FALSE", "f", "0"):
        return False
    raise ValueError(f"Type conversion error from {value!r} to 'bool'")


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(wanted, start)
    return next((i for i, item in enumerate(value) if item == wanted), -1)


def _last_index_of(value: Any, wanted: Any, end: int | None = None) -> int:
    if isinstance(value, str):
        return value.rfind(wanted) if end is None else value.rfind(wanted, 0, end + len(wanted))
    return next((i for i in range(len(value) - 1, -1, -1) if value[i] == wanted), -1)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        return list(text)
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit)


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise ValueError(f"index out of range: {index}")
    return text[index : index + 1]


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _ascii(text: str, change: Callable[[str], str]) -> str:
    return "".join(change(c) if c.isascii() else c for c in text)


def _find(text: str, expression: str) -> str:
    match = _compiled(expression).search(text)
    return match[0] if match else ""


def _find_all(text: str, expression: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in _compiled(expression).finditer(text)]
    return found if limit < 0 else found[:limit]


def _format(template: str, values: Sequence[Any]) -> str:
    """%s, %d, %f, %e, %b, %x, %X, %o and %%, with precision."""
    waiting = iter(values)

    def put(match: re.Match[str]) -> str:
        verb = match[2]
        if verb == "%":
            return "%"
        try:
            value = next(waiting)
        except StopIteration:
            raise ValueError("index out of range in format()") from None
        if verb == "s":
            return _shown(value)
        if verb in "fe":
            return format(float(value), f".{match[1] or 6}{verb}")
        if verb in "xX" and isinstance(value, (str, bytes)):
            raw = value.encode().hex() if isinstance(value, str) else value.hex()
            return raw.upper() if verb == "X" else raw
        return str(int(value)) if verb == "d" else format(int(value), verb)

    return re.sub(r"%(?:\.(\d+))?([a-zA-Z%])", put, template)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    if isinstance(value, dict) and not library_kinds.is_marked(value):
        return "{" + ", ".join(f"{key}: {_shown(value[key])}" for key in sorted(value)) + "}"
    return "null" if value is None else string(value)


def _sum(values: Sequence[Any]) -> Any:
    total: Any = values[0] if values else 0
    for value in values[1:]:
        total = total + value
    return total


def _extreme(choose: Callable[..., Any], name: str) -> Function:
    def of(*values: Any) -> Any:
        given = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        if not given:
            raise ValueError(f"{name} called on empty list")
        return choose(given)

    return of


def _distinct(values: Sequence[Any]) -> list[Any]:
    seen: dict[bytes, Any] = {}
    for value in values:
        seen.setdefault(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), value)
    return list(seen.values())


def _flatten(values: Sequence[Any], depth: int = 1) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if isinstance(value, list) and depth > 0:
            found += _flatten(value, depth - 1)
        else:
            found.append(value)
    return found


def _keys(value: Any) -> list[Any]:
    """The keys of a map, the places of a list."""
    return list(value) if isinstance(value, dict) else list(range(len(value)))


def _merged(maps: Sequence[dict[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for each in maps:
        for key, value in each.items():
            if key in found:
                raise ValueError(f"insert failed: key '{key}' already exists")
            found[key] = value
    return found


def _sorted_by(values: Sequence[Any], keys: Sequence[Any]) -> list[Any]:
    return [values[at] for at in sorted(range(len(values)), key=keys.__getitem__)]


def _contains_all(values: Sequence[Any], wanted: Sequence[Any]) -> bool:
    return all(item in values for item in wanted)


def _sign(value: Any) -> Any:
    if isinstance(value, dict):
        return library_kinds.quantity_sign(value)
    return (value > 0) - (value < 0)


FUNCTIONS: dict[str, Function] = {
    "base64_decode": base64.b64decode,
    "base64_encode": lambda value: base64.b64encode(value).decode(),
    "bool": _bool,
    "charAt": _char_at,
    "distinct": _distinct,
    "entry_": lambda key, values: {key: values[0]} if values else {},
    "find": _find,
    "findAll": _find_all,
    "flatten": _flatten,
    "format": _format,
    "indexOf": _index_of,
    "isSorted": lambda values: all(a <= b for a, b in itertools.pairwise(values)),
    "join": lambda values, separator="": separator.join(values),
    "keys_": _keys,
    "lastIndexOf": _last_index_of,
    "jsonpatch_escapeKey": lambda key: key.replace("~", "~0").replace("/", "~1"),
    "lists_range": lambda count: list(range(count)),
    "lowerAscii": lambda text: _ascii(text, str.lower),
    "matches": lambda text, expression: _compiled(expression).search(text) is not None,
    "math_abs": abs,
    "math_bitAnd": lambda a, b: a & b,
    "math_bitNot": lambda a: ~a,
    "math_bitOr": lambda a, b: a | b,
    "math_bitShiftLeft": lambda a, b: ((a << b) + (1 << 63)) % (1 << 64) - (1 << 63) if b < 64 else 0,
    "math_bitShiftRight": lambda a, b: (a % (1 << 64)) >> b if b < 64 else 0,
    "math_bitXor": lambda a, b: a ^ b,
    "math_ceil": lambda value: float(math.ceil(value)),
    "math_floor": lambda value: float(math.floor(value)),
    "math_greatest": _extreme(max, "math.greatest"),
    "math_isFinite": math.isfinite,
    "math_isInf": math.isinf,
    "math_isNaN": math.isnan,
    "math_least": _extreme(min, "math.least"),
    "math_round": lambda value: float(math.floor(abs(value) + 0.5)) * (1 if value >= 0 else -1),
    "math_sign": _sign,
    "math_sqrt": math.sqrt,
    "math_trunc": lambda value: float(math.trunc(value)),
    "max": _extreme(max, "max"),
    "merged_": _merged,
    "min": _extreme(min, "min"),
    "replace": _replace,
    "reverse": lambda value: value[::-1],
    "sets_contains": _contains_all,
    "sets_equivalent": lambda a, b: _contains_all(a, b) and _contains_all(b, a),
    "sets_intersects": lambda a, b: any(item in b for item in a),
    "sign": _sign,
    "size": len,
    "slice": lambda values, start, end: values[start:end],
    "sort": sorted,
    "sortBy_": _sorted_by,
    "split": _split,
    "string": string,
    "strings_quote": lambda text: orjson.dumps(text).decode(),
    "substring": _substring,
    "sum": _sum,
    "trim": lambda text: text.strip(),
    "upperAscii": lambda text: _ascii(text, str.upper),
    "zip_": lambda keys, values: dict(zip(keys, values, strict=True)),
    **library_kinds.FUNCTIONS,
}
