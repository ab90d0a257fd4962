"""The feed hands out every change once and in order, whether a writer or the watch tells it first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.storage.feed import Feed
from apiserver.storage.interface import Event, EventType, KeyValue, StorageError
from apiserver.storage.sqlite import SqliteStore

PREFIX = "/registry/core/pods/"


def event(revision: int, prefix: str = PREFIX) -> Event:
    return Event(EventType.PUT, KeyValue(f"{prefix}ns/a", b"%d" % revision, 0, revision, 0))


class Log:
    """A subscriber that notes what it is told."""

    def __init__(self) -> None:
        self.revisions: list[int] = []

    async def load(self, revision: int) -> None:
        """There is nothing to load."""

    def apply(self, events: Sequence[Event]) -> None:
        self.revisions += [event.kv.mod_revision for event in events]

    def lost(self) -> None:
        raise AssertionError("nothing was lost")


def new_feed() -> tuple[Feed, Log]:
    feed, log = Feed(SqliteStore()), Log()
    feed.subscribe(PREFIX, log)
    return feed, log


@given(st.data())
def test_each_change_is_applied_once_and_in_order(data: st.DataObject) -> None:
    feed, log = new_feed()
    last = data.draw(st.integers(1, 20))
    ours = data.draw(st.permutations([r for r in range(1, last + 1) if data.draw(st.booleans())]))
    heard = 0
    told = list(ours)
    while heard < last or told:
        if told and (heard == last or data.draw(st.booleans())):
            revision = told.pop()
            feed.wrote(revision, [event(revision)])
        else:
            upto = data.draw(st.integers(heard + 1, last))
            feed._heard(upto, [event(revision) for revision in range(heard + 1, upto + 1)])
            heard = upto
        assert log.revisions == list(range(1, feed.revision + 1))
        assert feed.revision >= heard
    assert feed.revision == last
    assert not feed._early


def test_changes_go_to_the_subscriber_of_their_prefix() -> None:
    feed, pods = new_feed()
    nodes = Log()
    feed.subscribe("/registry/core/nodes/", nodes)
    foreign = [
        event(3, "/registry/core/podsecrets/"),
        event(4, "/registry/other/pods/"),
        event(5, "/registry/x"),
    ]
    feed._heard(6, [event(1), event(2, "/registry/core/nodes/"), *foreign, event(6)])
    assert (pods.revisions, nodes.revisions) == ([1, 6], [2])
    feed.unsubscribe("/registry/core/nodes/")
    feed._heard(7, [event(7, "/registry/core/nodes/")])
    assert nodes.revisions == [2]


async def test_waiters_go_on_in_order() -> None:
    feed, _ = new_feed()
    order: list[int] = []

    async def wait(revision: int) -> None:
        await feed.wait(revision)
        order.append(revision)

    async with asyncio.TaskGroup() as group:
        for revision in (3, 1, 2, 3):
            group.create_task(wait(revision))
        await asyncio.sleep(0)
        feed._heard(1, [event(1)])
        await asyncio.sleep(0)
        assert order == [1]
        feed._heard(3, [event(2), event(3)])
    assert order == [1, 2, 3, 3]


class Remote(SqliteStore):
    """A store others write to as well, whose revision checks are counted and answered on demand."""

    exclusive = False

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[asyncio.Future[int]] = []

    async def current_revision(self) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return await answer

    async def watch(self, prefix: str, start_revision: int) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        await asyncio.Event().wait()
        yield 0, ()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_readers_share_a_check_but_not_one_begun_before_them() -> None:
    store = Remote()
    feed = Feed(store)
    feed.revision = 5
    early = [asyncio.create_task(feed.fresh()) for _ in range(3)]
    await settle()
    assert len(store.answers) == 1
    late = [asyncio.create_task(feed.fresh()) for _ in range(3)]
    late[0].cancel()
    await settle()
    assert len(store.answers) == 1
    store.answers[0].set_result(5)
    await settle()
    assert all(task.done() for task in early)
    assert len(store.answers) == 2
    assert not any(task.done() for task in late[1:])
    store.answers[1].set_exception(StorageError("gone"))
    outcomes = await asyncio.gather(*late, return_exceptions=True)
    assert all(isinstance(outcome, StorageError) for outcome in outcomes[1:])
    again = asyncio.create_task(feed.fresh())
    await settle()
    store.answers[2].set_result(6)
    await settle()
    assert not again.done()
    feed._heard(6, [event(6)])
    await again
    await feed.close()


async def test_closing_ends_waits() -> None:
    feed, _ = new_feed()
    waiting = asyncio.create_task(feed.wait(9))
    await asyncio.sleep(0)
    await feed.close()
    with pytest.raises(StorageError, match="closed"):
        await waiting
