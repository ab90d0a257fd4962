"""What a schema must be like to be structural (KEP-1693), in the words of Kubernetes's CRD validation."""

from __future__ import annotations

import copy
from typing import Any

from apimachinery.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from apimachinery.structural import shape, values

Raw = dict[str, Any]
Errors = list[FieldError]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = {
    "$ref": "$ref is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "id": "id is not supported",
    "patternProperties": "patternProperties is not supported",
    "additionalItems": "additionalItems is not supported",
}
#: What only the structure itself may say, not a schema below allOf, anyOf, oneOf or not.
_STRUCTURAL = (
    "additionalProperties", "default", "description", "nullable", "title", "type", "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
)  # fmt: skip
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_WHERE = {"item": "for specified array items", "field": "for specified object fields", "root": "at the root"}


def check(errs: Errors, raw: Raw, path: str) -> None:
    """Add what is wrong with the schema of a whole object."""
    _check(errs, raw, path, "root")
    if shape.any_with(raw, "x-kubernetes-validations"):
        from apimachinery.structural import (
            celrules,
        )  # the evaluator is loaded where there is something to evaluate

        celrules.check(errs, raw, path)
    metadata = (raw.get("properties") or {}).get("metadata")
    if metadata is not None:
        here = f"{path}.properties[metadata]"
        if metadata.get("type") != "object":
            errs.append(invalid_value(f"{here}.type", metadata.get("type") or "", "must be object"))
        allowed = {key for key in metadata if key not in ("type", "description", "title", "properties")}
        if allowed or set(metadata.get("properties") or ()) - {"name", "generateName"}:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errs.append(forbidden_field(here, text))


def _check(errs: Errors, raw: Raw, path: str, level: str) -> None:
    kind = raw.get("type") or ""
    either = raw.get("x-kubernetes-int-or-string", False)
    if kind and kind not in _TYPES:
        errs.append(not_supported(f"{path}.type", kind, _TYPES))
    if level == "root":
        if not kind:
            errs.append(required(f"{path}.type", "must not be empty at the root"))
        elif kind != "object":
            errs.append(invalid_value(f"{path}.type", kind, "must be object at the root"))
        if raw.get("additionalProperties") is not None:
            errs.append(forbidden_field(f"{path}.additionalProperties", "must not be used at the root"))
    elif not kind and not either and not raw.get("x-kubernetes-preserve-unknown-fields"):
        errs.append(required(f"{path}.type", f"must not be empty {_WHERE[level]}"))
    if either and kind:
        text = "must be empty if x-kubernetes-int-or-string is true"
        errs.append(invalid_value(f"{path}.type", kind, text))
    if raw.get("x-kubernetes-embedded-resource") and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        problem = invalid_value(f"{path}.type", kind, text) if kind else required(f"{path}.type", text)
        errs.append(problem)
    _keywords(errs, raw, path)
    _lists(errs, raw, path, kind)
    for key in _JUNCTORS:
        for index, branch in enumerate(raw.get(key) or ()):
            _branch(errs, branch, f"{path}.{key}[{index}]", either)
    if isinstance(raw.get("not"), dict):
        _branch(errs, raw["not"], f"{path}.not", False)
    if "default" in raw:
        _default(errs, raw, f"{path}.default")
    for name, child in (raw.get("properties") or {}).items():
        if not (level == "root" and name == "metadata"):
            _check(errs, child, f"{path}.properties[{name}]", "field")
    if isinstance(raw.get("items"), dict):
        _check(errs, raw["items"], f"{path}.items", "item")
    elif kind == "array":
        errs.append(required(f"{path}.items", "must be specified"))
    if isinstance(raw.get("additionalProperties"), dict):
        _check(errs, raw["additionalProperties"], f"{path}.additionalProperties", "field")


def _keywords(errs: Errors, raw: Raw, path: str) -> None:
    for key, text in _UNSUPPORTED.items():
        if raw.get(key):
            errs.append(forbidden_field(f"{path}.{key}", text))
    if raw.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errs.append(forbidden_field(f"{path}.uniqueItems", text))
    extra = raw.get("additionalProperties")
    if extra is False:
        text = "additionalProperties cannot be set to false"
        errs.append(forbidden_field(f"{path}.additionalProperties", text))
    elif extra is not None and raw.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        errs.append(forbidden_field(f"{path}.additionalProperties", text))
    if raw.get("pattern") and values.pattern(raw["pattern"]) is None:
        text = "must be a valid regular expression, but isn't"
        errs.append(invalid_value(f"{path}.pattern", raw["pattern"], text))
    if isinstance(raw.get("items"), list):
        errs.append(forbidden_field(f"{path}.items", "items must be a schema object and not an array"))


def _lists(errs: Errors, raw: Raw, path: str, kind: str) -> None:
    list_type, keys = raw.get("x-kubernetes-list-type"), raw.get("x-kubernetes-list-map-keys") or ()
    here = f"{path}.x-kubernetes-list-map-keys"
    if list_type is not None:
        if list_type not in ("atomic", "set", "map"):
            supported = ("atomic", "map", "set")
            errs.append(not_supported(f"{path}.x-kubernetes-list-type", list_type, supported))
        if kind != "array":
            text = "must be array if x-kubernetes-list-type is specified"
            errs.append(invalid_value(f"{path}.type", kind, text))
    if list_type != "map":
        if keys:
            text = "must be map if x-kubernetes-list-map-keys is non-empty"
            errs.append(invalid_value(f"{path}.x-kubernetes-list-type", list_type or "", text))
    elif not keys:
        errs.append(required(here, "must not be empty if x-kubernetes-list-type is map"))
    else:
        _map_keys(errs, raw.get("items") if isinstance(raw.get("items"), dict) else {}, path, keys)
    map_type = raw.get("x-kubernetes-map-type")
    if map_type is not None:
        if map_type not in ("atomic", "granular"):
            errs.append(not_supported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular")))
        if kind != "object":
            text = "must be object if x-kubernetes-map-type is specified"
            errs.append(invalid_value(f"{path}.type", kind, text))


def _map_keys(errs: Errors, items: Raw | None, path: str, keys: Any) -> None:
    items = items or {}
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        errs.append(invalid_value(f"{path}.items.type", items.get("type") or "", text))
    properties, needed = items.get("properties") or {}, items.get("required") or ()
    for index, key in enumerate(keys):
        if key not in properties:
            text = "entries must all be names of item properties"
            errs.append(invalid_value(f"{path}.x-kubernetes-list-map-keys[{index}]", key, text))
        elif key not in needed and "default" not in properties[key]:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errs.append(required(f"{path}.items.properties[{key}].default", text))


def _branch(errs: Errors, raw: Raw, path: str, either: bool) -> None:
    """A schema below a junctor: it may restrict values, not say what there is."""
    for key in _STRUCTURAL:
        if key in raw and not (key == "type" and either) and raw[key] not in (None, False, ""):
            errs.append(forbidden_field(f"{path}.{key}", "must be empty to be structural"))
    for key in _JUNCTORS:
        for index, branch in enumerate(raw.get(key) or ()):
            _branch(errs, branch, f"{path}.{key}[{index}]", either)
    if isinstance(raw.get("not"), dict):
        _branch(errs, raw["not"], f"{path}.not", False)
    for name, child in (raw.get("properties") or {}).items():
        _branch(errs, child, f"{path}.properties[{name}]", False)
    if isinstance(raw.get("items"), dict):
        _branch(errs, raw["items"], f"{path}.items", False)


def _default(errs: Errors, raw: Raw, path: str) -> None:
    """A default must be what it would become: without unknown fields, and valid."""
    given = raw["default"]
    pruned = copy.deepcopy(given)
    dropped: list[str] = []
    shape.prune(pruned, raw, dropped)
    if dropped:
        errs.append(invalid_value(path, given, f"must be a value pruned by the schema: {', '.join(dropped)}"))
        return
    shape.default(pruned, raw)
    values.validate(errs, pruned, raw, path)
