"""Sets of fields in the form managedFields stores them (FieldsV1, KEP-555).

A set is the JSON tree itself, so that stored sets need no parsing: `{"f:spec": {"f:replicas": {}}}`. A node is a
member if it is empty or has the key `.`; the root never is. Path elements: `f:<field>`, `k:<keys of a list item>`,
`v:<value of a set item>`, `i:<index>`. Functions never mutate a set and may share nodes between results.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

FieldSet = dict[str, Any]

MEMBER = "."


def is_member(node: FieldSet) -> bool:
    return not node or MEMBER in node


def _tidy(node: FieldSet) -> FieldSet | None:
    """The one form of a node: `{}` for a lone member, None for nothing."""
    if not node:
        return None
    return {} if len(node) == 1 and MEMBER in node else node


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """All fields of both. At the root an empty set has no members."""
    if not left or left is right:
        return right
    result = dict(left)
    for key, node in right.items():
        present = result.get(key)
        result[key] = node if present is None else _union(present, node)
    return result


def _union(left: FieldSet, right: FieldSet) -> FieldSet:
    if left is right or (not left and not right):
        return left
    if not left:
        return right if MEMBER in right else {MEMBER: {}, **right}
    if not right:
        return left if MEMBER in left else {MEMBER: {}, **left}
    return union(left, right)


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of `left` that are not members of `right`; `left` itself if that is all of them."""
    if not left or not right:
        return left
    result = _difference(left, right, root=True)
    return {} if result is None else result


def _difference(left: FieldSet, right: FieldSet, *, root: bool = False) -> FieldSet | None:
    if not left:
        return None if is_member(right) else left
    if not right and not root:
        return _tidy({k: v for k, v in left.items() if k != MEMBER}) if MEMBER in left else left
    result: FieldSet | None = None
    for key in right.keys() & left.keys():
        old = left[key]
        new = None if key == MEMBER else _difference(old, right[key])
        if new is old:
            continue
        if result is None:
            result = dict(left)
        if new is None:
            del result[key]
        else:
            result[key] = new
    if result is None:
        return left
    return (result or None) if root else _tidy(result)


def exclude(left: FieldSet, right: FieldSet) -> FieldSet:
    """`left` without the members of `right` and everything below them."""
    result: FieldSet | None = None
    for key in right.keys() & left.keys():
        if key == MEMBER:
            continue
        old = left[key]
        new: FieldSet | None = None
        if not is_member(right[key]):
            new = exclude(old, right[key]) if old else old
            if new is old:
                continue
            new = _tidy(new)
        if result is None:
            result = dict(left)
        if new is None:
            del result[key]
        else:
            result[key] = new
    return left if result is None else result


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of both."""
    result: FieldSet = {}
    for key in left.keys() & right.keys():
        node = _intersection(left[key], right[key]) if key != MEMBER else None
        if node is not None:
            result[key] = node
    return result


def _intersection(left: FieldSet, right: FieldSet) -> FieldSet | None:
    both = is_member(left) and is_member(right)
    children = intersection(left, right) if left and right else {}
    if children:
        return {MEMBER: {}, **children} if both else children
    return {} if both else None


def paths(fields: FieldSet) -> list[str]:
    """Every member as Kubernetes prints a path: `.spec.containers[name="a"].image`, sorted."""
    return sorted(_paths(fields, ""))


def _paths(fields: FieldSet, prefix: str) -> Iterator[str]:
    for key, node in fields.items():
        if key == MEMBER:
            continue
        path = prefix + element_path(key)
        if is_member(node):
            yield path
        yield from _paths(node, path)


def element_path(element: str) -> str:
    """One path element as it stands in a path: `.name`, `[key="value"]`, `[="value"]`, `[0]`."""
    kind, _, rest = element.partition(":")
    if kind == "f":
        return "." + rest
    if kind == "k":
        keys = orjson.loads(rest)
        return "[" + ",".join(f"{k}={orjson.dumps(keys[k]).decode()}" for k in sorted(keys)) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


def is_valid(fields: Any) -> bool:
    """Whether a client's FieldsV1 is a tree of known path elements."""
    if not isinstance(fields, dict):
        return False
    for key, node in fields.items():
        kind, colon, rest = key.partition(":")
        if key != MEMBER and (not colon or kind not in ("f", "k", "v", "i")):
            return False
        if kind in ("k", "v"):
            try:
                keys = orjson.loads(rest)
            except orjson.JSONDecodeError:
                return False
            if kind == "k" and not isinstance(keys, dict):
                return False
        if not is_valid(node):
            return False
    return True
