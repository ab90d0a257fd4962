"""An engine that hangs is noticed, told of as Kubernetes does, and taken up again when it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from kubeletd import enginehealth
from kubeletd.enginehealth import PATIENCE, SILENCE, Signs, trouble
from kubeletd.enginewatch import EngineWatch
from kubeletd.runtime.dockerengine import Engine
from kubeletd.runtime.dockerstream import Endpoint
from kubeletd.runtime.interface import EngineUnavailable, RuntimeEvent

DOWN = "container runtime is down"


def test_in_the_words_of_kubernetes() -> None:
    assert trouble(Signs()) == ""
    assert trouble(Signs(silent_for=SILENCE - 1, busy_for=PATIENCE - 1)) == ""
    assert trouble(Signs(connected=False)) == DOWN
    assert trouble(Signs(silent_for=SILENCE)) == DOWN
    slow = "PLEG is not healthy: pleg was last seen active 3m12s ago; threshold is 3m0s"
    assert trouble(Signs(busy_for=192.4)) == slow
    assert trouble(Signs(connected=False, busy_for=192.4)) == f"[{DOWN}, {slow}]"


class HangingEngine:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.answering = True
        self.pings = 0
        self.lists = 0
        self.queue: asyncio.Queue[RuntimeEvent] = asyncio.Queue()

    async def ping(self, patience: float) -> None:
        self.pings += 1
        if not self.answering:
            await asyncio.sleep(patience)
            raise EngineUnavailable("no answer")

    def busy_for(self) -> float:
        return 0.0

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        while True:
            yield await self.queue.get()

    async def list_containers(self) -> list[Any]:
        self.lists += 1
        return []

    async def images(self) -> list[Any]:
        return []

    async def uids(self) -> list[str]:
        return []


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@contextmanager
def watching(engine: HangingEngine, told: list[str], every: float) -> Iterator[EngineWatch]:
    parts = SimpleNamespace(runtime=engine, volumes=engine)
    watch = EngineWatch(parts, {}, lambda: told.append(watch.trouble), every)  # type: ignore[arg-type]
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enginehealth, "SILENCE", 0.02)


@pytest.mark.usefixtures("_soon")
async def test_a_hanging_engine_is_noticed_and_so_is_its_return() -> None:
    engine, told = HangingEngine(), list[str]()
    with watching(engine, told, 0.005) as watch:
        await until(lambda: engine.pings > 2)
        assert told == []
        engine.answering = False
        await until(lambda: watch.trouble == DOWN)
        assert told == [DOWN]
        engine.answering = True
        await until(lambda: watch.trouble == "" and engine.lists == 1)
        assert told == [DOWN, ""]


class TalkativeEngine(HangingEngine):
    """Between any two turns of who asks it something has happened."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0

    def busy_for(self) -> float:
        self.turns += 1
        return 0.0

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        while True:
            await asyncio.sleep(0)
            yield RuntimeEvent("oom")


async def test_an_engine_that_tells_events_is_not_asked() -> None:
    engine = TalkativeEngine()
    with watching(engine, [], 0.001):
        await until(lambda: engine.turns > 5)
    assert engine.pings == 0


async def test_a_ping_waits_as_long_as_it_is_told(tmp_path: Any) -> None:
    """A frozen engine's socket takes connections; nobody answers."""
    accepted = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer)

    server = await asyncio.start_unix_server(silent, tmp_path / "socket")
    engine = Engine()
    engine.endpoint = Endpoint(f"unix://{tmp_path / 'socket'}", "1.41")
    try:
        with pytest.raises(EngineUnavailable, match="has not answered"):
            await engine.ping(0.01)
        assert engine.busy_for() == 0.0
    finally:
        for writer in accepted:
            writer.close()
        server.close()
        await engine.close()
