"""Any object of any built-in kind, written in protobuf as Go clients do, is read as it was."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protobuf_encoding import encode

from apimachinery import protobuf, resources, schema
from apimachinery.schema import Schema

Object = dict[str, Any]
DEEPEST = 7
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

KINDS = sorted(
    {(r.api_version, r.kind) for r in resources.BUILTIN}
    | {
        ("v1", "DeleteOptions"),
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest"),
    }
)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=3)


def omitted(definition: str) -> dict[str, bool]:
    """A message's fields: whether JSON leaves them out where they are zero."""
    names = protobuf._names(definition)
    assert names is not None, definition
    found: dict[str, bool] = {}
    for name, left_out in zip(names.json, names.omitted, strict=True):
        found |= omitted(name[1:]) if name.startswith("=") else {name: left_out}
    return found


def values(node: Schema, depth: int, zero: bool = True) -> st.SearchStrategy[Any] | None:
    """Values of a type as JSON has them, which protobuf can tell from no value. None: too deep."""
    if node.type == "array":
        items = values(node.items, depth) if node.items is not None else None
        return None if items is None else st.lists(items, min_size=1, max_size=2)
    if node.values is not None:
        items = values(node.values, depth)
        return None if items is None else st.dictionaries(_TEXT, items, min_size=1, max_size=2)
    if node.type == "boolean":
        return st.booleans() if zero else st.just(True)
    if node.type == "integer":
        wide = 31 if node.format == "int32" else 63
        numbers = st.integers(-(1 << wide), (1 << wide) - 1)
        return numbers if zero else numbers.filter(bool)
    if node.type == "number":
        return st.sampled_from([0.5, -2, 0, 3])
    if node.type == "string":
        return _strings(node, zero)
    if node.ref.startswith(_EXTENSIONS + "JSONSchemaPropsOr"):
        return st.just({"type": "string"})
    if node.preserve_unknown and not node.fields:
        return st.sampled_from([{"a": [1, None, {"b": "c"}]}, {"x": False}])
    return None if depth > DEEPEST else objects(node, depth)


def _strings(node: Schema, zero: bool) -> st.SearchStrategy[Any]:
    if node.format == "date-time":
        return st.just("2026-01-02T03:04:05Z")
    if node.format == "micro-time":
        return st.just("2026-01-02T03:04:05.000006Z")
    if node.format == "quantity":
        return st.sampled_from(["1", "500m", "8Gi"])
    if node.int_or_string:
        return st.sampled_from([0, 5, -1, "http", "25%"])
    if node.format == "byte":
        return st.just("AP8=")
    return st.one_of(st.just(""), _TEXT) if zero else _TEXT


@st.composite
def objects(draw: st.DrawFn, node: Schema, depth: int = 0) -> Object:
    """Objects with some of their fields; the deeper the fewer."""
    left_out = omitted(node.ref)
    names = sorted(node.fields.keys() & left_out.keys())  # apiVersion and kind are in the envelope alone
    chosen = draw(st.lists(st.sampled_from(names), max_size=max(1, 5 - depth), unique=True)) if names else []
    made = {}
    for name in chosen:
        strategy = values(node.fields[name], depth + 1, zero=not left_out[name])
        if strategy is not None:
            made[name] = draw(strategy)
    return made


@pytest.mark.parametrize(("api_version", "kind"), KINDS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_written_is_what_is_read(api_version: str, kind: str, data: st.DataObject) -> None:
    node = schema.for_kind(api_version, kind)
    assert node is not None
    obj = {"apiVersion": api_version, "kind": kind, **data.draw(objects(node))}
    assert protobuf.decode(encode(obj)) == obj
