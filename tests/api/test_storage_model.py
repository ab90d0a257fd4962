"""Storage engines behave as a list of dictionaries does: one state per revision, checked with random histories."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storage_engines import DELETE, ENGINES, PUT, events_until, new_prefix, opened, told

from apiserver.storage.interface import CompactedError, Compare, Delete, KeyValue, Op, Put, Store, Target

NAMES = ("a", "a/b", "a-b", "ab", "b", "é")


@dataclass(frozen=True)
class Write:
    """Compares by name, and values by name (None deletes)."""

    compares: tuple[tuple[str, Target, bool], ...]  # (name, target, whether to ask for the true value)
    values: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Read:
    """A range `back` revisions ago."""

    back: int
    under: str
    limit: int


@dataclass(frozen=True)
class Compact:
    back: int


names = st.sampled_from(NAMES)
writes = st.builds(
    Write,
    st.lists(
        st.tuples(names, st.sampled_from(Target), st.sampled_from((True, True, True, False))), max_size=2
    ).map(tuple),
    st.lists(
        st.tuples(names, st.one_of(st.none(), st.binary(max_size=3))),
        max_size=3,
        unique_by=lambda pair: pair[0],
    ).map(tuple),
)
reads = st.builds(Read, st.integers(0, 12), st.sampled_from(("", "a", "a/", "b")), st.integers(0, 3))
histories = st.lists(
    st.one_of(writes, writes, writes, reads, st.builds(Compact, st.integers(0, 8))), min_size=1, max_size=25
)


class Model:
    """What a store should hold: its whole state at every revision since `base`."""

    def __init__(self, prefix: str, base: int) -> None:
        self.prefix = prefix
        self.base = base
        self.states: list[dict[str, KeyValue]] = [{}]
        self.events: list[tuple[str, str, bytes, int]] = []
        self.compacted = base

    @property
    def revision(self) -> int:
        return self.base + len(self.states) - 1

    def at(self, revision: int) -> dict[str, KeyValue]:
        return self.states[revision - self.base]

    def value(self, key: str, target: Target) -> int:
        kv = self.states[-1].get(key)
        return getattr(kv, target.value) if kv else 0

    def write(self, holds: bool, ops: Sequence[Op]) -> None:
        if not holds:
            return
        state = dict(self.states[-1])
        revision = self.revision + 1
        events = []
        for op in ops:
            before = state.get(op.key)
            if isinstance(op, Put):
                created, version = (before.create_revision, before.version + 1) if before else (revision, 1)
                state[op.key] = KeyValue(op.key, op.value, created, revision, version)
                events.append((PUT, op.key, op.value, revision))
            elif before:
                del state[op.key]
                events.append((DELETE, op.key, b"", revision))
        if events:
            self.states.append(state)
            self.events += events


async def check_write(store: Store, model: Model, write: Write) -> None:
    compares = [
        Compare(model.prefix + name, target, model.value(model.prefix + name, target) + (0 if right else 1))
        for name, target, right in write.compares
    ]
    ops: list[Op] = [
        Delete(model.prefix + name) if value is None else Put(model.prefix + name, value)
        for name, value in write.values
    ]
    holds = all(right for _, _, right in write.compares)
    model.write(holds, ops)
    result = await store.txn(compares, ops)
    assert (result.succeeded, result.revision) == (holds, model.revision)
    if not holds:
        assert result.current == {c.key: model.states[-1].get(c.key) for c in compares}


async def check_read(store: Store, model: Model, read: Read) -> None:
    revision = max(model.base, model.revision - read.back)
    under = model.prefix + read.under
    if revision < model.compacted:
        with pytest.raises(CompactedError):
            await store.range(under, revision=revision)
        return
    expected = [kv for key, kv in sorted(model.at(revision).items()) if key.startswith(under)]
    result = await store.range(under, revision=revision if read.back else 0, limit=read.limit)
    assert list(result.kvs) == expected[: read.limit or None]
    assert (result.count, result.revision) == (len(expected), revision)
    assert result.more == (len(result.kvs) < len(expected))
    for name in NAMES:
        assert await store.get(model.prefix + name, revision=revision) == model.at(revision).get(
            model.prefix + name
        )


async def check_watches(store: Store, model: Model) -> None:
    for start in {model.base + 1, (model.compacted + model.revision) // 2 + 1, model.revision}:
        if start <= model.base or start > model.revision:
            continue
        if start < model.compacted:
            with pytest.raises(CompactedError):
                await events_until(store, model.prefix, start, model.revision)
            continue
        events = await events_until(store, model.prefix, start, model.revision)
        expected = [event for event in model.events if event[3] >= start]
        if start == model.compacted:
            # etcd forgets a deletion at the compacted revision itself.
            found = [told(event) for event in events if told(event)[3] > start]
            assert sorted(found) == sorted(event for event in expected if event[3] > start)
        else:
            assert sorted(told(event) for event in events) == sorted(expected)
            revisions = [event.kv.mod_revision for event in events]
            assert revisions == sorted(revisions)
            state = {kv.key: kv for kv in model.at(start - 1).values()}
            for event in events:
                if event.type.value == PUT:
                    state[event.kv.key] = event.kv
                else:
                    state.pop(event.kv.key, None)
            assert state == model.states[-1]


async def check(store: Store, history: Sequence[Write | Read | Compact]) -> None:
    model = Model(new_prefix(), await store.current_revision())
    for step in history:
        if isinstance(step, Write):
            await check_write(store, model, step)
        elif isinstance(step, Read):
            await check_read(store, model, step)
        else:
            revision = model.revision - step.back
            if revision > model.compacted:
                await store.compact(revision)
                model.compacted = revision
    await check_watches(store, model)


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_agrees_with_the_model(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with asyncio.Runner() as runner:
        context = opened(engine, tmp_path, request)
        store = runner.run(context.__aenter__())

        @settings(
            max_examples=60 if engine == "etcd" else 150,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(histories)
        def histories_agree(history: list[Write | Read | Compact]) -> None:
            runner.run(check(store, history))

        try:
            histories_agree()
        finally:
            runner.run(context.__aexit__(None, None, None))
