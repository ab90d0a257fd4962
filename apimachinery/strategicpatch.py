"""Strategic merge patch: a merge patch that knows from the schema how lists and maps merge.

Directives (Kubernetes's api-conventions and the strategic-merge-patch design): `$patch: replace|delete|merge`,
`$retainKeys`, `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`.
"""

from __future__ import annotations

from typing import Any

from apimachinery import errors
from apimachinery.schema import Schema

Object = dict[str, Any]

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_MISSING: Any = object()


def strategic_merge(obj: Object, patch: Any, schema: Schema) -> Object:
    """`obj` with the strategic merge `patch` of an object with this `schema`. BadRequest if the patch is malformed."""
    if not isinstance(patch, dict):
        raise errors.bad_request("invalid JSON document")
    try:
        return _merge_map(obj, patch, schema)
    except RecursionError:
        raise errors.bad_request("exceeded max depth") from None


def _go(value: Any) -> str:
    """A value as Go's %v prints it, for messages."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_go(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _child(schema: Schema | None, key: str) -> Schema | None:
    if schema is None:
        return None
    return schema.fields.get(key) or schema.values


def _is_replaced(schema: Schema | None) -> bool:
    return schema is not None and "replace" in schema.patch_strategy


def _is_merged(schema: Schema | None) -> bool:
    return schema is not None and "merge" in schema.patch_strategy


def _is_directive(key: str) -> bool:
    return key.startswith("$") and (key in (_PATCH, _RETAIN) or key.startswith((_DELETE_PRIMITIVES, _ORDER)))


def _plain(patch: Any) -> Any:
    """What a patch puts where nothing is yet: without directives and nulls."""
    if isinstance(patch, dict):
        return {k: _plain(v) for k, v in patch.items() if v is not None and not _is_directive(k)}
    if isinstance(patch, list):
        return [
            _plain(item)
            for item in patch
            if not (isinstance(item, dict) and (item.get(_PATCH) == "delete" or item.keys() == {_PATCH}))
        ]
    return patch


def _merge_map(original: Object, patch: Object, schema: Schema | None) -> Object:
    directive = patch.get(_PATCH, _MISSING)
    if directive is not _MISSING:
        if directive == "replace":
            return {k: _plain(v) for k, v in patch.items() if v is not None and not _is_directive(k)}
        if directive == "delete":
            return {}
        if directive != "merge":
            raise errors.bad_request(f"unknown patch type: {_go(directive)} in map: {_go(patch)}")
    result = _retained(original, patch)
    ordered = _merge_ordered_lists(result, patch, schema)
    for key, value in patch.items():
        if key.startswith("$"):
            if key.startswith(_DELETE_PRIMITIVES):
                _delete_primitives(result, key[len(_DELETE_PRIMITIVES) :], value)
                continue
            if _is_directive(key):
                continue
        if key in ordered:
            continue
        if value is None:
            result.pop(key, None)
            continue
        present = result.get(key, _MISSING)
        if isinstance(value, dict) and isinstance(present, dict):
            child = _child(schema, key)
            result[key] = _plain(value) if _is_replaced(child) else _merge_map(present, value, child)
        elif isinstance(value, list) and isinstance(present, list):
            child = _child(schema, key)
            result[key] = _merge_list(present, value, child) if _is_merged(child) else value
        else:
            result[key] = _plain(value)
    return result


def _retained(original: Object, patch: Object) -> Object:
    """A copy of `original`, with only the fields that `$retainKeys` lists, if the patch has it."""
    keep = patch.get(_RETAIN, _MISSING)
    if keep is _MISSING:
        return dict(original)
    if not isinstance(keep, list):
        raise errors.bad_request("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and not _is_directive(key) and key not in keep:
            raise errors.bad_request("invalid patch format of retainKeys")
    return {k: v for k, v in original.items() if k in keep}


def _delete_primitives(result: Object, key: str, values: Any) -> None:
    if not isinstance(values, list):
        raise errors.bad_request("invalid patch format of primitive list")
    present = result.get(key)
    if isinstance(present, list):
        result[key] = [item for item in present if item not in values]


def _merge_ordered_lists(result: Object, patch: Object, schema: Schema | None) -> set[str]:
    """Merge the lists that have a `$setElementOrder` into `result`; answers the fields dealt with."""
    done: set[str] = set()
    for directive, order in patch.items():
        if not directive.startswith(_ORDER):
            continue
        key = directive[len(_ORDER) :]
        present, changes = result.get(key), patch.get(key)
        for part in (order, present, changes):
            if not isinstance(part, (list, type(None))) or order is None:
                raise errors.bad_request("invalid patch format of setElementOrder list")
        child = _child(schema, key)
        merge_key = child.patch_merge_key if child is not None else ""
        if changes is not None:
            _check_order(changes, order, merge_key)
        if present is None and changes is None:
            continue
        if key in patch and changes is None:
            continue  # an explicit null still removes the list
        merged: Any
        if changes is None:
            merged = present
        elif present is None:
            merged = _plain(changes)
        elif _is_merged(child):
            merged = _merge_list(present, changes, child)
        else:
            merged = changes
        result[key] = _in_order(merged, order, present or [], merge_key)
        done.add(key)
    return done


def _check_order(changes: list[Any], order: list[Any], merge_key: str) -> None:
    """Every element the patch adds or changes must be in `$setElementOrder`, in the same order."""
    position = 0
    for item in changes:
        if isinstance(item, dict) and _PATCH in item:
            continue
        wanted = _identity(item, merge_key)
        while position < len(order) and _identity(order[position], merge_key) != wanted:
            position += 1
        if position == len(order):
            raise errors.bad_request(
                f"The order in patch list:\n{_go(changes)}\n doesn't match {_ORDER[:-1]} list:\n{_go(order)}\n"
            )
        position += 1


def _identity(item: Any, merge_key: str) -> Any:
    """What tells list elements apart: the merge key's value, or a primitive itself. 1 and true differ."""
    if merge_key:
        if not isinstance(item, dict):
            raise errors.bad_request("strategic merge patch format is not supported")
        if merge_key not in item:
            raise errors.bad_request(f"map: {_go(item)} does not contain declared merge key: {merge_key}")
        item = item[merge_key]
    if isinstance(item, (dict, list)):
        raise errors.bad_request("strategic merge patch format is not supported")
    return (type(item), item)


def _merge_list(original: list[Any], patch: list[Any], schema: Schema | None) -> list[Any]:
    """Merge a list whose strategy is merge: maps by their merge key, primitives as a set."""
    merge_key = schema.patch_merge_key if schema is not None else ""
    if any(isinstance(item, list) for item in (*original, *patch)):
        raise errors.StatusError(422, "Invalid", "lists of lists are not supported", {})
    if not any(isinstance(item, dict) for item in (*original, *patch)):
        unique = {_identity(item, ""): item for item in (*original, *patch)}
        return _in_order(list(unique.values()), patch, original, "")
    if not all(isinstance(item, dict) for item in (*original, *patch)):
        raise errors.bad_request("strategic merge patch format is not supported")
    if not merge_key:
        raise errors.bad_request("cannot merge lists without merge key")
    original, changes, replaced = _directives(original, patch, merge_key)
    if replaced:
        return [_plain(item) for item in changes]
    items = schema.items if schema is not None else None
    merged = list(original)
    places = {_identity(item, merge_key): i for i, item in reversed(list(enumerate(merged)))}
    for item in changes:
        identity = _identity(item, merge_key)
        place = places.get(identity)
        if place is None:
            places[identity] = len(merged)
            merged.append(_plain(item))
        else:
            merged[place] = _merge_map(merged[place], item, items)
    return _in_order(merged, changes, original, merge_key)


def _directives(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any], bool]:
    """Carry out the elements with `$patch`: (original without the deleted, ordinary elements, whether to replace)."""
    changes: list[Any] = []
    deleted: set[Any] = set()
    replaced = False
    for item in patch:
        directive = item.get(_PATCH, _MISSING)
        if directive is _MISSING:
            changes.append(item)
        elif directive == "delete":
            deleted.add(_identity(item, merge_key))
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            if len(item) > 1:
                changes.append(item)
        else:
            raise errors.bad_request(f"unknown patch type: {_go(directive)} in map: {_go(item)}")
    if deleted:
        original = [item for item in original if _identity(item, merge_key) not in deleted]
    return original, changes, replaced


def _in_order(merged: list[Any], wanted: list[Any], live: list[Any], merge_key: str) -> list[Any]:
    """`merged` with the elements of `wanted` in that order; the rest keep the live order among them.

    An element only the server has goes before the next wanted one that it precedes in the live list; where the
    live list cannot say, wanted elements go first.
    """
    order = {_identity(item, merge_key): i for i, item in reversed(list(enumerate(wanted)))}
    place = {_identity(item, merge_key): i for i, item in reversed(list(enumerate(live)))}
    keyed = [(_identity(item, merge_key), item) for item in merged]
    ours = sorted((pair for pair in keyed if pair[0] in order), key=lambda pair: order[pair[0]])
    theirs = sorted(
        (pair for pair in keyed if pair[0] not in order), key=lambda pair: place.get(pair[0], len(live))
    )
    result: list[Any] = []
    at = 0
    for identity, item in ours:
        here = place.get(identity)
        while here is not None and at < len(theirs) and place.get(theirs[at][0], len(live)) < here:
            result.append(theirs[at][1])
            at += 1
        result.append(item)
    result.extend(item for _, item in theirs[at:])
    return result
