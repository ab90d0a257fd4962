"""The embedded engine: etcd's model on SQLite, for clusters of one machine and for tests.

Transactions are decided on the event loop, against the present versions of all keys, which are kept in memory
(without values). Their rows then go to disk in groups: while one group is being synced, the next one gathers.
Nothing is told to anyone, neither the outcome to the caller nor the event to a watch, before its group is on disk.

One process owns the file, guarded by a lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple, TypeVar

from apiserver.storage.decided import Decided
from apiserver.storage.interface import (
    MAX_OPS,
    Compare,
    Delete,
    Event,
    KeyValue,
    Op,
    RangeResult,
    StorageError,
    TxnResult,
)
from apiserver.storage.publication import Publication
from apiserver.storage.versions import Row, Version, VersionTable, connect
from apiserver.storage.worker import Worker

logger = logging.getLogger(__name__)

_GROUP_ROWS = 512
_CATCH_UP_ROWS = 1000
_SWEEP_REVISIONS = 500
_TICK_SECONDS = 10.0
_LEASE_SECONDS = 0.5

T = TypeVar("T")


class _Pending(NamedTuple):
    """A decided transaction on its way to disk. `failed` are the keys of a transaction whose compares failed."""

    rows: Sequence[Row]
    revision: int
    failed: Sequence[str] | None
    done: asyncio.Future[TxnResult]


class _State(NamedTuple):
    """What is on disk; `leases` are (id, ttl)."""

    present: dict[str, Version]
    revision: int
    leases: Sequence[tuple[int, int]]


class SqliteStore:
    """`path`: a file, or ":memory:" (nothing is synced, everything is gone at the end; for tests).

    History is kept for `retain_seconds`, but not for more than `retain_revisions`. `quota_bytes` bounds the file.
    """

    exclusive = True

    def __init__(
        self,
        path: str = ":memory:",
        *,
        retain_seconds: float = 300.0,
        retain_revisions: int = 100_000,
        quota_bytes: int = 8 << 30,
    ) -> None:
        self._path = path
        self._in_memory = path == ":memory:"
        self._retain_seconds = retain_seconds
        self._retain_revisions = retain_revisions
        self._quota_bytes = quota_bytes
        self._lock_file = -1
        self._open = False
        self._decided = Decided()
        self._last_lease = 0
        self._publication = Publication()
        self._pending: deque[_Pending] = deque()
        self._flushing = False
        self._tasks: list[asyncio.Task[None]] = []
        self._failure = ""
        self._recovery: asyncio.Task[None] | None = None

    # Opening and closing.

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._writing = Worker(self._loop, "sqlite-write")
        self._reading = self._writing if self._in_memory else Worker(self._loop, "sqlite-read")
        try:
            self._adopt(await self._call(self._writing, self._open_file))
        except OSError as error:
            self._release()
            raise StorageError(f"cannot open {self._path}: {error.strerror}") from error
        except StorageError:
            self._release()
            raise
        self._open = True
        self._tasks = [
            asyncio.create_task(self._compact_regularly()),
            asyncio.create_task(self._expire_leases()),
        ]

    def _open_file(self) -> _State:
        if not self._in_memory:
            self._lock_file = os.open(self._path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock_file)
                self._lock_file = -1
                raise StorageError(f"{self._path} is in use by another process") from None
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._writer = VersionTable(connect(self._path, durable=not self._in_memory))
        self._writer.create()
        self._writer.limit_size(self._quota_bytes)
        self._reader = self._writer
        if not self._in_memory:
            self._reader = VersionTable(connect(self._path, durable=True))
        return self._read_state()

    def _read_state(self) -> _State:
        return _State(self._writer.present(), self._writer.revision(), self._writer.leases())

    def _adopt(self, state: _State) -> None:
        """Go on from what is on disk."""
        self._publication.revision = state.revision
        # The clock of before is unknown: like etcd under a new leader, every lease begins anew.
        self._decided = Decided(state.present, state.revision, state.leases, self._loop.time())
        self._last_lease = max([self._last_lease, *(lease for lease, _ in state.leases)])

    async def close(self) -> None:
        if not self._open:
            return
        for task in (*self._tasks, *([self._recovery] if self._recovery else ())):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        while self._flushing and not self._failure:
            await asyncio.gather(self._submit([], []), return_exceptions=True)
        self._open = False
        self._publication.close()
        if self._reader is not self._writer:
            await self._call(self._reading, self._reader.close)
        await self._call(self._writing, self._writer.close)
        self._release()

    def _release(self) -> None:
        if self._reading is not self._writing:
            self._reading.shutdown()
        self._writing.shutdown()
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    async def _call(self, worker: Worker, function: Callable[..., T], *arguments: object) -> T:
        """Run a blocking function of the table; in memory nothing blocks, so no thread is asked."""
        try:
            if self._in_memory and self._open:
                return function(*arguments)
            return await worker.call(function, *arguments)
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: {error}") from error

    async def _read(self, function: Callable[..., T], *arguments: object) -> T:
        self._check()
        return await self._call(self._reading, function, *arguments)

    def _check(self) -> None:
        if not self._open:
            raise StorageError("the store is not open")

    # Reading.

    async def current_revision(self) -> int:
        self._check()
        return self._publication.revision

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        return await self._read(self._reader.get, key, revision)

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0, count_only: bool = False
    ) -> RangeResult:
        return await self._read(self._reader.range, prefix, start, limit, revision, count_only)

    # Writing.

    async def txn(self, compares: Sequence[Compare], ops: Sequence[Op]) -> TxnResult:
        result = await self._submit(compares, ops)
        if not result.succeeded:
            for key in result.current:
                result.current[key] = await self.get(key)
        return result

    def _submit(self, compares: Sequence[Compare], ops: Sequence[Op]) -> asyncio.Future[TxnResult]:
        """Decide a transaction, now, and queue it for the disk."""
        self._check()
        if self._failure:
            raise StorageError(self._failure)
        done: asyncio.Future[TxnResult] = self._loop.create_future()
        if all(self._decided.holds(compare) for compare in compares):
            rows = self._decided.rows(ops)
            self._pending.append(_Pending(rows, self._decided.revision, None, done))
        else:
            failed = [compare.key for compare in compares]
            self._pending.append(_Pending((), self._decided.revision, failed, done))
        if not self._flushing:
            self._flushing = True
            if self._in_memory:
                self._flush()
            else:
                # Once more around the loop, so that what is submitted in this turn shares a group.
                self._loop.call_soon(self._flush)
        return done

    def _flush(self) -> None:
        """Write the next group; `_flushed` goes on from there."""
        group: list[_Pending] = []
        rows: list[Row] = []
        while self._pending and len(rows) < _GROUP_ROWS:
            pending = self._pending.popleft()
            group.append(pending)
            rows += pending.rows
        if not rows:
            self._flushed(group, rows, None)
        elif self._in_memory:
            try:
                self._writer.insert(rows)
            except sqlite3.Error as error:
                self._flushed(group, rows, error)
            else:
                self._flushed(group, rows, None)
        else:
            self._writing.submit(
                lambda _, error: self._flushed(group, rows, error), self._writer.insert, rows
            )

    def _flushed(self, group: Sequence[_Pending], rows: Sequence[Row], error: BaseException | None) -> None:
        if error is not None:
            self._fail(group, error)
            return
        if rows:
            self._publication.publish(group[-1].revision, rows)
        for pending in group:
            if not pending.done.done():
                current: dict[str, KeyValue | None] = dict.fromkeys(pending.failed or ())
                pending.done.set_result(TxnResult(pending.failed is None, pending.revision, current))
        if self._pending:
            self._flush()
        else:
            self._flushing = False

    def _fail(self, group: Sequence[_Pending], error: BaseException) -> None:
        """The disk refused a group. All that was decided on top of it is void too: read the truth again."""
        self._failure = f"{self._path}: {error}"
        logger.error("storage: write failed: %s", self._failure)
        for pending in (*group, *self._pending):
            if not pending.done.done():
                pending.done.set_exception(StorageError(self._failure))
                pending.done.exception()  # a lease's expiry has nobody waiting; it is tried again
        self._pending.clear()
        self._flushing = False
        self._recovery = self._loop.create_task(self._recover())

    async def _recover(self) -> None:
        while self._failure:
            try:
                self._adopt(await self._call(self._writing, self._read_state))
                self._failure = ""
            except StorageError as error:
                self._failure = str(error)
                await asyncio.sleep(1.0)

    # Watching.

    def watch(self, prefix: str, start_revision: int) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        self._check()
        return self._publication.follow(prefix, start_revision, self._changes)

    async def _changes(self, prefix: str, first: int, last: int) -> tuple[int, Sequence[Event]]:
        return await self._read(self._reader.changes, prefix, first, last, _CATCH_UP_ROWS)

    # Compaction.

    async def compact(self, revision: int) -> None:
        self._check()
        await self._call(self._writing, self._writer.begin_compaction, revision)
        more = True
        while more:
            more = await self._call(self._writing, self._writer.sweep, _SWEEP_REVISIONS)
            await asyncio.sleep(0)  # in memory, the sweep is done on the event loop

    async def _compact_regularly(self) -> None:
        """Forget what is older than `retain_seconds` or further back than `retain_revisions`."""
        past: deque[tuple[float, int]] = deque()
        compacted = 0
        while True:
            await asyncio.sleep(min(_TICK_SECONDS, self._retain_seconds))
            now = self._loop.time()
            past.append((now, self._publication.revision))
            until = self._publication.revision - self._retain_revisions
            while past and past[0][0] <= now - self._retain_seconds:
                until = max(until, past.popleft()[1])
            if until <= compacted:
                continue
            try:
                await self.compact(until)
                compacted = until
            except StorageError as error:
                logger.warning("storage: compaction failed: %s", error)

    # Leases.

    async def grant_lease(self, ttl: int) -> int:
        self._check()
        self._last_lease += 1
        lease = self._last_lease
        await self._call(self._writing, self._writer.add_lease, lease, ttl)
        self._decided.leases.grant(lease, ttl, self._loop.time())
        return lease

    async def revoke_lease(self, lease: int) -> None:
        if lease not in self._decided.leases:
            raise StorageError("requested lease not found")
        await self._end_lease(lease)

    async def keep_lease_alive(self, lease: int) -> None:
        self._check()
        if lease not in self._decided.leases:
            raise StorageError("requested lease not found")
        self._decided.leases.keep_alive(lease, self._loop.time())

    async def _end_lease(self, lease: int) -> None:
        keys = sorted(self._decided.leases.end(lease))
        for start in range(0, len(keys), MAX_OPS):
            part = keys[start : start + MAX_OPS]
            await self._submit([], [Delete(key) for key in part if self._decided.lease_of(key) == lease])
        await self._call(self._writing, self._writer.remove_leases, [lease])

    async def _expire_leases(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS)
            for lease in self._decided.leases.expired(self._loop.time()):
                try:
                    await self._end_lease(lease)
                except StorageError as error:
                    # Nothing is lost: the lease is read again with everything else.
                    logger.warning("storage: lease %d could not be ended: %s", lease, error)
