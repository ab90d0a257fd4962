"""One object as the cache holds it: its wire bytes, and what selectors ask of it. Pure.

An object is stored as JSON whose first key is `metadata`, without a resourceVersion: that is the revision of
the write, known only afterwards. On the wire it is spliced in at a constant offset, so no object is ever
encoded twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

import orjson

_HEAD = b'{"metadata":{'
_WIRE_HEAD = b'{"metadata":{"resourceVersion":"'

Fields = Callable[[Mapping[str, Any]], dict[str, str]]


def encode(obj: Mapping[str, Any]) -> bytes:
    """The bytes to store for `obj`: metadata first, no resourceVersion. `obj` is not changed."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return orjson.dumps({"metadata": metadata, **{k: v for k, v in obj.items() if k != "metadata"}})


def normal(stored: bytes, obj: Mapping[str, Any]) -> bytes:
    """`stored`, which holds `obj`, in the shape `wire` needs, also if something else wrote it."""
    return stored if stored.startswith(_HEAD) and "resourceVersion" not in obj["metadata"] else encode(obj)


def wire(stored: bytes, revision: int) -> bytes:
    """Stored bytes with their resourceVersion: what get, list and watch send."""
    return b'%s%d",%s' % (_WIRE_HEAD, revision, stored[len(_HEAD) :])


class Entry:
    """An object at a revision. `data` is its wire bytes; `labels` and `fields` are what selectors match.

    Immutable by convention and shared by all readers. The decoded object is not kept; `object()` decodes.
    """

    __slots__ = ("data", "fields", "key", "labels", "name", "namespace", "revision")

    def __init__(
        self,
        key: str,
        namespace: str,
        name: str,
        revision: int,
        data: bytes,
        labels: dict[str, str],
        fields: dict[str, str],
    ) -> None:
        self.key = key
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.data = data
        self.labels = labels
        self.fields = fields

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, revision={self.revision})"

    def object(self) -> dict[str, Any]:
        """The object, freshly decoded: the caller's own."""
        decoded: dict[str, Any] = orjson.loads(self.data)
        return decoded

    def holds(self, stored: bytes) -> bool:
        """Whether this entry's object is the one `stored` encodes (resourceVersion aside)."""
        return self.data[self._tail() :] == stored[len(_HEAD) :]

    def at(self, revision: int) -> Entry:
        """The same object with another resourceVersion: how a deletion is told."""
        data = b'%s%d",%s' % (_WIRE_HEAD, revision, self.data[self._tail() :])
        return Entry(self.key, self.namespace, self.name, revision, data, self.labels, self.fields)

    def holding(self, obj: Mapping[str, Any], fields: dict[str, str]) -> Entry:
        """This entry with another shape of its object: `obj`, with what selectors ask of that."""
        data = wire(encode(obj), self.revision)
        return Entry(self.key, self.namespace, self.name, self.revision, data, labels_of(obj), fields)

    def _tail(self) -> int:
        return len(_WIRE_HEAD) + len(str(self.revision)) + 2


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """A copy of the object's labels; strings are interned, as thousands of objects share them."""
    labels = obj["metadata"].get("labels")
    return {intern(key): intern(value) for key, value in labels.items()} if labels else {}
