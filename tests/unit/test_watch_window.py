"""The ring of recent changes: a watch replayed over a list gives the state, whatever revision it starts at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.entry import Entry, encode, wire
from apiserver.window import ADDED, DELETED, MODIFIED, Change, TooOld, Window


def entry(name: str, revision: int, size: int = 0) -> Entry:
    stored = encode({"metadata": {"name": name}, "data": "x" * size})
    return Entry(name, "", name, revision, wire(stored, revision), {}, {})


State = dict[str, Entry]

# Each revision changes one or several keys: those in the set are written, or deleted if they were there.
histories = st.lists(
    st.dictionaries(st.sampled_from("abcd"), st.booleans(), min_size=1, max_size=3), min_size=1, max_size=60
)


def play(history: list[dict[str, bool]], window: Window, floor: int) -> list[State]:
    """Append the history to the window; the state at each revision from `floor` on."""
    states: list[State] = [{}]
    for revision, writes in enumerate(history, floor + 1):
        state = dict(states[-1])
        for name, write in writes.items():
            prev = state.get(name)
            if write:
                state[name] = entry(name, revision, size=revision % 7)
                window.append(Change(MODIFIED if prev else ADDED, state[name], prev))
            elif prev:
                del state[name]
                window.append(Change(DELETED, prev.at(revision), prev))
        states.append(state)
    return states


@given(histories, st.integers(1, 40), st.integers(60, 2000), st.integers(1, 5))
def test_replay_gives_the_state_from_any_start(
    history: list[dict[str, bool]], max_changes: int, max_bytes: int, min_changes: int
) -> None:
    floor = 10
    window = Window(floor, max_changes=max_changes, max_bytes=max_bytes, min_changes=min_changes)
    states = play(history, window, floor)
    last = floor + len(history)
    assert floor <= window.floor <= last
    for start in range(floor, last + 2):
        if start < window.floor:
            with pytest.raises(TooOld) as old:
                window.since(start)
            assert (old.value.asked, old.value.floor) == (start, window.floor)
            continue
        changes = window.since(start)
        assert all(change.revision > start for change in changes)
        assert [c.revision for c in changes] == sorted(c.revision for c in changes)
        assert len({(c.revision, c.entry.key) for c in changes}) == len(changes)
        if start > last:
            assert not changes
            continue
        state = dict(states[start - floor])
        for change in changes:
            assert (change.entry.key in state) == (change.type != ADDED)
            assert change.prev is state.get(change.entry.key)
            if change.type == DELETED:
                del state[change.entry.key]
            else:
                state[change.entry.key] = change.entry
        assert state == states[-1]
        # And backwards: the present state with the changes undone is the state at the start.
        before = {**states[-1], **window.undo(start)}
        assert {key: e for key, e in before.items() if e is not None} == states[start - floor]


@given(st.integers(1, 50), st.integers(0, 400))
def test_it_stays_within_its_bounds(max_changes: int, count: int) -> None:
    window = Window(0, max_changes=max_changes, max_bytes=5000, min_changes=4)
    for revision in range(1, count + 1):
        window.append(Change(ADDED, entry("a", revision, size=100), None))
        assert len(window) <= max_changes
        assert len(window) >= min(revision, max_changes - max_changes // 8, 4)
        held = sum(len(change.entry.data) for change in window.since(window.floor))
        assert held <= 5000 or len(window) <= 4


def test_changes_of_one_revision_go_together() -> None:
    window = Window(0, max_changes=3)
    for name in "abcd":
        window.append(Change(ADDED, entry(name, 1), None))
    assert window.floor in (0, 1)
    assert len(window.since(window.floor)) in (0, 4)
    with pytest.raises(TooOld, match=r"too old resource version: 0 \(1\)"):
        window.since(0)


def test_find() -> None:
    window = Window(0)
    for name in "ab":
        window.append(Change(ADDED, entry(name, 1), None))
    window.append(Change(ADDED, entry("c", 3), None))
    found = window.find(1, "a")
    assert found is not None
    assert found.entry.key == "a"
    assert window.find(3, "c") is not None
    assert window.find(3, "a") is None
    assert window.find(2, "a") is None
