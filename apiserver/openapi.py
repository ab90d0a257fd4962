"""OpenAPI documents of what is served: v3 by group and version, and v2 in one piece.

Schemas come from the compiled schema (types, list types, merge keys; no prose). Documents are made when first asked
for and kept as gzip, since clients ask for them seldom; make a new `OpenAPI` when the resources change.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from apimachinery import schema
from apimachinery.resources import Resource
from apiserver import openapi_paths, openapi_prose
from apiserver.discovery import version_order

Object = dict[str, Any]

INFO = {"title": "Kubernetes", "version": "v1.36.0+pybernetes"}
#: What clients ask for: the first is the older name, which is no valid media type; answers carry the second.
PROTOBUF_V2_ASKED = (
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
)
PROTOBUF_V2 = PROTOBUF_V2_ASKED[1]
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_ANYTHING: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
#: Bodies every group version speaks of.
_ALWAYS = (_META + "Status", _META + "DeleteOptions", _META + "Patch", _META + "WatchEvent")


@dataclass(frozen=True, slots=True)
class Document:
    """A document ready to send. `etag` is without quotes; the body is kept compressed."""

    compressed: bytes
    content_type: str
    etag: str

    @property
    def body(self) -> bytes:
        return gzip.decompress(self.compressed)


@lru_cache(maxsize=1)
def _schema_digest() -> str:
    """A digest of the compiled schema, which all built-in documents follow from."""
    digest = hashlib.sha256()
    for name in schema.definition_names():
        digest.update(name.encode())
        digest.update(orjson.dumps(schema.raw_definition(name)))
    return digest.hexdigest()


class OpenAPI:
    """The documents of a set of resources. `custom` gives the openAPIV3Schema of custom kinds by (apiVersion, kind)."""

    def __init__(
        self,
        resources: Iterable[Resource],
        custom: dict[tuple[str, str], Object] | None = None,
        *,
        before: OpenAPI | None = None,
    ) -> None:
        """`before`: documents made for other resources, of which those that are still right are kept."""
        self._resources: dict[str, list[Resource]] = {}
        for resource in resources:
            self._resources.setdefault(resource.base_path.strip("/"), []).append(resource)
        self._custom = custom or {}
        self._etags: dict[str, str] = {}
        self._documents: dict[str, Document] = dict(before._documents) if before is not None else {}

    def paths(self) -> list[str]:
        """The group versions that have a v3 document: `api/v1`, `apis/apps/v1`."""
        return sorted(
            self._resources, key=lambda p: (p.rpartition("/")[0], version_order(p.rpartition("/")[2]))
        )

    def etag(self, path: str) -> str:
        """The hash of one group version's document. Needs no document to be made."""
        etag = self._etags.get(path)
        if etag is None:
            about: list[Any] = [_schema_digest()]
            for resource in self._resources[path]:
                about += [repr(resource), self._custom.get((resource.api_version, resource.kind))]
            etag = self._etags[path] = hashlib.sha512(orjson.dumps(about)).hexdigest().upper()
        return etag

    def index(self) -> Object:
        """The answer of /openapi/v3."""
        found = {p: {"serverRelativeURL": f"/openapi/v3/{p}?hash={self.etag(p)}"} for p in self.paths()}
        return {"paths": found}

    def v3(self, path: str) -> Document | None:
        """The document of /openapi/v3/<path>, such as `apis/apps/v1`; None where there is none."""
        path = path.strip("/")
        if path not in self._resources:
            return None
        return self._kept(path, "application/json", self.etag(path), lambda: orjson.dumps(self._v3(path)))

    def v2(self) -> Document:
        """The answer of /openapi/v2 in JSON."""
        return self._kept("v2", "application/json", self._v2_etag(), lambda: orjson.dumps(self._v2()))

    def v2_protobuf(self) -> Document:
        """The answer of /openapi/v2 for clients that ask for gnostic's protobuf form."""
        from apiserver import openapi_protobuf

        return self._kept(
            "v2.pb", PROTOBUF_V2, self._v2_etag("pb"), lambda: openapi_protobuf.encode(self._v2())
        )

    def _v2_etag(self, form: str = "") -> str:
        text = form + "".join(self.etag(path) for path in self.paths())
        return hashlib.sha512(text.encode()).hexdigest().upper()

    def _kept(self, key: str, content_type: str, etag: str, make: Any) -> Document:
        found = self._documents.get(key)
        if found is None or found.etag != etag:
            compressed = gzip.compress(make(), 5, mtime=0)
            found = self._documents[key] = Document(compressed, content_type, etag)
        return found

    def _definition_name(self, resource: Resource) -> str:
        """The definition of a resource's kind; a custom one is named after its reversed group."""
        if not resource.custom:
            return schema.definition_of(resource.api_version, resource.kind)
        group = ".".join(reversed(resource.group.split(".")))
        return f"{group}.{resource.version}.{resource.kind}"

    def _definitions(self, resources: Iterable[Resource], *, old: bool = False) -> dict[str, Object]:
        """Raw definitions of all that these resources' requests and answers hold, by name. `old`: for OpenAPI v2."""
        result: dict[str, Object] = {}
        wanted = list(_ALWAYS)
        for resource in resources:
            name = self._definition_name(resource)
            if resource.custom:
                self._add_custom(result, resource, name, old=old)
                wanted += [_META + "ObjectMeta", _META + "ListMeta"]
            else:
                wanted.append(name)
                listed = schema.definition_of(resource.api_version, resource.list_kind)
                if listed and "list" in resource.verbs:
                    wanted.append(listed)
            for sub in resource.subresources:
                body = schema.definition_of(sub.api_version, sub.kind) if sub.kind else ""
                if body:
                    wanted.append(body)
        while wanted:
            name = wanted.pop()
            if name in result:
                continue
            result[name] = openapi_prose.worded(name, schema.raw_definition(name))
            wanted.extend(_references(result[name]))
        return result

    def _add_custom(self, result: dict[str, Object], resource: Resource, name: str, *, old: bool) -> None:
        raw = self._custom.get((resource.api_version, resource.kind)) or _ANYTHING
        gvk = {"group": resource.group, "version": resource.version}
        strings = openapi_prose.type_meta()
        if old and raw.get("x-kubernetes-preserve-unknown-fields"):
            # Old clients take what is listed for all there may be: so nothing is.
            shown: Object = {"type": "object"}
        else:
            raw = _for_old_clients(raw) if old else raw
            metadata = {"$ref": _META + "ObjectMeta", "description": openapi_prose.METADATA}
            shown = {**raw, "properties": {**strings, "metadata": metadata, **_without_meta(raw)}}
        result[name] = {**shown, "x-kubernetes-group-version-kind": [{**gvk, "kind": resource.kind}]}
        result[name + "List"] = {
            "description": f"{resource.list_kind} is a list of {resource.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                **strings,
                "items": {
                    "type": "array",
                    "items": {"$ref": name},
                    "description": f"The objects of the list, each a {resource.kind}.",
                },
                "metadata": {"$ref": _META + "ListMeta", "description": openapi_prose.LIST_METADATA},
            },
            "x-kubernetes-group-version-kind": [{**gvk, "kind": resource.list_kind}],
        }

    def _v3(self, path: str) -> Object:
        resources = self._resources[path]
        definitions = self._definitions(resources)
        paths: Object = {}
        for resource in sorted(resources, key=lambda r: r.plural):
            paths |= openapi_paths.v3(resource, self._definition_name(resource))
        return {
            "openapi": "3.0.0",
            "info": INFO,
            "paths": paths,
            "components": {
                "schemas": {name: _v3_schema(definitions[name], name) for name in sorted(definitions)}
            },
        }

    def _v2(self) -> Object:
        resources = [resource for path in self.paths() for resource in self._resources[path]]
        definitions = self._definitions(resources, old=True)
        paths: Object = {}
        for resource in sorted(resources, key=lambda r: (r.base_path, r.plural)):
            paths |= openapi_paths.v2(resource, self._definition_name(resource))
        return {
            "swagger": "2.0",
            "info": INFO,
            "paths": paths,
            "definitions": {name: _v2_schema(definitions[name]) for name in sorted(definitions)},
        }


def _without_meta(raw: Object) -> Object:
    return {k: v for k, v in raw.get("properties", {}).items() if k not in ("apiVersion", "kind", "metadata")}


def _for_old_clients(raw: Object) -> Object:
    """A custom resource's schema in what OpenAPI v2 can say, which is less: what it cannot is left open."""
    kept = {
        key: value for key, value in raw.items() if key not in ("allOf", "anyOf", "oneOf", "not", "nullable")
    }
    if raw.get("nullable"):
        kept.pop("type", None)
    if raw.get("nullable") or raw.get("x-kubernetes-preserve-unknown-fields"):
        return {k: v for k, v in kept.items() if k not in ("items", "properties", "additionalProperties")}
    optional = [key for key, child in (raw.get("properties") or {}).items() if child.get("nullable")]
    required = [key for key in raw.get("required") or () if key not in optional]
    if required:
        kept["required"] = required
    else:
        kept.pop("required", None)
    return _below(kept, _for_old_clients)


def _references(raw: Any) -> list[str]:
    """The definitions a raw schema names."""
    found: list[str] = []
    pending = [raw]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str):
                found.append(ref)
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return found


#: Keywords whose values are schemas: one, a list, or a map of them.
_ONE = ("items", "additionalProperties", "not")
_LIST = ("allOf", "anyOf", "oneOf")


def _below(raw: Object, convert: Any) -> Object:
    """A schema with `convert` applied to the schemas in it."""
    result = dict(raw)
    for key in _ONE:
        if isinstance(result.get(key), dict):
            result[key] = convert(result[key])
    for key in _LIST:
        if key in result:
            result[key] = [convert(item) for item in result[key]]
    if "properties" in result:
        result["properties"] = {name: convert(child) for name, child in result["properties"].items()}
    return result


def _v3_schema(raw: Object, name: str = "") -> Object:
    if name == _QUANTITY:
        return {"oneOf": [{"type": "string"}, {"type": "number"}]}
    if name == _INT_OR_STRING:
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    ref = raw.get("$ref")
    if ref is not None:
        target = {"$ref": f"#/components/schemas/{ref}"}
        beside = {k: v for k, v in raw.items() if k != "$ref"}
        return {"allOf": [target], **beside} if beside else target
    result = _below(raw, _v3_schema)
    return _without_marks(result, name)


def _v2_schema(raw: Object) -> Object:
    ref = raw.get("$ref")
    if ref is not None:
        return {**raw, "$ref": f"#/definitions/{ref}"}
    result = _below(raw, _v2_schema)
    # OpenAPI v2 knows none of these; Kubernetes leaves them out for old clients too.
    for key in ("oneOf", "anyOf", "not", "nullable"):
        result.pop(key, None)
    return _without_marks(result, "")


def _without_marks(result: Object, name: str) -> Object:
    """Drop what is only ours: Kubernetes's documents do not mark its own open-ended types this way."""
    if name.startswith("io.k8s.") and result.get("x-kubernetes-preserve-unknown-fields"):
        del result["x-kubernetes-preserve-unknown-fields"]
    if result.get("format") in ("quantity", "micro-time"):
        result["format"] = "date-time" if result["format"] == "micro-time" else ""
        if not result["format"]:
            del result["format"]
    if result.get("format") == "int-or-string":
        result.pop("x-kubernetes-int-or-string", None)
    return result
