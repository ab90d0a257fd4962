"""How an object divides into fields that are owned one by one, and which of them a change touches (KEP-555).

The schema decides: fields of structs, keys of maps, items of list maps and sets are owned singly; scalars, atomic
lists and atomic maps as a whole. Where the schema knows nothing, maps are granular and lists atomic.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from apimachinery.fieldset import MEMBER, FieldSet
from apimachinery.recurring import Recurring
from apimachinery.schema import Schema

#: Defaults of list map keys that clients leave out (a structural schema says its own by `default`).
_KEY_DEFAULTS = {"io.k8s.api.core.v1.ContainerPort": "TCP", "io.k8s.api.core.v1.ServicePort": "TCP"}


class KeyMissing(ValueError):
    """A list item that its list's type cannot identify; the text says why, as Kubernetes does."""


def is_granular_map(schema: Schema | None) -> bool:
    """Whether the fields of a JSON object with this schema are owned one by one."""
    return schema is None or schema.map_type != "atomic"


def child_schema(schema: Schema | None, key: str) -> Schema | None:
    """The schema of a field or of a map's value; None where anything goes."""
    if schema is None:
        return None
    return schema.fields.get(key) or schema.values


@lru_cache(maxsize=256)
def _ordered_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(keys))


def element(item: Any, schema: Schema) -> str:
    """The path element of a list item; KeyMissing where its list type (set or map) does not allow it."""
    if schema.list_type == "set":
        if isinstance(item, dict):
            raise KeyMissing("associative list without keys has an element that's a map type")
        if isinstance(item, list):
            raise KeyMissing("not supported: associative list with lists as elements")
        if item is None:
            raise KeyMissing("associative list without keys has an element that's an explicit null")
        return "v:" + orjson.dumps(item).decode()
    if item is None:
        raise KeyMissing("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise KeyMissing("associative list with keys may not have non-map elements")
    keys: dict[str, Any] = {}
    for name in _ordered_keys(schema.list_map_keys):
        if name in item:
            keys[name] = item[name]
        else:
            default = _key_default(schema, name)
            if default is not None:
                keys[name] = default
    if not keys:
        listed = " ".join(f'"{name}"' for name in schema.list_map_keys)
        raise KeyMissing(
            f"associative list with keys has an element that omits all key fields [{listed}] "
            "(and doesn't have default values for any key fields)"
        )
    return "k:" + orjson.dumps(keys).decode()


def _key_default(schema: Schema, name: str) -> Any:
    items = schema.items
    if items is None:
        return None
    field = items.fields.get(name)
    if field is not None and "default" in field.raw:
        return field.raw["default"]
    return _KEY_DEFAULTS.get(items.ref) if name == "protocol" else None


def is_granular_list(schema: Schema | None) -> bool:
    return schema is not None and (schema.list_type == "map" or schema.list_type == "set")


def of(value: dict[str, Any], schema: Schema | None) -> FieldSet:
    """The fields an applied configuration states: leaves, list items, keys of maps, empty maps and nulls."""
    result: FieldSet = {}
    fields = schema.fields if schema is not None else {}
    for key, child in value.items():
        child_type = type(child)
        if child_type is dict:
            below = fields.get(key)
            is_field = below is not None
            if below is None and schema is not None:
                below = schema.values
            if not child or not is_granular_map(below):
                result["f:" + key] = {}
                continue
            node = of(child, below)
            if not is_field:
                node = {MEMBER: {}, **node} if node else {}
            elif not node:
                continue
            result["f:" + key] = node
        elif child_type is list:
            below = child_schema(schema, key)
            if below is None or not is_granular_list(below):
                result["f:" + key] = {}
            elif child:
                result["f:" + key] = _items_of(child, below)
        else:
            result["f:" + key] = {}
    return result


def _items_of(value: list[Any], schema: Schema) -> FieldSet:
    result: FieldSet = {}
    items = schema.items
    for item in value:
        key = element(item, schema)
        if type(item) is dict and is_granular_map(items) and key not in result:
            result[key] = {MEMBER: {}, **of(item, items)}
        else:
            result[key] = {}
    return result


# --- what a change touches


def added(value: Any, schema: Schema | None) -> FieldSet:
    """The node of a value that is new as a whole: every field and every container in it."""
    kind = type(value)
    if kind is dict:
        if value and (schema is None or schema.map_type != "atomic"):
            return _added_fields(value, schema, {MEMBER: {}})
    elif kind is list and value and schema is not None and is_granular_list(schema):
        return _added_items(value, schema, {MEMBER: {}})
    return {}


def _added_fields(value: dict[str, Any], schema: Schema | None, result: FieldSet) -> FieldSet:
    if schema is None:
        for key, child in value.items():
            result["f:" + key] = added(child, None)
        return result
    fields = schema.fields
    for key, child in value.items():
        kind = type(child)
        if kind is dict or kind is list:
            result["f:" + key] = added(child, fields.get(key) or schema.values)
        else:
            result["f:" + key] = {}
    return result


def _added_items(value: list[Any], schema: Schema, result: FieldSet) -> FieldSet:
    items = schema.items
    for item in value:
        try:
            key = element(item, schema)
        except KeyMissing:
            continue  # validation refuses such an item; ownership cannot name it
        result[key] = {} if key in result else added(item, items)
    return result


#: Fields that are structs, not pointers, in Kubernetes's Go types: an empty object already has them.
_STRUCTS = frozenset(
    ("metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "resources")
)


def created(obj: dict[str, Any], schema: Schema) -> FieldSet:
    """The fields of a new object. Containers that any object of the kind has are not fields by themselves."""
    result: FieldSet = {}
    fields = schema.fields
    for key, child in obj.items():
        below = fields.get(key) or schema.values
        if child and below is not None and (key in schema.required or key in _STRUCTS):
            kind = type(child)
            if kind is dict and below.map_type != "atomic":
                if key == "spec" and below.ref:
                    node = _created_spec(child, below)
                else:
                    node = created(child, below) if below.fields else _added_fields(child, below, {})
                if node:
                    result["f:" + key] = node
                continue
            if kind is list and is_granular_list(below):
                result["f:" + key] = _added_items(child, below, {})
                continue
        result["f:" + key] = added(child, below)
    return result


_specs: Recurring[tuple[str, FieldSet]] = Recurring()


def _created_spec(spec: dict[str, Any], schema: Schema) -> FieldSet:
    """The fields of a built-in kind's spec, which often is one of a template."""
    key = _specs.key(spec)
    known = _specs.get(key)
    if known is not None and known[0] == schema.ref:
        return known[1]
    fields = created(spec, schema)
    _specs.put(key, (schema.ref, fields))
    return fields


def changes(old: dict[str, Any], new: dict[str, Any], schema: Schema | None) -> tuple[FieldSet, FieldSet]:
    """What differs between two versions of an object: (added or modified, removed)."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    for key, value in new.items():
        if key not in old:
            changed["f:" + key] = added(value, child_schema(schema, key))
            continue
        before = old[key]
        if before is value or before == value:
            continue
        _record("f:" + key, _differences(before, value, child_schema(schema, key)), changed, removed)
    for key, before in old.items():
        if key not in new:
            removed["f:" + key] = added(before, child_schema(schema, key))
    return changed, removed


def _record(
    key: str, result: tuple[FieldSet | None, FieldSet | None], changed: FieldSet, removed: FieldSet
) -> None:
    below_changed, below_removed = result
    if below_changed is not None:
        changed[key] = below_changed
    if below_removed is not None:
        removed[key] = below_removed


def _differences(old: Any, new: Any, schema: Schema | None) -> tuple[FieldSet | None, FieldSet | None]:
    """The same of two unequal values of one field, as nodes; None where there is nothing."""
    is_map = isinstance(old, (dict, type(None))) and isinstance(new, (dict, type(None))) and (old or new)
    if is_map and is_granular_map(schema):
        changed, removed = changes(old or {}, new or {}, schema)
        return changed or None, removed or None
    is_list = isinstance(old, (list, type(None))) and isinstance(new, (list, type(None))) and (old or new)
    if is_list and schema is not None and is_granular_list(schema):
        return _item_differences(old or [], new or [], schema)
    return {}, None


def by_element(value: list[Any], schema: Schema) -> dict[str, list[Any]]:
    """List items by path element; items without one are left out."""
    result: dict[str, list[Any]] = {}
    for item in value:
        try:
            result.setdefault(element(item, schema), []).append(item)
        except KeyMissing:
            continue
    return result


def _item_differences(
    old: list[Any], new: list[Any], schema: Schema
) -> tuple[FieldSet | None, FieldSet | None]:
    changed: FieldSet = {}
    removed: FieldSet = {}
    before, after = by_element(old, schema), by_element(new, schema)
    items = schema.items
    for key, values in after.items():
        previous = before.get(key)
        if previous is None:
            changed[key] = added(values[0], items) if len(values) == 1 else {}
        elif previous == values:
            continue
        elif len(previous) == 1 and len(values) == 1:
            _record(key, _differences(previous[0], values[0], items), changed, removed)
        else:
            changed[key] = {}  # duplicates are one field together
    for key, values in before.items():
        if key not in after:
            removed[key] = added(values[0], items) if len(values) == 1 else {}
    return changed or None, removed or None
