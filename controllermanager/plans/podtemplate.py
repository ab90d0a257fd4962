"""Pods from templates, and the hash that names a template's children."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from apimachinery import names
from apimachinery.resources import Resource
from controllermanager.plans.ownership import reference

Object = dict[str, Any]

# Without vowels and look-alikes, so that no words come out (Kubernetes's alphabet for generated names).
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


def pod_from_template(
    template: Object, owner: Object, owner_resource: Resource, suffixes: Iterator[str], name: str = ""
) -> Object:
    """The pod `owner` creates. It gets a name at once, `<owner>-<suffix>` unless given, so that a creation that is
    sent twice makes one pod."""
    meta = template.get("metadata") or {}
    base = owner["metadata"]["name"] + "-"
    metadata: Object = {
        "name": name or names.generated(base, next(suffixes)),
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [reference(owner, owner_resource)],
    }
    if not name:
        metadata["generateName"] = base
    for key in ("labels", "annotations", "finalizers"):
        if meta.get(key):
            metadata[key] = meta[key]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


def fnv1a(data: bytes, value: int = _FNV_OFFSET) -> int:
    """The 32-bit FNV-1a hash."""
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


def safe_encode(number: int) -> str:
    """A number as a text that may be part of a name and a label."""
    return "".join(_SAFE[ord(digit) % len(_SAFE)] for digit in str(number))


def template_hash(template: Object, collisions: int = 0) -> str:
    """The pod-template-hash: up to ten safe characters; `collisions` leads to another one."""
    text = json.dumps(_without_nulls(template), sort_keys=True, separators=(",", ":"))
    value = fnv1a(text.encode())
    if collisions:
        value = fnv1a(collisions.to_bytes(8, "little"), value)
    return safe_encode(value)


def same_template(one: Object, other: Object, ignored_label: str) -> bool:
    """Equal but for `ignored_label` and for fields that are null."""
    return bool(_comparable(one, ignored_label) == _comparable(other, ignored_label))


def _comparable(template: Object, ignored_label: str) -> Any:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != ignored_label}
    return _without_nulls({**template, "metadata": {**metadata, "labels": labels or None}})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
