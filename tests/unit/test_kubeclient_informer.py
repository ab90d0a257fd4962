"""An informer's store follows the server through broken watches, expired positions and our own writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apimachinery import errors, resources
from kubeclient.backoff import Backoff
from kubeclient.informer import Informer, by_controller, by_namespace

PODS = resources.get("pods")


def pod(name: str, revision: int, uid: str = "", **more: Any) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": "ns",
        "resourceVersion": str(revision),
        "uid": uid or f"uid-{name}",
    }
    return {"metadata": {**metadata, **more}}


class FakeServer:
    """Plays lists and watches from a script; each watch is a list of events or an error, then it waits."""

    def __init__(self, lists: list[Any], watches: list[list[Any]]) -> None:
        self.lists = lists
        self.watches = watches
        self.positions: list[str] = []
        self.done = asyncio.Event()

    async def list(self, *_: Any) -> Any:
        step = self.lists.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def watch(self, *arguments: Any, opened: Any, **_: Any) -> AsyncIterator[tuple[str, Any]]:
        self.positions.append(arguments[4])
        if self.watches and isinstance(self.watches[0][0], ConnectionError):
            raise self.watches.pop(0)[0]
        opened()
        if not self.watches:
            self.done.set()
            await asyncio.Event().wait()
        for step in self.watches.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step


async def follow(server: FakeServer, setup: Any = None) -> tuple[Informer, list[tuple[Any, Any]]]:
    informer = Informer(server, PODS, backoff=Backoff(0, 0))  # type: ignore[arg-type]
    seen: list[tuple[Any, Any]] = []
    informer.add_handler(
        lambda old, new: seen.append((old and old["metadata"]["name"], new and new["metadata"]["name"]))
    )
    if setup is not None:
        setup(informer)
    task = asyncio.ensure_future(informer.run())
    async with asyncio.timeout(5):
        await server.done.wait()
        await informer.synced()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return informer, seen


async def test_what_is_not_served_has_no_objects() -> None:
    gone = errors.path_not_found()
    server = FakeServer([gone, gone, ([pod("a", 3)], "5")], [])
    informer = Informer(server, PODS, backoff=Backoff(0, 0))  # type: ignore[arg-type]
    task = asyncio.ensure_future(informer.run())
    async with asyncio.timeout(5):
        await informer.synced()
        assert informer.store == {}
        assert await informer.synced_within(0)
        await server.done.wait()
    assert set(informer.store) == {("ns", "a")}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_list_that_fails_is_waited_for_no_longer_than_asked() -> None:
    informer = Informer(FakeServer([], []), PODS)  # type: ignore[arg-type]
    assert not await informer.synced_within(0.01)


async def test_it_resumes_where_the_watch_broke_off() -> None:
    server = FakeServer(
        [errors.service_unavailable("starting"), ([pod("a", 3)], "5")],
        [
            [
                ("ADDED", pod("b", 6)),
                ("BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
                ConnectionError("x"),
            ],
            [("MODIFIED", pod("a", 10)), ("DELETED", pod("b", 11))],
        ],
    )
    informer, seen = await follow(server)
    assert server.positions == ["5", "9", "11"]
    assert set(informer.store) == {("ns", "a")}
    assert seen == [(None, "a"), (None, "b"), ("a", "a"), ("b", None)]


async def test_what_vanished_while_the_position_expired_is_handed_on_as_deleted() -> None:
    server = FakeServer(
        [([pod("a", 1), pod("b", 2)], "5"), ([pod("b", 2), pod("c", 8)], "9")],
        [[errors.expired("too old resource version")]],
    )
    informer, seen = await follow(server)
    assert seen == [(None, "a"), (None, "b"), ("b", "b"), (None, "c"), ("a", None)]
    assert server.positions == ["5", "9"]
    assert set(informer.store) == {("ns", "b"), ("ns", "c")}


async def test_indexes_follow_every_change() -> None:
    owned: dict[str, Any] = {"ownerReferences": [{"uid": "rs", "controller": True}]}
    server = FakeServer(
        [([pod("a", 1, **owned), pod("b", 2)], "5")],
        [[("MODIFIED", pod("a", 6)), ("MODIFIED", pod("b", 7, **owned)), ("ADDED", pod("c", 8, **owned))]],
    )

    def setup(informer: Informer) -> None:
        informer.add_index("namespace", by_namespace)
        informer.add_index("controller", by_controller)

    informer, _ = await follow(server, setup)
    assert [p["metadata"]["name"] for p in informer.by_index("controller", "rs")] == ["b", "c"]
    assert len(informer.by_index("namespace", "ns")) == 3
    assert informer.by_index("namespace", "other") == []


async def test_own_writes_show_at_once_and_late_news_of_them_changes_nothing() -> None:
    informer = Informer(FakeServer([], []), PODS)  # type: ignore[arg-type]
    informer._position = 10
    calls: list[Any] = []
    informer.add_handler(lambda old, new: calls.append((old, new)))
    informer.observe(pod("new", 12))
    assert ("ns", "new") in informer.store
    informer._apply("ADDED", ("ns", "new"), "uid-new", 12, pod("new", 12))
    assert len(calls) == 1
    informer._apply("MODIFIED", ("ns", "new"), "uid-new", 13, pod("new", 13))
    assert len(calls) == 2
    # An answer that arrives after the watch has told how the story went on is not believed.
    informer._position = 20
    informer._apply("DELETED", ("ns", "new"), "uid-new", 20, pod("new", 20))
    informer.observe(pod("new", 13))
    assert informer.store == {}


async def test_what_we_deleted_stays_gone_until_the_watch_agrees() -> None:
    informer = Informer(FakeServer([], []), PODS)  # type: ignore[arg-type]
    informer._position = 10
    informer._set(("ns", "a"), pod("a", 9))
    informer.forget("ns", "a", "uid-a")
    informer._apply("MODIFIED", ("ns", "a"), "uid-a", 11, pod("a", 11))
    assert informer.store == {}
    informer._apply("DELETED", ("ns", "a"), "uid-a", 12, pod("a", 12))
    informer._apply("ADDED", ("ns", "a"), "uid-2", 13, pod("a", 13, "uid-2"))
    assert ("ns", "a") in informer.store
    assert informer._gone == {}


async def test_it_says_whether_it_hears_the_server() -> None:
    server = FakeServer(
        [([], "5")], [[ConnectionError("down")], [("ADDED", pod("a", 6)), ConnectionError("cut")]]
    )
    informer = Informer(server, PODS, backoff=Backoff(0, 0))  # type: ignore[arg-type]
    heard: list[bool] = []
    informer.add_handler(lambda old, new: heard.append(informer.following))

    class Waiting(Backoff):
        def next(self) -> float:
            heard.append(informer.following)
            return 0.0

    informer._backoff = Waiting()
    task = asyncio.ensure_future(informer.run())
    async with asyncio.timeout(5):
        await server.done.wait()
    assert heard == [False, True, False]
    assert informer.following
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not informer.following
