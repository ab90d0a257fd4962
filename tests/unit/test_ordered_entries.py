"""Entries in order: whatever is put and removed, they are those of a plain sorted dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apiserver.entry import Entry
from apiserver.ordered import Grouped, Ordered

NAMESPACES = ("a", "a-b", "a.b", "b", "b0")


def entry(key: str, revision: int) -> Entry:
    return Entry(key, "", "", revision, b"", {}, {})


keys = st.builds(
    lambda namespace, name: f"/registry/x/{namespace}/{name}",
    st.sampled_from(NAMESPACES),
    st.text("abc-.0", min_size=1, max_size=3),
)


@given(st.lists(keys, unique=True, max_size=40), st.lists(st.tuples(st.booleans(), keys), max_size=200))
def test_entries_are_those_put_and_not_removed(loaded: list[str], steps: list[tuple[bool, str]]) -> None:
    model = {key: entry(key, 0) for key in sorted(loaded)}
    ordered = Ordered(model.values(), run=4)
    for revision, (put, key) in enumerate(steps, 1):
        if put:
            model[key] = entry(key, revision)
            ordered.put(model[key])
        elif key in model:
            del model[key]
            ordered.remove(key)
        assert len(ordered) == len(model)
    expected = [model[key] for key in sorted(model)]
    assert ordered.all() == expected
    for namespace in NAMESPACES:
        prefix = f"/registry/x/{namespace}/"
        assert ordered.below(prefix) == [e for e in expected if e.key.startswith(prefix)]


def test_a_list_taken_does_not_change() -> None:
    ordered = Ordered([entry("/registry/x/a/1", 1)])
    before = ordered.all()
    inside = ordered.below("/registry/x/a/")
    ordered.put(entry("/registry/x/a/2", 2))
    ordered.remove("/registry/x/a/1")
    assert [e.revision for e in before] == [e.revision for e in inside] == [1]


nodes = st.sampled_from(("", "n1", "n2"))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | nodes), max_size=50))
def test_groups_are_the_entries_with_a_value(steps: list[tuple[str, str | None]]) -> None:
    model: dict[str, Entry] = {}
    grouped = Grouped("spec.nodeName")
    for key, node in steps:
        prev = model.pop(key, None)
        if node is not None:
            model[key] = Entry(key, "", "", 1, b"", {}, {"spec.nodeName": node})
            grouped.put(prev, model[key])
        elif prev is not None:
            grouped.remove(prev)
        for value in ("n1", "n2"):
            expected = {k for k, e in model.items() if e.fields["spec.nodeName"] == value}
            assert {e.key for e in grouped.of(value)} == expected
            assert all(model[e.key] is e for e in grouped.of(value))
