"""Structural schemas: pruning, defaults and validation of custom objects."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.errors import FieldError
from apimachinery.structural import rules, shape, values

Object = dict[str, Any]
_NAMES = st.sampled_from(["a", "b", "c", "d"])


def _leaves() -> st.SearchStrategy[Object]:
    return st.one_of(
        st.just({"type": "string"}),
        st.just({"type": "integer", "default": 7}),
        st.just({"type": "boolean", "nullable": True}),
        st.just({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        st.just({"x-kubernetes-int-or-string": True}),
    )


def _schemas() -> st.SearchStrategy[Object]:
    return st.recursive(
        _leaves(),
        lambda inner: st.one_of(
            st.builds(lambda p: {"type": "object", "properties": p}, st.dictionaries(_NAMES, inner)),
            st.builds(lambda v: {"type": "object", "additionalProperties": v}, inner),
            st.builds(lambda v: {"type": "array", "items": v}, inner),
        ),
        max_leaves=8,
    )


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "x", "5"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_NAMES, inner, max_size=4)),
    max_leaves=12,
)


@given(_VALUES, _schemas())
def test_pruning_twice_is_pruning_once(value: Any, raw: Object) -> None:
    first: list[str] = []
    shape.prune(value, raw, first)
    once = copy.deepcopy(value)
    again: list[str] = []
    shape.prune(value, raw, again)
    assert (value, again) == (once, [])


@given(_VALUES, _schemas())
def test_filling_twice_is_filling_once(value: Any, raw: Object) -> None:
    before = copy.deepcopy(value)
    changed = shape.default(value, raw)
    assert changed == (value != before) or value == before
    once = copy.deepcopy(value)
    assert not shape.default(value, raw)
    assert value == once


@given(_VALUES, _schemas())
def test_any_value_is_judged_and_none_changed(value: Any, raw: Object) -> None:
    before = copy.deepcopy(value)
    found: list[FieldError] = []
    values.validate(found, value, raw, "spec")
    assert value == before
    assert all(problem.field.startswith("spec") for problem in found)
    unchanged: list[FieldError] = []
    values.validate(unchanged, value, raw, "spec", before)
    assert unchanged == []


@given(_VALUES, _schemas())
def test_what_pruning_leaves_the_schema_knows(value: Any, raw: Object) -> None:
    shape.prune(value, raw, [])

    def check(item: Any, node: Object) -> None:
        if isinstance(item, dict) and node.get("type") == "object":
            known, others = node.get("properties") or {}, node.get("additionalProperties")
            for key, child in item.items():
                assert key in known or others or node.get("x-kubernetes-preserve-unknown-fields")
                if key in known or others:
                    check(child, known.get(key) or others)
        elif isinstance(item, list) and node.get("type") == "array":
            for child in item:
                check(child, node["items"])

    check(value, raw)


def problems(value: Any, raw: Object, path: str = "f") -> list[str]:
    found: list[FieldError] = []
    values.validate(found, value, raw, path)
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    ("value", "raw", "expected"),
    [
        ("x", {"type": "integer"}, 'f: Invalid value: "string": f in body must be of type integer: "string"'),
        (1.5, {"type": "integer"}, 'f: Invalid value: "number": f in body must be of type integer: "number"'),
        (None, {"type": "string"}, 'f: Invalid value: "null": f in body must be of type string: "null"'),
        (
            True,
            {"x-kubernetes-int-or-string": True},
            'f: Invalid value: "boolean": f in body must be of type integer,string: "boolean"',
        ),
        (
            11,
            {"type": "integer", "maximum": 10},
            "f: Invalid value: 11: f in body should be less than or equal to 10",
        ),
        (
            10,
            {"type": "integer", "maximum": 10, "exclusiveMaximum": True},
            "f: Invalid value: 10: f in body should be less than 10",
        ),
        (
            0,
            {"type": "integer", "minimum": 1.0},
            "f: Invalid value: 0: f in body should be greater than or equal to 1",
        ),
        (3, {"type": "integer", "multipleOf": 2}, "f: Invalid value: 3: f in body should be a multiple of 2"),
        (
            "",
            {"type": "string", "minLength": 1},
            'f: Invalid value: "": f in body should be at least 1 chars long',
        ),
        ("abc", {"type": "string", "maxLength": 2}, "f: Too long: may not be more than 2 bytes"),
        (
            "A",
            {"type": "string", "pattern": "^[a-z]$"},
            "f: Invalid value: \"A\": f in body should match '^[a-z]$'",
        ),
        (
            "a\n",
            {"type": "string", "pattern": "^[a-z]$"},
            "f: Invalid value: \"a\\n\": f in body should match '^[a-z]$'",
        ),
        (
            "c",
            {"type": "string", "enum": ["a", "b"]},
            'f: Unsupported value: "c": supported values: "a", "b"',
        ),
        (3, {"type": "integer", "enum": [1, 2]}, 'f: Unsupported value: 3: supported values: "1", "2"'),
        (
            "never",
            {"type": "string", "format": "date-time"},
            'f: Invalid value: "never": f in body must be of type date-time: "never"',
        ),
        (
            [],
            {"type": "array", "minItems": 1, "items": {}},
            "f: Invalid value: 0: f in body should have at least 1 items",
        ),
        ([1, 2], {"type": "array", "maxItems": 1, "items": {}}, "f: Too many: 2: must have at most 1 item"),
        (
            {"a": 1, "b": 1},
            {"type": "object", "maxProperties": 1},
            "f: Too many: 2: must have at most 1 item",
        ),
        ({}, {"type": "object", "required": ["a"]}, "f.a: Required value"),
        (
            ["a", "a"],
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            'f[1]: Duplicate value: "a"',
        ),
        (
            {"k": 1},
            {"type": "object", "additionalProperties": {"type": "string"}},
            'f.k: Invalid value: "integer": f.k in body must be of type string: "integer"',
        ),
        (1, {"not": {"minimum": 0}}, '<nil>: Invalid value: "": "f" must not validate the schema (not)'),
        (
            5,
            {"oneOf": [{"minimum": 1}, {"minimum": 2}]},
            '<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
    ],
)
def test_problems_in_the_words_of_kubernetes(value: Any, raw: Object, expected: str) -> None:
    assert problems(value, raw) == [expected]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05.678901234Z", "2026-13-02T03:04:05Z"),
        ("date", "2026-01-02", "2026-1-2"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "fd00::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("email", "a@example.com", "example.com"),
        ("hostname", "a.example.com", "-a.example.com"),
        ("byte", "aGVsbG8=", "not base64!"),
        ("duration", "1h30m", "soon"),
        ("uri", "https://example.com/x", "no uri"),
        ("mac", "01:23:45:67:89:ab", "01:23"),
        ("k8s-short-name", "abc", "a.b"),
        ("unknown-format", "anything", None),
    ],
)
def test_formats(kind: str, good: str, bad: str | None) -> None:
    raw = {"type": "string", "format": kind}
    assert problems(good, raw) == []
    assert bad is None or problems(bad, raw)


def test_embedded_objects_keep_what_all_objects_have() -> None:
    raw = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"spec": {"type": "object"}},
    }
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": 1}, "other": 1}
    dropped: list[str] = []
    shape.prune(value, raw, dropped)
    assert value == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {}}
    assert sorted(dropped) == ["other", "x"]


def test_defaults_of_defaults() -> None:
    raw = {
        "type": "object",
        "properties": {
            "a": {"type": "object", "default": {}, "properties": {"b": {"type": "string", "default": "c"}}}
        },
    }
    value: Object = {}
    assert shape.default(value, raw)
    assert value == {"a": {"b": "c"}}
    assert raw["properties"]["a"]["default"] == {}


@given(_schemas())
def test_any_schema_is_judged(raw: Object) -> None:
    found: list[FieldError] = []
    rules.check(found, raw, "schema")
    assert all(problem.field.startswith("schema") for problem in found)
