"""Patches of JSON objects: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge patch.

Every function returns a new object, shares what the patch did not touch with the input, and mutates neither the
object nor the patch. Errors are StatusErrors with Kubernetes's codes and words.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import errors
from apimachinery.strategicpatch import strategic_merge

__all__ = ["json_patch", "merge_patch", "strategic_merge"]

Json = Any

#: Kubernetes's bounds on one JSON patch: operations, and bytes that `copy` operations may add in all.
MAX_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024

_OPERATIONS = frozenset(("add", "remove", "replace", "move", "copy", "test"))
_MISSING: Any = object()


def _does_not_apply() -> errors.StatusError:
    """What the API server answers when a well-formed JSON patch cannot be applied to the object."""
    message = "the server rejected our request due to an error in our request"
    return errors.StatusError(422, "Invalid", message, {})


def too_deep() -> errors.StatusError:
    return errors.bad_request("exceeded max depth")


def merge_patch(obj: Json, patch: Json) -> Json:
    """RFC 7386: maps merge, null removes, anything else replaces."""
    try:
        return _merge(obj, patch)
    except RecursionError:
        raise too_deep() from None


def _merge(target: Json, patch: Json) -> Json:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merge(result.get(key), value)
        else:
            result[key] = value
    return result


def json_patch(obj: Json, ops: Json) -> Json:
    """RFC 6902, with negative list indices as Kubernetes allows them.

    Raises BadRequest for what is not a patch, 413 for too many operations, 422 for one that does not apply.
    """
    if not isinstance(ops, list):
        raise errors.bad_request(
            f"json: cannot unmarshal {_go_type(ops)} into Go value of type jsonpatch.Patch"
        )
    if len(ops) > MAX_OPERATIONS:
        raise errors.too_large(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(ops)}"
        )
    for op in ops:
        if not isinstance(op, dict):
            raise errors.bad_request(
                f"json: cannot unmarshal {_go_type(op)} into Go value of type jsonpatch.Operation"
            )
    document = _Document(obj)
    try:
        for op in ops:
            document.apply(op)
    except RecursionError:
        raise too_deep() from None
    return document.root


def _go_type(value: Json) -> str:
    """What Go's JSON decoder calls a value's kind."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _tokens(pointer: Json) -> list[str]:
    """The reference tokens of a JSON pointer (RFC 6901)."""
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise _does_not_apply()
    if not pointer:
        return []
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _index(token: str, length: int, *, append: bool) -> int:
    """A list index; with `append`, also `-` and the length itself. Negative ones count from the end."""
    if token == "-" and append:
        return length
    digits = token[1:] if token.startswith("-") else token
    if not (digits.isascii() and digits.isdecimal()):
        raise _does_not_apply()
    index = int(token)
    limit = length + 1 if append else length
    if index < 0:
        index += limit
    if not 0 <= index < limit:
        raise _does_not_apply()
    return index


def _equal(left: Json, right: Json) -> bool:
    """JSON equality: numbers by value, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


class _Document:
    """A document being patched: containers are copied when first written to (`owned` keeps those copies)."""

    def __init__(self, root: Json) -> None:
        self.root = root
        self.owned: dict[int, Json] = {}
        self.copied = 0

    def apply(self, op: dict[str, Json]) -> None:
        kind = op.get("op")
        if not isinstance(kind, str) or kind not in _OPERATIONS or "path" not in op:
            raise _does_not_apply()
        path = _tokens(op["path"])
        if kind == "remove":
            self._remove(path)
        elif kind == "add":
            self._add(path, self._value(op))
        elif kind == "replace":
            self._replace(path, self._value(op))
        elif kind == "test":
            self._test(path, op.get("value"))
        elif kind == "move":
            self._move(_tokens(op.get("from")), path)
        else:
            self._copy(_tokens(op.get("from")), path)

    @staticmethod
    def _value(op: dict[str, Json]) -> Json:
        if "value" not in op:
            raise _does_not_apply()
        return op["value"]

    def _get(self, path: list[str]) -> Json:
        node = self.root
        for token in path:
            if isinstance(node, dict):
                node = node.get(token, _MISSING)
            elif isinstance(node, list):
                node = node[_index(token, len(node), append=False)]
            else:
                node = _MISSING
            if node is _MISSING:
                raise _does_not_apply()
        return node

    def _own(self, node: Json) -> Json:
        """`node` itself if this run made it, else a shallow copy that it may write to."""
        if id(node) in self.owned:
            return node
        copy: Json = dict(node) if isinstance(node, dict) else list(node)
        self.owned[id(copy)] = copy
        return copy

    def _parent(self, path: list[str]) -> Json:
        """The writable container that the last token is in; the ones above are made writable too."""
        if not isinstance(self.root, (dict, list)):
            raise _does_not_apply()
        node = self.root = self._own(self.root)
        for token in path[:-1]:
            key: Any = token if isinstance(node, dict) else _index(token, len(node), append=False)
            child = node.get(key) if isinstance(node, dict) else node[key]
            if not isinstance(child, (dict, list)):
                raise _does_not_apply()
            node[key] = child = self._own(child)
            node = child
        return node

    def _add(self, path: list[str], value: Json) -> None:
        if not path:
            self.root = value
            return
        parent = self._parent(path)
        if isinstance(parent, dict):
            parent[path[-1]] = value
        else:
            parent.insert(_index(path[-1], len(parent), append=True), value)

    def _remove(self, path: list[str]) -> None:
        if not path:
            raise _does_not_apply()
        parent = self._parent(path)
        if isinstance(parent, list):
            del parent[_index(path[-1], len(parent), append=False)]
        elif path[-1] in parent:
            del parent[path[-1]]
        else:
            raise _does_not_apply()

    def _replace(self, path: list[str], value: Json) -> None:
        if not path:
            self.root = value
            return
        parent = self._parent(path)
        if isinstance(parent, list):
            parent[_index(path[-1], len(parent), append=False)] = value
        elif path[-1] in parent:
            parent[path[-1]] = value
        else:
            raise _does_not_apply()

    def _test(self, path: list[str], value: Json) -> None:
        parent = self._get(path[:-1]) if path else None
        if isinstance(parent, dict) and path[-1] not in parent:
            found = None  # a field that is not there equals null
        else:
            found = self._get(path)
        if not _equal(found, value):
            raise _does_not_apply()

    def _move(self, source: list[str], path: list[str]) -> None:
        if path[: len(source)] == source and len(path) > len(source):
            raise _does_not_apply()
        value = self._get(source)
        self._remove(source)
        self._add(path, value)

    def _copy(self, source: list[str], path: list[str]) -> None:
        value = self._get(source)
        # The copy shares its containers with the source, so both must be copied again before a later write.
        self.owned.clear()
        if isinstance(value, (dict, list, str)):
            self.copied += len(orjson.dumps(value))
            if self.copied > MAX_COPIED_BYTES:
                raise _does_not_apply()
        self._add(path, value)
