"""The `paths` of OpenAPI documents: one operation for each verb of a resource and its subresources."""

from __future__ import annotations

from typing import Any

from apimachinery import schema
from apimachinery.resources import Resource, Subresource

Object = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
_JSON, _YAML = "application/json", "application/yaml"

#: verb: (HTTP method, action, prefix of the operation's id, on the collection)
_VERBS = {
    "list": ("get", "list", "list", True),
    "create": ("post", "post", "create", True),
    "deletecollection": ("delete", "deletecollection", "deleteCollection", True),
    "get": ("get", "get", "read", False),
    "update": ("put", "put", "replace", False),
    "patch": ("patch", "patch", "patch", False),
    "delete": ("delete", "delete", "delete", False),
}
_WRITE = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))
_LIST = (
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
)
_DELETE = (
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)
_QUERY: dict[str, tuple[tuple[str, str], ...]] = {
    "list": _LIST,
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, ("force", "boolean")),
    "delete": _DELETE,
    "deletecollection": (*_DELETE, *(p for p in _LIST if p[0] not in ("allowWatchBookmarks", "watch"))),
    "get": (),
}
_BODIES = {"create", "update", "patch", "delete", "deletecollection"}


class _Place:
    """Where one operation is: the resource, the subresource if any, and the definitions of its bodies."""

    def __init__(self, resource: Resource, definition: str, sub: Subresource | None = None) -> None:
        self.resource = resource
        self.sub = sub
        self.definition = definition
        self.listed = definition + "List"
        if sub is not None and sub.name == "log":
            self.definition = ""
        elif sub is not None and sub.kind:
            self.definition = schema.definition_of(sub.api_version, sub.kind)
        group, _, version = resource.api_version.rpartition("/")
        kind = resource.kind
        if sub is not None and sub.kind:
            group, _, version = sub.api_version.rpartition("/")
            kind = sub.kind
        self.gvk = {"group": group, "version": version, "kind": kind}

    def operation_id(self, prefix: str, *, all_namespaces: bool = False) -> str:
        group = "".join(part.capitalize() for part in self.resource.group.removesuffix(".k8s.io").split("."))
        name = f"{prefix}{group or 'Core'}{self.resource.version.capitalize()}"
        if self.resource.namespaced and not all_namespaces:
            name += "Namespaced"
        name += self.resource.kind + (
            "".join(p.capitalize() for p in self.sub.name.split("-")) if self.sub else ""
        )
        return name + ("ForAllNamespaces" if all_namespaces else "")


def _collection(resource: Resource) -> str:
    return resource.path("{namespace}") if resource.namespaced else resource.path()


def _plan(resource: Resource, definition: str) -> list[tuple[str, str, str, _Place, bool]]:
    """(path, method, verb, place, all namespaces) of every operation."""
    here = _Place(resource, definition)
    found: list[tuple[str, str, str, _Place, bool]] = []
    collection = _collection(resource)
    for verb, (method, _, _, on_collection) in _VERBS.items():
        if verb in resource.verbs:
            found.append((collection if on_collection else collection + "/{name}", method, verb, here, False))
    if resource.namespaced and "list" in resource.verbs:
        found.append((resource.path(), "get", "list", here, True))
    for sub in resource.subresources:
        place = _Place(resource, definition, sub)
        for verb in sub.verbs:
            method = _VERBS[verb][0]
            found.append((f"{collection}/{{name}}/{sub.name}", method, verb, place, False))
    return found


def _body(place: _Place, verb: str) -> str:
    if verb == "patch":
        return _META + "Patch"
    return _META + "DeleteOptions" if verb.startswith("delete") else place.definition


def _patches(resource: Resource) -> tuple[str, ...]:
    """The patches a resource takes. Clients look here before they send a strategic one."""
    return tuple(t for t in _PATCHES if "strategic" not in t) if resource.custom else _PATCHES


def _answer(place: _Place, verb: str) -> str:
    if verb == "list":
        return place.listed
    return _META + "Status" if verb.startswith("delete") and place.definition else place.definition


def _schema(prefix: str, definition: str) -> Object:
    """A reference, or text where there is no definition (logs, streams, proxied answers)."""
    return {"$ref": prefix + definition} if definition else {"type": "string"}


def v3(resource: Resource, definition: str) -> Object:
    """The path items of a resource in OpenAPI v3."""
    paths: Object = {}
    for path, method, verb, place, everywhere in _plan(resource, definition):
        item = paths.setdefault(path, {})
        parameters = [
            {**p, "schema": {"type": "string", "uniqueItems": True}} for p in _path_parameters(path)
        ]
        if parameters:
            item["parameters"] = parameters
        reference = {"schema": _schema("#/components/schemas/", _answer(place, verb))}
        operation = _operation(place, verb, everywhere)
        operation["parameters"] = [
            {"name": n, "in": "query", "schema": {"type": t, "uniqueItems": True}} for n, t in _QUERY[verb]
        ]
        if verb in _BODIES and place.definition:
            body = {"schema": _schema("#/components/schemas/", _body(place, verb))}
            types = _patches(resource) if verb == "patch" else ("*/*",)
            operation["requestBody"] = {"content": dict.fromkeys(types, body)}
            if not verb.startswith("delete"):
                operation["requestBody"]["required"] = True
        operation["responses"] = {
            code: {"description": text, "content": dict.fromkeys((_JSON, _YAML), reference)}
            for code, text in _codes(verb)
        }
        item[method] = operation
    return paths


def v2(resource: Resource, definition: str) -> Object:
    """The path items of a resource in OpenAPI v2."""
    paths: Object = {}
    for path, method, verb, place, everywhere in _plan(resource, definition):
        item = paths.setdefault(path, {})
        parameters = [{**p, "type": "string", "uniqueItems": True} for p in _path_parameters(path)]
        if parameters:
            item["parameters"] = parameters
        operation = _operation(place, verb, everywhere)
        operation["consumes"] = list(_patches(resource)) if verb == "patch" else ["*/*"]
        operation["produces"] = [_JSON, _YAML]
        operation["schemes"] = ["https"]
        operation["parameters"] = [
            {"name": n, "in": "query", "type": t, "uniqueItems": True} for n, t in _QUERY[verb]
        ]
        if verb in _BODIES and place.definition:
            body: Object = {"name": "body", "in": "body"}
            if not verb.startswith("delete"):
                body["required"] = True
            body["schema"] = _schema("#/definitions/", _body(place, verb))
            operation["parameters"].insert(0, body)
        reference = _schema("#/definitions/", _answer(place, verb))
        operation["responses"] = {c: {"description": t, "schema": reference} for c, t in _codes(verb)}
        item[method] = operation
    return paths


def _operation(place: _Place, verb: str, everywhere: bool) -> Object:
    _, action, prefix, _ = _VERBS[verb]
    group = "_".join(place.resource.group.removesuffix(".k8s.io").split(".")) or "core"
    if (
        place.sub is not None
        and place.sub.verbs
        and place.sub.name in ("exec", "attach", "portforward", "proxy")
    ):
        action = "connect"
        prefix = {"get": "connectGet", "create": "connectPost"}.get(verb, "connect" + verb.capitalize())
    return {
        "tags": [f"{group}_{place.resource.version}"],
        "operationId": place.operation_id(prefix, all_namespaces=everywhere),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": place.gvk,
    }


def _path_parameters(path: str) -> list[Object]:
    return [{"name": n, "in": "path", "required": True} for n in ("name", "namespace") if f"{{{n}}}" in path]


def _codes(verb: str) -> tuple[tuple[str, str], ...]:
    ok, created, accepted = ("200", "OK"), ("201", "Created"), ("202", "Accepted")
    if verb == "create":
        return (ok, created, accepted)
    if verb in ("update", "patch"):
        return (ok, created)
    return (ok, accepted) if verb == "delete" else (ok,)
