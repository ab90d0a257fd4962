"""The schema of every built-in kind, read lazily from data/schema-v1.36.json.gz (made by tools/compile_schema.py).

A `Schema` is one node. Nodes of named definitions are shared, and built when first looked at, so a process pays
only for the kinds it touches. Schemas of custom resources are built by `from_openapi`.
"""

from __future__ import annotations

import os.path
import zlib
from typing import Any

import orjson

from apimachinery.resources import Resource

_DATA = os.path.join(os.path.dirname(__file__), "data", "schema-v1.36.json.gz")
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

GroupVersionKind = tuple[str, str, str]


class Schema:
    """One node of a schema. Everything is fixed; `fields`, `items` and `values` are built on first use."""

    __slots__ = (
        "_fields",
        "_items",
        "_values",
        "decoder",
        "format",
        "gvk",
        "int_or_string",
        "list_map_keys",
        "list_type",
        "map_type",
        "patch_merge_key",
        "patch_strategy",
        "preserve_unknown",
        "raw",
        "ref",
        "required",
        "type",
    )

    def __init__(self, raw: dict[str, Any], ref: str = "") -> None:
        self.raw = raw
        #: The definition's name ("io.k8s.api.core.v1.PodSpec"), or empty for an inline schema.
        self.ref = ref
        #: "object", "array", "string", "integer", "number", "boolean"; empty: anything.
        self.type: str = raw.get("type", "")
        #: int32, int64, double, byte, date-time, micro-time, quantity, int-or-string or empty.
        self.format: str = raw.get("format", "")
        self.required: tuple[str, ...] = tuple(raw.get("required", ()))
        self.int_or_string: bool = raw.get("x-kubernetes-int-or-string", False)
        self.preserve_unknown: bool = raw.get("x-kubernetes-preserve-unknown-fields", False)
        #: "atomic", "set", "map", or empty where the schema does not say (which means atomic).
        self.list_type: str = raw.get("x-kubernetes-list-type", "")
        self.list_map_keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys", ()))
        self.map_type: str = raw.get("x-kubernetes-map-type", "")
        strategy: str = raw.get("x-kubernetes-patch-strategy", "")
        self.patch_strategy: tuple[str, ...] = tuple(strategy.split(",")) if strategy else ()
        self.patch_merge_key: str = raw.get("x-kubernetes-patch-merge-key", "")
        kinds = raw.get("x-kubernetes-group-version-kind", ())
        #: (group, version, kind) of a top-level type that has exactly one.
        self.gvk: GroupVersionKind | None = None
        if len(kinds) == 1:
            self.gvk = (kinds[0]["group"], kinds[0]["version"], kinds[0]["kind"])
        self._fields: dict[str, Schema] | None = None
        self._items: Schema | None = None
        self._values: Schema | None = None
        #: Room for decode.py to keep what it makes of this node.
        self.decoder: Any = None

    @property
    def fields(self) -> dict[str, Schema]:
        """The properties by name; empty for a map, a scalar, or an object of any shape."""
        fields = self._fields
        if fields is None:
            fields = {name: _node(child) for name, child in self.raw.get("properties", {}).items()}
            self._fields = fields
        return fields

    @property
    def items(self) -> Schema | None:
        """The schema of an array's elements."""
        if self._items is None and "items" in self.raw:
            self._items = _node(self.raw["items"])
        return self._items

    @property
    def values(self) -> Schema | None:
        """The schema of a map's values."""
        if self._values is None and isinstance(self.raw.get("additionalProperties"), dict):
            self._values = _node(self.raw["additionalProperties"])
        return self._values

    def __repr__(self) -> str:
        return f"Schema({self.ref or self.type or 'any'})"


_lines: dict[str, bytes] = {}
_kinds: dict[tuple[str, str], str] = {}
_nodes: dict[str, Schema] = {}
_GVK = b'"x-kubernetes-group-version-kind":'


def _load() -> None:
    """Index the data by name and kind; the JSON of a definition is parsed only when it is asked for."""
    with open(_DATA, "rb") as file:
        text = zlib.decompress(file.read(), 31)
    for line in text.split(b"\n"):
        head, _, body = line.partition(b"\t")
        name = head.decode()
        _lines[name] = body
        start = body.find(_GVK)
        if start < 0:
            continue
        start += len(_GVK)
        for gvk in orjson.loads(body[start : body.index(b"]", start) + 1]):
            api_version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
            _kinds.setdefault((api_version, gvk["kind"]), name)


def _node(raw: dict[str, Any]) -> Schema:
    """The node of a raw schema: the shared one where it is a bare reference."""
    ref = raw.get("$ref")
    if ref is None:
        return Schema(raw)
    if len(raw) == 1:
        return definition(ref)
    # A reference with extensions beside it, such as `patch-strategy: retainKeys` on a Deployment's strategy.
    return Schema({**definition(ref).raw, **{k: v for k, v in raw.items() if k != "$ref"}}, ref)


def definition(name: str) -> Schema:
    """The shared node of a definition. KeyError where there is none."""
    node = _nodes.get(name)
    if node is None:
        if not _lines:
            _load()
        node = _nodes[name] = Schema(orjson.loads(_lines[name]), name)
    return node


def raw_definition(name: str) -> dict[str, Any]:
    """The JSON of a definition, parsed anew (for OpenAPI documents; not kept). References are bare names."""
    if not _lines:
        _load()
    result: dict[str, Any] = orjson.loads(_lines[name])
    return result


def definition_names() -> list[str]:
    """All definitions, sorted."""
    if not _lines:
        _load()
    return list(_lines)


def definition_of(api_version: str, kind: str) -> str:
    """The definition's name of a kind, or empty."""
    if not _lines:
        _load()
    return _kinds.get((api_version, kind), "")


_custom: dict[tuple[str, str], Schema] = {}


def for_kind(api_version: str, kind: str) -> Schema | None:
    """The schema of a kind, also of lists and of kinds that are only bodies (`v1` `DeleteOptions`)."""
    custom = _custom.get((api_version, kind))
    if custom is not None:
        return custom
    name = definition_of(api_version, kind)
    return definition(name) if name else None


#: What is known of a custom resource without a schema: its metadata.
_BARE: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def for_resource(resource: Resource) -> Schema:
    """The schema of a resource's kind. A custom resource without a registered one may hold anything."""
    schema = for_kind(resource.api_version, resource.kind)
    if schema is None:
        schema = from_openapi(_BARE, resource.api_version, resource.kind)
    return schema


def from_openapi(raw: dict[str, Any], api_version: str, kind: str) -> Schema:
    """The schema of a custom resource from its CRD version's openAPIV3Schema, with the fields all objects have."""
    group, _, version = api_version.rpartition("/")
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        **raw.get("properties", {}),
        "metadata": {"$ref": OBJECT_META},
    }
    gvk = {"group": group, "version": version, "kind": kind}
    return Schema(
        {**raw, "type": "object", "properties": properties, "x-kubernetes-group-version-kind": [gvk]}
    )


def register(api_version: str, kind: str, schema: Schema | None) -> None:
    """Make a custom resource's schema known to for_kind; None forgets it."""
    if schema is None:
        _custom.pop((api_version, kind), None)
    else:
        _custom[api_version, kind] = schema
