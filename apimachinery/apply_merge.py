"""The object side of server-side apply: merge a configuration into an object, prune fields, check the types."""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery.fieldset import FieldSet, element_path, is_member
from apimachinery.ownedfields import (
    KeyMissing,
    by_element,
    child_schema,
    element,
    is_granular_list,
    is_granular_map,
)
from apimachinery.schema import Schema

Object = dict[str, Any]

_GONE: Any = object()


def merge(live: Object, applied: Object, schema: Schema | None) -> Object:
    """`live` with all that `applied` states; what neither changes is shared with `live`."""
    result = dict(live)
    for key, value in applied.items():
        if value is None:
            result.pop(key, None)
            continue
        result[key] = _merge_value(live.get(key), value, child_schema(schema, key))
    return result


def _merge_value(live: Any, applied: Any, schema: Schema | None) -> Any:
    if live == applied and type(live) is type(applied):
        return live
    if isinstance(applied, dict) and is_granular_map(schema):
        return merge(live if isinstance(live, dict) else {}, applied, schema)
    if isinstance(applied, list) and schema is not None and is_granular_list(schema):
        return _merge_list(live if isinstance(live, list) else [], applied, schema)
    return applied


def _merge_list(live: list[Any], applied: list[Any], schema: Schema) -> list[Any]:
    """Items merge by path element. Applied ones come in the order applied, the live ones in between keep theirs."""
    stated = {element(item, schema): item for item in applied}
    present = by_element(live, schema)
    places = [(_element_or_none(item, schema), item) for item in live]
    shared = [key for key in stated if key in present]
    result: list[Any] = []
    at = next_shared = 0
    for key, item in stated.items():
        wanted = shared[next_shared] if next_shared < len(shared) else None
        while at < len(places) and places[at][0] != wanted:
            if places[at][0] not in stated:
                result.append(places[at][1])
            at += 1
        previous = present.get(key)
        result.append(
            _merge_value(previous[0] if previous and len(previous) == 1 else None, item, schema.items)
        )
        if key == wanted:
            next_shared += 1
    result.extend(item for key, item in places[at:] if key not in stated)
    return result


def _element_or_none(item: Any, schema: Schema) -> str | None:
    try:
        return element(item, schema)
    except KeyMissing:
        return None


def prune(obj: Object, schema: Schema | None, last: FieldSet, kept: FieldSet) -> Object:
    """`obj` without the fields and items in `last`, what a manager applied before, that nobody claims in `kept`."""
    pruned = _prune_fields(obj, schema, last, kept)
    return {} if pruned is _GONE else pruned


def _prune_fields(obj: Object, schema: Schema | None, last: FieldSet, kept: FieldSet) -> Any:
    result: Object | None = None
    for key, node in last.items():
        name = key[2:]
        if not key.startswith("f:") or name not in obj:
            continue
        below = child_schema(schema, name)
        claims = kept.get(key)
        is_field = schema is not None and name in schema.fields
        if claims is None and (is_field or is_member(node)):
            new: Any = _GONE
        else:
            new = _prune(obj[name], below, node, claims or {})
        if new is obj[name]:
            continue
        if result is None:
            result = dict(obj)
        if new is _GONE:
            del result[name]
        else:
            result[name] = new
    if result is None:
        return obj
    return result or _GONE


def _prune(value: Any, schema: Schema | None, last: FieldSet, kept: FieldSet) -> Any:
    """A field or item that stays, without what is to go below it; _GONE if that leaves nothing."""
    if isinstance(value, dict) and is_granular_map(schema):
        return _prune_fields(value, schema, last, kept)
    if isinstance(value, list) and schema is not None and is_granular_list(schema):
        return _prune_items(value, schema, last, kept)
    return value


def _prune_items(value: list[Any], schema: Schema, last: FieldSet, kept: FieldSet) -> Any:
    result: list[Any] = []
    changed = False
    for item in value:
        key = _element_or_none(item, schema)
        node = last.get(key) if key is not None else None
        if node is None or key is None:
            result.append(item)
            continue
        claims = kept.get(key)
        # Whoever states an item owns it; owning only a field of it does not keep it.
        if is_member(node) and (claims is None or not is_member(claims)):
            changed = True
            continue
        new = _prune(item, schema.items, node, claims or {})
        changed = changed or new is not item
        if new is not _GONE:
            result.append(new)
    if not changed:
        return value
    return result or _GONE


# --- whether a configuration fits the schema


def violations(applied: Any, schema: Schema) -> list[str]:
    """Where the configuration does not fit, as `<path>: <what>` in structured-merge-diff's words."""
    found: list[str] = []
    _check(applied, schema, "", found)
    return found


def _shown(value: Any) -> str:
    """A value as Go prints it with %v."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _go_string(value: Any) -> str:
    """A value as Go prints it with %#v: the type it came as, and the value."""
    if isinstance(value, bool):
        return f"&value.valueUnstructured{{Value:{str(value).lower()}}}"
    if isinstance(value, (int, float)):
        return f"&value.valueUnstructured{{Value:{value}}}"
    return f"&value.valueUnstructured{{Value:{orjson.dumps(value).decode()}}}"


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"


def _check(value: Any, schema: Schema | None, path: str, found: list[str]) -> None:
    if value is None or schema is None:
        return
    kind = schema.type
    prefix = f"{path}: " if path else ""
    if kind == "object":
        if isinstance(value, dict):
            _check_fields(value, schema, path, found)
        else:
            found.append(f"{prefix}expected map, got {_go_string(value)}")
    elif kind == "array":
        if isinstance(value, list):
            _check_items(value, schema, path, found)
        else:
            found.append(f"{prefix}expected list, got {_go_string(value)}")
    elif schema.int_or_string or schema.format in ("int-or-string", "quantity"):
        if isinstance(value, (dict, list)):
            found.append(f"{prefix}expected any scalar, got {_shown(value)}")
    elif kind == "string":
        if not isinstance(value, str):
            found.append(f"{prefix}expected string, got {_go_string(value)}")
    elif kind == "boolean":
        if not isinstance(value, bool):
            found.append(f"{prefix}expected boolean, got {_shown(value)}")
    elif kind in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, (int, float))):
        found.append(f"{prefix}expected numeric (int or float), got {_go_type(value)}")


def _check_fields(value: Object, schema: Schema, path: str, found: list[str]) -> None:
    fields, values = schema.fields, schema.values
    open_ended = schema.preserve_unknown or (not fields and values is None)
    for key, child in value.items():
        below = fields.get(key) or values
        if below is None and not open_ended:
            found.append(f"{path}.{key}: field not declared in schema")
        else:
            _check(child, below, f"{path}.{key}", found)


def _check_items(value: list[Any], schema: Schema, path: str, found: list[str]) -> None:
    granular = is_granular_list(schema)
    seen: set[str] = set()
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if granular:
            try:
                key = element(item, schema)
            except KeyMissing as error:
                found.append(f"{path}: element {index}: {error}")
                return
            where = path + element_path(key)
            if key in seen:
                found.append(f"{path}: duplicate entries for key {element_path(key)}")
            seen.add(key)
        _check(item, schema.items, where, found)
