"""Checkers of objects, maps and lists: made once for each Schema node, and only for the fields met.

They change values in place: nulls and unknown fields go, scalars take their canonical form.
"""

from __future__ import annotations

from typing import Any

from apimachinery.decode_scalars import SCALARS, Checker, Mismatch, go_type, keep, unknown
from apimachinery.schema import Schema


def checker(schema: Schema) -> Checker | type:
    """The checker of a node; `str` and `bool` themselves stand for "exactly this type"."""
    check: Checker | type | None = schema.decoder
    if check is None:
        if schema.preserve_unknown and "properties" not in schema.raw:
            check = keep
        elif schema.type == "object":
            check = _map_checker(schema) if "additionalProperties" in schema.raw else _object_checker(schema)
        elif schema.type == "array":
            check = _list_checker(schema)
        elif schema.type == "string":
            check = SCALARS.get(("string", schema.format), str)
        else:
            check = SCALARS.get((schema.type, schema.format), keep)
        schema.decoder = check
    return check


def _object_checker(schema: Schema) -> Checker:
    expected = go_type(schema)
    struct = schema.ref.rpartition(".")[2]
    known = schema.raw.get("properties", {})
    other = keep if schema.preserve_unknown else unknown
    table: dict[str, Checker | type] = {}
    find = table.get

    def check_object(value: Any, dropped: list[str]) -> Any:
        if value.__class__ is not dict:
            raise Mismatch(value, expected)
        gone: list[str] | None = None
        key = ""
        try:
            for key, item in value.items():
                check = find(key)
                if item.__class__ is check:
                    continue
                if check is None:
                    if key in known:
                        check = table[key] = checker(schema.fields[key])
                        if item.__class__ is check:
                            continue
                    else:
                        check = other
                if check is unknown:
                    dropped.append(key)
                    gone = [*(gone or ()), key]
                elif item is None:
                    if check is not keep:
                        gone = [*(gone or ()), key]
                elif check is str or check is bool:
                    raise Mismatch(item, "string" if check is str else "bool")
                else:
                    new = check(item, dropped)
                    if new is not item:
                        value[key] = new
        except Mismatch as mismatch:
            mismatch.struct = mismatch.struct or struct
            mismatch.path.append(key)
            raise
        if gone is not None:
            for key in gone:
                del value[key]
        return value

    return check_object


def _zero(schema: Schema | None) -> Any:
    """What Go makes of a null in a list or map."""
    if schema is None or schema.preserve_unknown:
        return None
    if schema.type == "string" and schema.format in ("quantity", "int-or-string"):
        return "0" if schema.format == "quantity" else 0
    return {"string": "", "boolean": False, "integer": 0, "number": 0, "object": {}, "array": []}.get(
        schema.type
    )


def _map_checker(schema: Schema) -> Checker:
    expected = go_type(schema)
    values = schema.values
    check = checker(values) if values is not None else keep
    exact = check if isinstance(check, type) else None

    def check_map(value: Any, dropped: list[str]) -> Any:
        if value.__class__ is not dict:
            raise Mismatch(value, expected)
        for key, item in value.items():
            if item.__class__ is exact:
                continue
            if item is None:
                value[key] = _zero(values)
            elif exact is not None:
                raise Mismatch(item, "string" if exact is str else "bool")
            else:
                new = check(item, dropped)
                if new is not item:
                    value[key] = new
        return value

    return check_map


def _list_checker(schema: Schema) -> Checker:
    expected = go_type(schema)
    items = schema.items
    check: Checker | type | None = None
    exact: type | None = None

    def check_list(value: Any, dropped: list[str]) -> Any:
        nonlocal check, exact
        if value.__class__ is not list:
            raise Mismatch(value, expected)
        if check is None:
            # Not when the node is made: JSONSchemaProps contains itself.
            check = checker(items) if items is not None else keep
            exact = check if isinstance(check, type) else None
        for index, item in enumerate(value):
            if item.__class__ is exact:
                continue
            if item is None:
                value[index] = _zero(items)
            elif exact is not None:
                raise Mismatch(item, "string" if exact is str else "bool")
            else:
                new = check(item, dropped)
                if new is not item:
                    value[index] = new
        return value

    return check_list
