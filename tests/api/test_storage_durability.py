"""The embedded store keeps what it acknowledged, whatever kills it, and says clearly when it cannot."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from storage_engines import events_until, put

from apiserver.storage.interface import Compare, Put, StorageError, Target
from apiserver.storage.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[2]

# Writes for ever, 16 at a time, in transactions of two keys; says "writer number revision" once acknowledged.
WRITER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from apiserver.storage.interface import Put
from apiserver.storage.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], retain_seconds=0.1)
    await store.start()
    async def write(writer):
        number = 0
        while True:
            number += 1
            value = b"%d" % number
            result = await store.txn([], [Put(f"/{writer}", value), Put(f"/{writer}/{number % 50}", value * 500)])
            sys.stdout.write(f"{writer} {number} {result.revision}\\n")
            sys.stdout.flush()
    await asyncio.gather(*(write(writer) for writer in range(16)))

asyncio.run(main())
"""


def write_and_kill(path: Path, acknowledged: int) -> dict[str, tuple[int, int]]:
    """Run the writer, kill -9 it after so many acknowledgements; the last (number, revision) by writer."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(ROOT)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    last: dict[str, tuple[int, int]] = {}
    for count, line in enumerate(process.stdout):
        writer, number, revision = line.split()
        last[writer] = (int(number), int(revision))
        if count == acknowledged:
            process.send_signal(signal.SIGKILL)
            # What is still in the pipe was acknowledged too: the loop goes on to its end.
    process.wait()
    process.stdout.close()
    return last


async def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for acknowledged in (300, 1, 1500):
        last = await asyncio.to_thread(write_and_kill, path, acknowledged)
        assert last
        store = SqliteStore(str(path))
        await store.start()
        try:
            present = await store.current_revision()
            for writer, (number, revision) in last.items():
                first, second = await store.get(f"/{writer}"), await store.get(f"/{writer}/{number % 50}")
                assert first is not None
                assert second is not None
                assert revision <= first.mod_revision <= present
                assert int(first.value) >= number
                # One not yet acknowledged may be there, but then all of it is.
                latest = await store.get(f"/{writer}/{int(first.value) % 50}")
                assert latest is not None
                assert latest.value == first.value * 500
            assert await put(store, "/after") == present + 1
        finally:
            await store.close()


async def test_state_survives_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    store = SqliteStore(path)
    await store.start()
    lease = await store.grant_lease(1)
    first = await put(store, "/a", b"1")
    await put(store, "/a", b"2")
    await put(store, "/leased", b"", lease)
    await store.compact(first + 1)
    before = await store.range("/")
    await store.close()
    store = SqliteStore(path)
    await store.start()
    try:
        assert await store.range("/") == before
        result = await store.txn([Compare("/a", Target.VERSION, 2)], [Put("/a", b"3")])
        assert result.succeeded
        assert result.revision == before.revision + 1
        assert await store.grant_lease(60) != lease
        events = await events_until(store, "/", first + 1, before.revision + 2)
        assert events[-1].kv.key == "/leased"
        assert await store.get("/leased") is None
    finally:
        await store.close()


async def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "store.db"), quota_bytes=400_000)
    await store.start()
    try:
        written = 0

        async def write(writer: int) -> None:
            nonlocal written
            for number in range(100):
                compare = Compare(f"/{writer}/{number}", Target.CREATE_REVISION, 0)
                await store.txn([compare], [Put(f"/{writer}/{number}", b"x" * 2000)])
                written += 1

        outcomes = await asyncio.gather(*(write(writer) for writer in range(8)), return_exceptions=True)
        assert all(isinstance(outcome, StorageError) and "full" in str(outcome) for outcome in outcomes)
        held = await store.range("/")
        assert held.count == written
        # It goes on where it was: revisions without a gap, compares against what is really there.
        result = None
        async with asyncio.timeout(10):
            while result is None:
                try:
                    result = await store.txn(
                        [Compare(held.kvs[0].key, Target.VERSION, 1)], [Put("/tiny", b"")]
                    )
                except StorageError:
                    await asyncio.sleep(0.01)
        assert result.succeeded
        assert result.revision == held.revision + 1
    finally:
        await store.close()


@pytest.mark.parametrize("kind", ["missing directory", "directory", "not a database"])
async def test_a_path_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.db"
    if kind == "missing directory":
        path = tmp_path / "missing" / "store.db"
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"something else" * 1000)
    store = SqliteStore(str(path))
    with pytest.raises(StorageError, match=r"store\.db"):
        await store.start()
    await store.close()


async def test_two_processes_cannot_share_the_file(tmp_path: Path) -> None:
    first, second = SqliteStore(str(tmp_path / "store.db")), SqliteStore(str(tmp_path / "store.db"))
    await first.start()
    with pytest.raises(StorageError, match="in use by another process"):
        await second.start()
    await first.close()
    await second.start()
    await second.close()


async def test_history_is_compacted_by_itself(tmp_path: Path) -> None:
    store = SqliteStore(":memory:", retain_seconds=0.05)
    await store.start()
    try:
        first = await put(store, "/a", b"1")
        await put(store, "/a", b"2")
        async with asyncio.timeout(10):
            while True:
                try:
                    await store.get("/a", revision=first)
                except StorageError:
                    break
                await asyncio.sleep(0.01)
        kv = await store.get("/a")
        assert kv is not None
        assert kv.value == b"2"
    finally:
        await store.close()
