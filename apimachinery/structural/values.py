"""Validation of custom objects by their structural schema, in the words of Kubernetes's OpenAPI validator."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import orjson

from apimachinery.errors import FieldError, duplicate, invalid_value, required, too_many, type_invalid
from apimachinery.structural.formats import FORMATS

Raw = dict[str, Any]
Errors = list[FieldError]

_NOTHING = "<nil>"
_NUMERIC = ("integer", "number")


#: There is nothing to compare with.
ABSENT: Any = object()


def validate(
    errs: Errors, value: Any, raw: Raw, path: str = "", old: Any = ABSENT, *, root: bool = False
) -> None:
    """Add what is wrong with `value`. `root`: metadata and the type of the object are checked elsewhere.

    What has not changed from `old` may stay wrong (ratcheting, KEP-4008).
    """
    if old is not ABSENT and not root and value == old:
        return
    kind = _type(value)
    wanted = raw.get("type", "")
    if value is None and (raw.get("nullable") or (not wanted and not raw.get("x-kubernetes-int-or-string"))):
        return
    if raw.get("x-kubernetes-int-or-string"):
        if kind not in ("integer", "string"):
            errs.append(_wrong_type(path, "integer,string", kind))
            return
    elif wanted and kind != wanted and not (wanted == "number" and kind == "integer"):
        errs.append(_wrong_type(path, wanted, kind))
        return
    if "enum" in raw and not any(_same(value, allowed) for allowed in raw["enum"]):
        errs.append(_unsupported(path, value, raw["enum"]))
    if kind == "string":
        _string(errs, value, raw, path)
    elif kind in _NUMERIC:
        _number(errs, value, raw, path)
    elif kind == "array":
        _array(errs, value, raw, path, old)
    elif kind == "object":
        _object(errs, value, raw, path, old, root)
    if "allOf" in raw or "anyOf" in raw or "oneOf" in raw or "not" in raw:
        _combined(errs, value, raw, path)


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else "null"


def _wrong_type(path: str, wanted: str, kind: str) -> FieldError:
    return type_invalid(path or _NOTHING, kind, f'{path} in body must be of type {wanted}: "{kind}"')


def _unsupported(path: str, value: Any, allowed: list[Any]) -> FieldError:
    shown = [v if isinstance(v, str) else orjson.dumps(v).decode() for v in allowed]
    listed = ", ".join(orjson.dumps(v).decode() for v in shown)
    message = f"Unsupported value: {orjson.dumps(value).decode()}: supported values: {listed}"
    return FieldError(path, "FieldValueNotSupported", message)


def _same(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


@lru_cache(maxsize=1024)
def pattern(text: str) -> re.Pattern[str] | None:
    """A Go regular expression; None where Python cannot read it."""
    # RE2 ends at the very end of the text where Python's $ also allows a newline before it.
    try:
        return re.compile(re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\Z", text).replace(r"\z", r"\Z"))
    except re.error:
        return None


def _string(errs: Errors, value: str, raw: Raw, path: str) -> None:
    longest, shortest = raw.get("maxLength"), raw.get("minLength")
    if longest is not None and len(value) > longest:
        text = f"Too long: may not be more than {longest} bytes"
        errs.append(FieldError(path, "FieldValueTooLong", text))
    if shortest is not None and len(value) < shortest:
        errs.append(invalid_value(path, value, f"{path} in body should be at least {shortest} chars long"))
    if "pattern" in raw:
        compiled = pattern(raw["pattern"])
        if compiled is None or compiled.search(value) is None:
            errs.append(invalid_value(path, value, f"{path} in body should match '{raw['pattern']}'"))
    check = FORMATS.get(raw.get("format", ""))
    if check is not None and not check(value):
        shown = orjson.dumps(value).decode()
        errs.append(type_invalid(path, value, f"{path} in body must be of type {raw['format']}: {shown}"))


def _number(errs: Errors, value: float, raw: Raw, path: str) -> None:
    factor = raw.get("multipleOf")
    if factor and not _multiple(value, factor):
        errs.append(invalid_value(path, value, f"{path} in body should be a multiple of {_bare(factor)}"))
    for key, exclusive, words in (
        ("maximum", "exclusiveMaximum", "less than"),
        ("minimum", "exclusiveMinimum", "greater than"),
    ):
        bound = raw.get(key)
        if bound is None:
            continue
        strict = bool(raw.get(exclusive))
        beyond = value > bound if key == "maximum" else value < bound
        if beyond or (strict and value == bound):
            text = f"should be {words} {'' if strict else 'or equal to '}{_bare(bound)}"
            errs.append(invalid_value(path, value, f"{path} in body {text}"))


def _multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    return abs(value / factor - round(value / factor)) < 1e-9


def _bare(number: float) -> str:
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _array(errs: Errors, value: list[Any], raw: Raw, path: str, old: Any) -> None:
    most, least = raw.get("maxItems"), raw.get("minItems")
    if most is not None and len(value) > most:
        errs.append(too_many(path, len(value), most))
    if least is not None and len(value) < least:
        errs.append(invalid_value(path, len(value), f"{path} in body should have at least {least} items"))
    if raw.get("uniqueItems") and len({orjson.dumps(v, option=orjson.OPT_SORT_KEYS) for v in value}) < len(
        value
    ):
        errs.append(invalid_value(path, value, f"{path} in body shouldn't contain duplicates"))
    items = raw.get("items")
    if isinstance(items, dict):
        keys = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        before = _by_keys(old, keys) if keys and isinstance(old, list) else {}
        for index, item in enumerate(value):
            validate(errs, item, items, f"{path}[{index}]", before.get(_key_of(item, keys), ABSENT))
    list_type = raw.get("x-kubernetes-list-type")
    if list_type in ("set", "map"):
        _distinct(errs, value, raw, path, list_type)


def _key_of(item: Any, keys: tuple[str, ...]) -> bytes:
    return orjson.dumps([item.get(key) for key in keys]) if isinstance(item, dict) else b""


def _by_keys(items: list[Any], keys: tuple[str, ...]) -> dict[bytes, Any]:
    return {_key_of(item, keys): item for item in items if isinstance(item, dict)}


def _distinct(errs: Errors, value: list[Any], raw: Raw, path: str, list_type: str) -> None:
    """Items of sets are different, items of maps have different keys."""
    seen: set[bytes] = set()
    keys = raw.get("x-kubernetes-list-map-keys") or ()
    for index, item in enumerate(value):
        identity = item
        if list_type == "map":
            if not isinstance(item, dict):
                continue
            identity = {key: item[key] for key in keys if key in item}
        encoded = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
        if encoded in seen:
            errs.append(duplicate(f"{path}[{index}]", identity))
        seen.add(encoded)


def _object(errs: Errors, value: dict[str, Any], raw: Raw, path: str, old: Any, root: bool) -> None:
    for key in raw.get("required") or ():
        if key not in value:
            errs.append(required(f"{path}.{key}" if path else key))
    most, least = raw.get("maxProperties"), raw.get("minProperties")
    if most is not None and len(value) > most:
        errs.append(too_many(path, len(value), most))
    if least is not None and len(value) < least:
        shown = f"{path} in body should have at least {least} properties"
        errs.append(invalid_value(path or _NOTHING, len(value), shown))
    properties = raw.get("properties") or {}
    values = raw.get("additionalProperties")
    before = old if isinstance(old, dict) else {}
    for key, item in value.items():
        if root and key == "metadata":
            child = _names_only(properties.get(key))
        else:
            child = properties.get(key)
        if child is None and isinstance(values, dict):
            child = values
        if child is not None:
            validate(errs, item, child, f"{path}.{key}" if path else key, before.get(key, ABSENT))
    if raw.get("x-kubernetes-embedded-resource") and not root:
        for key in ("apiVersion", "kind"):
            if not value.get(key):
                errs.append(required(f"{path}.{key}", "must not be empty"))


def _names_only(raw: Raw | None) -> Raw | None:
    """Of an object's metadata, a schema may restrict name and generateName."""
    if raw is None:
        return None
    found = {k: v for k, v in (raw.get("properties") or {}).items() if k in ("name", "generateName")}
    return {"type": "object", "properties": found}


def _combined(errs: Errors, value: Any, raw: Raw, path: str) -> None:
    """allOf, anyOf, oneOf and not. They are about the whole value and named without a field."""
    name = orjson.dumps(path).decode()
    for key, words in (
        ("anyOf", "must validate at least one schema (anyOf)"),
        ("oneOf", "must validate one and only one schema (oneOf)"),
        ("allOf", "must validate all the schemas (allOf)"),
    ):
        branches = raw.get(key)
        if not branches:
            continue
        outcomes = [_problems(value, branch, path) for branch in branches]
        valid = sum(not found for found in outcomes)
        best = min(outcomes, key=len)
        detail = ""
        if key == "oneOf" and valid != 1:
            detail = f"{words}. " + ("Found none valid" if not valid else f"Found {valid} valid alternatives")
        elif key == "anyOf" and not valid:
            detail = words
        elif key == "allOf" and valid < len(branches):
            detail = words if valid else f"{words}. None validated"
            best = [problem for found in outcomes for problem in found]
        if detail:
            if not valid or key == "allOf":
                errs += best
            errs.append(invalid_value(_NOTHING, "", f"{name} {detail}"))
    if "not" in raw and not _problems(value, raw["not"], path):
        errs.append(invalid_value(_NOTHING, "", f"{name} must not validate the schema (not)"))


def _problems(value: Any, raw: Raw, path: str) -> Errors:
    found: Errors = []
    validate(found, value, raw, path)
    return found
