"""A key is worked on by one worker at a time, and never lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kubeclient.workqueue import WorkQueue


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(1, 4))
def test_every_addition_is_followed_by_a_run_and_no_key_runs_twice_at_once(
    steps: list[tuple[str, bool]], workers: int
) -> None:
    async def run() -> None:
        queue: WorkQueue[str] = WorkQueue()
        pending: Counter[str] = Counter()
        active: set[str] = set()

        async def work(key: str) -> None:
            assert key not in active
            active.add(key)
            pending[key] = 0
            await asyncio.sleep(0)
            active.remove(key)

        def failed(key: str, error: Exception, delay: float) -> None:
            raise error

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(queue.run(work, failed, workers))
            for key, pause in steps:
                pending[key] += 1
                queue.add(key)
                if pause:
                    await asyncio.sleep(0)
            while not queue.idle:  # noqa: ASYNC110
                await asyncio.sleep(0)
            queue.shutdown()
        assert not any(pending.values())

    asyncio.run(run())


async def test_a_failing_key_waits_longer_each_time_until_it_succeeds() -> None:
    queue: WorkQueue[str] = WorkQueue(initial=0.001, maximum=0.003)
    delays: list[float] = []

    async def work(key: str) -> None:
        if len(delays) < 4:
            raise ValueError(key)
        queue.shutdown()

    queue.add("a")
    await queue.run(work, lambda _key, _error, delay: delays.append(delay))
    assert delays == [0.001, 0.002, 0.003, 0.003]
    assert queue.failures("a") == 0


async def test_the_earliest_of_several_delays_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.001)
    queue.add_after("a", 30)
    async with asyncio.timeout(5):
        assert await queue.get() == "a"


async def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(5):
        assert await second == "a"
