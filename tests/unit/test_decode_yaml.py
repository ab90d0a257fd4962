"""YAML as Kubernetes reads it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.decode_yaml import YAMLError, documents, load_one


def load(text: str) -> Any:
    return load_one(text)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-5", -5), ("0644", 420), ("0o17", 15), ("0x1F", 31), ("0b11", 3), ("1_000", 1000),
        ("1e3", 1000), ("1.5", 1.5), (".5", 0.5), ("true", True), ("Yes", True), ("off", False), ("~", None),
        ("", None), ("null", None), ("12:30", "12:30"), ("1.2.3", "1.2.3"), ("2001-01-01", "2001-01-01"),
        ("1Gi", "1Gi"), ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("!!int '5'", 5), ("-", [None]),
        ("tRue", "tRue"), ("+", "+"), ("|\n  a\n  b\n", "a\nb\n"), (">-\n  a\n  b\n", "a b"),
    ],
)  # fmt: skip
def test_scalars(text: str, value: Any) -> None:
    found = load(text)
    assert found == value
    assert type(found) is type(value)


def test_mappings() -> None:
    assert load("{1: a, true: b, null: c, 1.5: d}") == {"1": "a", "true": "b", "null": "c", "1.5": "d"}
    assert load("a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\nd: {<<: [*x], k: 3}") == {
        "a": {"k": 1}, "b": {"k": 1}, "c": {"l": 2, "k": 1}, "d": {"k": 3},
    }  # fmt: skip
    value, problems = load_one("a: 1\nb: {c: 1, c: 2}\na: 3")
    assert value == {"a": 3, "b": {"c": 2}}
    assert problems == [
        'yaml: unmarshal errors:\n  line 2: key "c" already set in map\n  line 3: key "a" already set in map'
    ]


def test_anchors_are_copied_not_shared() -> None:
    value = load("a: &x {k: [1]}\nb: *x")
    value["a"]["k"].append(2)
    assert value["b"] == {"k": [1]}


def test_several_documents() -> None:
    assert [value for value, _ in documents("---\na: 1\n---\n---\nb: 2\n...\n")] == [{"a": 1}, None, {"b": 2}]
    assert list(documents("")) == []


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: b: c",
        "\tx: 1",
        "a: *nowhere",
        "? {a: 1}\n: 2",
        "a: .inf",
        "a: {<<: 5}",
        "%YAML 9\n",
        "a: &x [*x]",
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(YAMLError, match=r"^yaml: "):
        load(text)


def test_alias_bombs_and_deep_nesting_are_refused() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for i in range(1, 9):
        bomb += f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 10) + "]\n"
    for text in (bomb, "[" * 600 + "]" * 600, "[" * 1_000_000, "{a: " * 1_000_000, "- " * 1_000_000):
        with pytest.raises(YAMLError):
            load(text)


_texts = st.text(st.characters(codec="ascii"), max_size=8)
plain = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**62), 2**62),
        st.text(st.characters(codec="ascii"), max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abcxyz019", max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(plain)
def test_what_is_dumped_as_json_style_yaml_comes_back(value: Any) -> None:
    text = yaml.safe_dump(value, default_flow_style=True, default_style='"', width=10**6)
    assert load(text) == value


def test_numbers_that_64_bits_cannot_hold_are_floats() -> None:
    text = "[9223372036854775808, -9223372036854775809, 18446744073709551616, 1e20, 0xfffffffffffffffffff]"
    found, _ = load_one(text.encode())
    assert found == [2**63, -(2.0**63), 2.0**64, 1e20, float(0xFFFFFFFFFFFFFFFFFFF)]
    assert [type(value) for value in found] == [int, float, float, float, float]
    assert orjson.dumps(found)
    with pytest.raises(ValueError, match="unsupported value"):
        load_one(b"1" * 400)
