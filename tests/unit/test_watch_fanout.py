"""What watchers get: their events and no others, each line encoded once, and an end for those who do not keep up."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver import fanout as fanout_module
from apiserver.entry import Entry, encode, labels_of, wire
from apiserver.fanout import Fanout, Watcher, plain
from apiserver.window import ADDED, DELETED, MODIFIED, Change


def entry(revision: int, name: str = "a", namespace: str = "ns", node: str = "", **labels: str) -> Entry:
    obj = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "kind": "Pod"}
    return Entry(
        f"{namespace}/{name}",
        namespace,
        name,
        revision,
        wire(encode(obj), revision),
        labels_of(obj),
        {"spec.nodeName": node, "metadata.name": name, "metadata.namespace": namespace},
    )


def new_fanout(revision: int = 0) -> Fanout:
    return Fanout("v1", "Pod", lambda: revision)


def events(data: bytes) -> list[tuple[str, str, str]]:
    """(type, name, resourceVersion) of each line."""
    found = []
    for line in data.splitlines():
        event = orjson.loads(line)
        metadata = event["object"]["metadata"]
        found.append((event["type"], metadata.get("name", ""), metadata["resourceVersion"]))
    return found


def taken(watcher: Watcher) -> list[tuple[str, str, str]]:
    data = b""
    while chunk := watcher._chunk():
        data += chunk
    return events(data)


def test_each_event_is_encoded_once_for_all_watchers_of_a_representation() -> None:
    fanout = new_fanout()
    calls: list[str] = []

    def table(type: str, entry: Entry) -> bytes:
        calls.append(type)
        return plain(type, entry)

    watchers = [fanout.add(after=0, encoder=table) for _ in range(5)]
    lines = [fanout.add(after=0) for _ in range(2)]
    fanout.dispatch(Change(ADDED, entry(1), None))
    assert calls == [ADDED]
    assert all(taken(watcher) == [(ADDED, "a", "1")] for watcher in watchers)
    assert lines[0]._queue[0] is lines[1]._queue[0]


def test_scopes() -> None:
    fanout = new_fanout()
    everywhere = fanout.add(after=0)
    one_namespace = fanout.add(after=0, namespace="ns")
    other_namespace = fanout.add(after=0, namespace="other")
    one = fanout.add(after=0, namespace="ns", name="a")
    by_name = fanout.add(after=0, name="a")
    fanout.dispatch(Change(ADDED, entry(1), None))
    fanout.dispatch(Change(ADDED, entry(2, name="b"), None))
    fanout.dispatch(Change(ADDED, entry(3, namespace="other"), None))
    assert [r for *_, r in taken(everywhere)] == ["1", "2", "3"]
    assert [r for *_, r in taken(one_namespace)] == ["1", "2"]
    assert [r for *_, r in taken(other_namespace)] == ["3"]
    assert [r for *_, r in taken(one)] == ["1"]
    assert [r for *_, r in taken(by_name)] == ["1", "3"]


def test_selectors_turn_transitions_into_added_and_deleted() -> None:
    fanout = new_fanout()
    watcher = fanout.add(after=0, predicate=lambda labels, fields: labels.get("app") == "web")
    versions = [
        entry(1),
        entry(2, app="web"),
        entry(3, app="web", x="y"),
        entry(4, app="db"),
        entry(5, app="web"),
    ]
    fanout.dispatch(Change(ADDED, versions[0], None))
    for prev, now in pairwise(versions):
        fanout.dispatch(Change(MODIFIED, now, prev))
    fanout.dispatch(Change(DELETED, versions[-1].at(6), versions[-1]))
    fanout.dispatch(Change(ADDED, entry(7), None))
    fanout.dispatch(Change(DELETED, entry(8), entry(7)))
    data = b"".join(iter(watcher._chunk, b""))
    assert events(data) == [
        (ADDED, "a", "2"),
        (MODIFIED, "a", "3"),
        (DELETED, "a", "4"),
        (ADDED, "a", "5"),
        (DELETED, "a", "6"),
    ]
    # What left the selector is shown as it was while it matched.
    left = orjson.loads(data.splitlines()[2])["object"]
    assert left["metadata"]["labels"] == {"app": "web", "x": "y"}


Step = tuple[str, str, str]  # (name, namespace, node or "" to delete)
steps = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(("x", "y")), st.sampled_from(("", "n1", "n2"))),
    max_size=30,
)


@given(
    steps, st.sampled_from((None, ("spec.nodeName", "n1"))), st.sampled_from(("", "x")), st.integers(0, 30)
)
def test_any_watcher_sees_exactly_what_it_selects(
    steps: list[Step], exact: tuple[str, str] | None, namespace: str, start: int
) -> None:
    """Initial objects and events, replayed, are the selected part of the state; the index changes nothing."""

    def predicate(labels: dict[str, str], fields: dict[str, str]) -> bool:
        return fields["spec.nodeName"] == "n1"

    fanout = new_fanout()
    state: dict[str, Entry] = {}
    watcher: Watcher | None = None
    for revision, (name, space, node) in enumerate(steps, 1):
        if revision > start and watcher is None:
            watcher = fanout.add(after=revision - 1, namespace=namespace, predicate=predicate, exact=exact)
            watcher.start(list(state.values()), [], None)
        key = f"{space}/{name}"
        prev = state.get(key)
        if node:
            state[key] = entry(revision, name, space, node)
            fanout.dispatch(Change(MODIFIED if prev else ADDED, state[key], prev))
        elif prev:
            del state[key]
            fanout.dispatch(Change(DELETED, prev.at(revision), prev))
    if watcher is None:
        return
    seen: dict[str, str] = {}
    for line in b"".join(iter(watcher._chunk, b"")).splitlines():
        event = orjson.loads(line)
        metadata = event["object"]["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        assert (key in seen) == (event["type"] != ADDED)
        if event["type"] == DELETED:
            del seen[key]
        else:
            seen[key] = metadata["resourceVersion"]
    assert seen == {
        key: str(e.revision)
        for key, e in state.items()
        if e.fields["spec.nodeName"] == "n1" and namespace in ("", e.namespace)
    }


def test_events_before_the_start_are_not_told() -> None:
    fanout = new_fanout()
    watcher = fanout.add(after=5)
    fanout.dispatch(Change(ADDED, entry(5), None))
    fanout.dispatch(Change(MODIFIED, entry(6), entry(5)))
    assert taken(watcher) == [(MODIFIED, "a", "6")]


def test_initial_events_end_with_an_annotated_bookmark() -> None:
    fanout = new_fanout(7)
    watcher = fanout.add(after=7)
    watcher.start([entry(3), entry(5, "b")], [], fanout.bookmark(7, initial_events_end=True))
    fanout.dispatch(Change(ADDED, entry(8, "c"), None))
    lines = [orjson.loads(line) for line in b"".join(iter(watcher._chunk, b"")).splitlines()]
    assert [line["type"] for line in lines] == [ADDED, ADDED, "BOOKMARK", ADDED]
    assert lines[2]["object"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "resourceVersion": "7",
            "creationTimestamp": None,
            "annotations": {"k8s.io/initial-events-end": "true"},
        },
    }


def test_bookmarks_go_to_those_who_asked_when_there_is_news() -> None:
    revision = 3
    fanout = Fanout("v1", "Pod", lambda: revision)
    asked, silent = fanout.add(after=3, bookmarks=True), fanout.add(after=3)
    fanout.send_bookmarks()
    assert taken(asked) == []
    revision = 9
    fanout.send_bookmarks()
    fanout.send_bookmarks()
    assert taken(asked) == [("BOOKMARK", "", "9")]
    assert taken(silent) == []


async def test_iterating() -> None:
    fanout = new_fanout()
    watcher = fanout.add(after=0)
    waiting = asyncio.ensure_future(anext(watcher))
    await asyncio.sleep(0)
    fanout.dispatch(Change(ADDED, entry(1), None))
    fanout.dispatch(Change(MODIFIED, entry(2), entry(1)))
    assert events(await waiting) == [(ADDED, "a", "1"), (MODIFIED, "a", "2")]
    ending = asyncio.ensure_future(anext(watcher, None))
    await asyncio.sleep(0)
    watcher.close("enough")
    assert await ending is None
    assert watcher.closed == "enough"
    assert len(fanout) == 0


async def test_a_slow_watcher_is_closed_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "MAX_QUEUED_LINES", 10)
    fanout = new_fanout()
    slow, quick = fanout.add(after=0), fanout.add(after=0)
    for revision in range(1, 13):
        fanout.dispatch(Change(ADDED, entry(revision), None))
        assert taken(quick) == [(ADDED, "a", str(revision))]
    assert slow.closed == "too slow"
    assert not quick.closed
    assert [chunk async for chunk in slow] == []


class Sink:
    """A transport that can be full."""

    def __init__(self) -> None:
        self.data = b""
        self.full = False
        self.ended = False

    def __call__(self, lines: bytes) -> bool:
        if not lines:
            self.ended = True
            return True
        if self.full:
            return False
        self.data += lines
        return True


def test_a_sink_gets_lines_at_once_and_loses_none_when_full() -> None:
    fanout = new_fanout()
    sink = Sink()
    watcher = fanout.add(after=2, send=sink)
    watcher.start([entry(1), entry(2, "b")], [], None)
    fanout.dispatch(Change(ADDED, entry(3, "c"), None))
    assert sink.data == b""
    sink.full = True
    assert not watcher.flush()
    fanout.dispatch(Change(ADDED, entry(4, "d"), None))
    sink.full = False
    assert watcher.flush()
    fanout.dispatch(Change(ADDED, entry(5, "e"), None))
    sink.full = True
    fanout.dispatch(Change(ADDED, entry(6, "f"), None))
    fanout.dispatch(Change(ADDED, entry(7, "g"), None))
    sink.full = False
    fanout.dispatch(Change(ADDED, entry(8, "h"), None))
    assert watcher.flush()
    assert [r for *_, r in events(sink.data)] == list("12345678")
    watcher.close()
    assert sink.ended


def broken(type: str, entry: Entry) -> bytes:
    raise ValueError("no such column")


@pytest.mark.parametrize(
    "wrong", [{"encoder": broken}, {"predicate": lambda labels, fields: labels["missing"]}]
)
def test_a_watcher_that_fails_takes_nobody_with_it(wrong: dict[str, Any]) -> None:
    fanout = new_fanout()
    failing, other = fanout.add(after=0, **wrong), fanout.add(after=0)
    fanout.dispatch(Change(ADDED, entry(1), None))
    assert failing.closed
    assert taken(other) == [(ADDED, "a", "1")]
    assert len(fanout) == 1
