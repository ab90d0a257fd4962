"""Label and field selectors: parsing, matching, and the texts they give back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import selectors
from apimachinery.selectors import (
    EVERYTHING,
    NOTHING,
    Requirement,
    Selector,
    escape_field,
    from_label_selector,
    from_map,
    matches_fields,
    parse_fields,
    parse_labels,
)

words = st.text("abcxyz019", min_size=1, max_size=4)
values = st.one_of(st.just(""), words)
requirements = st.one_of(
    st.builds(Requirement, words, st.sampled_from(["=", "==", "!="]), st.tuples(values)),
    st.builds(
        Requirement, words, st.sampled_from(["in", "notin"]),
        st.lists(values, min_size=1, max_size=3, unique=True).map(lambda v: tuple(sorted(v))),
    ),
    st.builds(Requirement, words, st.sampled_from(["exists", "!"])),
    st.builds(
        Requirement, words, st.sampled_from(["gt", "lt"]), st.integers(-99, 99).map(lambda n: (str(n),))
    ),
)  # fmt: skip
label_maps = st.dictionaries(words, values, max_size=4)


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a=b", {"a": "c"}, False),
        ("a==b,c!=d", {"a": "b"}, True),
        ("a in (b, c)", {"a": "c"}, True),
        ("a notin (b,c)", {}, True),
        ("a notin (b,c)", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("! a", {}, True),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a>5", {"a": "6"}, True),
        ("a<5", {"a": "x"}, False),
        ("example.com/a=b", {"example.com/a": "b"}, True),
        ("in in (in)", {"in": "in"}, True),
        ("a in (,b)", {"a": ""}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_labels(text).matches(labels) is matches


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "a,,b",
        "a,",
        "a in (b",
        "a in b",
        "=x",
        "!",
        "a=b=c",
        "a!",
        "-a=b",
        "a=b c",
        "a>x",
        "a in ((b))",
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unable to parse requirement: "):
        parse_labels(text)


@given(st.lists(requirements, max_size=4), label_maps)
def test_a_selectors_text_selects_the_same(parts: list[Requirement], labels: dict[str, str]) -> None:
    selector = Selector(parts)
    again = parse_labels(str(selector))
    assert again == selector
    assert again.matches(labels) is selector.matches(labels) is all(part.matches(labels) for part in parts)


@given(label_maps, label_maps)
def test_match_labels_is_the_subset_relation(wanted: dict[str, str], labels: dict[str, str]) -> None:
    subset = wanted.items() <= labels.items()
    assert from_label_selector({"matchLabels": wanted}).matches(labels) is subset
    assert from_map(wanted).matches(labels) is subset


@given(words, values, label_maps)
def test_opposites_exclude_each_other(key: str, value: str, labels: dict[str, str]) -> None:
    for a, b in ((f"{key}={value}", f"{key}!={value}"), (f"{key}", f"!{key}")):
        assert parse_labels(a).matches(labels) is not parse_labels(b).matches(labels)


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert from_label_selector(None) is NOTHING
    assert not NOTHING.matches({"a": "b"})
    assert from_label_selector({}) is EVERYTHING
    assert EVERYTHING.matches({})
    assert EVERYTHING.empty
    assert not NOTHING.empty


def test_expressions() -> None:
    selector = from_label_selector(
        {
            "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["x", "y"]},
                {"key": "b", "operator": "DoesNotExist"},
            ]
        }
    )
    assert str(selector) == "a in (x,y),!b"
    assert selector.matches({"a": "y"})
    assert not selector.matches({"a": "y", "b": ""})
    with pytest.raises(ValueError, match='"Near" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_field_selectors() -> None:
    parsed = parse_fields("metadata.name=x,status.phase!=Running,spec.nodeName==")
    assert parsed == (
        ("metadata.name", "=", "x"),
        ("status.phase", "!=", "Running"),
        ("spec.nodeName", "=", ""),
    )
    assert parse_fields("") == ()
    assert matches_fields(parsed, {"metadata.name": "x"})
    assert not matches_fields(parsed, {"metadata.name": "x", "status.phase": "Running"})
    for text in ("metadata.name", "a=b\\x"):
        with pytest.raises(ValueError, match="invalid"):
            parse_fields(text)


@given(st.text(max_size=12))
def test_escaped_field_values_come_back(value: str) -> None:
    assert selectors.parse_fields(f"a.b={escape_field(value)}") == (("a.b", "=", value),)
