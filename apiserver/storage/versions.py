"""The table of versions in SQLite: every value each key has had, by revision, as etcd's MVCC keeps them.

A row's id is its revision and its place in the transaction, so the table is in the order of time, appended to at
its end, and a watch reads it forward; the index by key gives ranges. A deletion is a row without a value.
Everything here is blocking and belongs to one thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from apiserver.storage.interface import (
    CompactedError,
    Event,
    EventType,
    FutureRevisionError,
    KeyValue,
    RangeResult,
)

SHIFT = 8  # a transaction has at most MAX_OPS = 128 rows
FIRST_REVISION = 1
_ROWS_PER_STATEMENT = 64

_SCHEMA = """
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER NOT NULL,
    value BLOB
);
CREATE INDEX IF NOT EXISTS versions_by_key ON versions (key);
CREATE TABLE IF NOT EXISTS leases (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS compaction (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER, swept INTEGER);
INSERT OR IGNORE INTO compaction VALUES (1, 0, 0);
"""


class Row(NamedTuple):
    """One row; `value` None is a deletion."""

    id: int
    key: str
    create_revision: int
    version: int
    lease: int
    value: bytes | None


class Version(NamedTuple):
    """The present version of a key, without its value."""

    create_revision: int
    mod_revision: int
    version: int
    lease: int


@lru_cache(maxsize=_ROWS_PER_STATEMENT)
def _insert(rows: int) -> str:
    return "INSERT INTO versions VALUES " + ",".join(["(?,?,?,?,?,?)"] * rows)


def after_prefix(prefix: str) -> str:
    """The first string behind all that begin with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\U0010ffff"


def connect(path: str, *, durable: bool) -> sqlite3.Connection:
    """A connection that any one thread at a time may use; transactions are begun by hand."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=128 + _ROWS_PER_STATEMENT,
        timeout=10,
    )
    if durable:
        # Objects of 2-3 kB fill pages of 8 kB with a third less waste than smaller ones. For new files only.
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        # A checkpoint holds up the group that meets it by two syncs: every 16 MB is seldom enough.
        connection.execute("PRAGMA wal_autocheckpoint=2000")
        connection.execute(f"PRAGMA journal_size_limit={32 << 20}")
    return connection


class VersionTable:
    """The table seen through one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def create(self) -> None:
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def limit_size(self, quota_bytes: int) -> None:
        """Refuse to grow beyond `quota_bytes` ("database or disk is full")."""
        (page,) = self._connection.execute("PRAGMA page_size").fetchone()
        self._connection.execute(f"PRAGMA max_page_count={max(1, quota_bytes // page)}")

    # Writing.

    def insert(self, rows: Sequence[Row]) -> None:
        """Add rows in one transaction.

        A group of usual size is one statement: every step of a statement lets go of the interpreter lock, and
        taking it back from a busy event loop is what a write costs most.
        """
        if len(rows) <= _ROWS_PER_STATEMENT:
            self._connection.execute(_insert(len(rows)), [column for row in rows for column in row])
            return
        with Transaction(self._connection):
            for start in range(0, len(rows), _ROWS_PER_STATEMENT):
                part = rows[start : start + _ROWS_PER_STATEMENT]
                self._connection.execute(_insert(len(part)), [column for row in part for column in row])

    def add_lease(self, lease: int, ttl: int) -> None:
        self._connection.execute("INSERT INTO leases VALUES (?, ?)", (lease, ttl))

    def remove_leases(self, leases: Iterable[int]) -> None:
        self._connection.executemany("DELETE FROM leases WHERE id = ?", [(lease,) for lease in leases])

    # Reading.

    def leases(self) -> list[tuple[int, int]]:
        """(id, ttl) of each."""
        return self._connection.execute("SELECT id, ttl FROM leases").fetchall()

    def revision(self) -> int:
        (last,) = self._connection.execute("SELECT max(id) FROM versions").fetchone()
        return FIRST_REVISION if last is None else int(last) >> SHIFT

    def compacted(self) -> int:
        (revision,) = self._connection.execute("SELECT revision FROM compaction").fetchone()
        return int(revision)

    def present(self) -> dict[str, Version]:
        """Every key's present version."""
        rows = self._connection.execute(
            "SELECT v.key, v.create_revision, v.id, v.version, v.lease FROM"
            " (SELECT max(id) AS id FROM versions GROUP BY key) m JOIN versions v ON v.id = m.id"
            " WHERE v.value IS NOT NULL"
        )
        return {
            key: Version(created, id >> SHIFT, version, lease) for key, created, id, version, lease in rows
        }

    def _at(self, revision: int) -> int:
        """The revision to read at. Raises CompactedError, FutureRevisionError."""
        present = self.revision()
        if revision > present:
            raise FutureRevisionError(
                f"mvcc: required revision is a future revision ({revision} > {present})"
            )
        if revision and revision < (compacted := self.compacted()):
            raise CompactedError(compacted)
        return revision or present

    def get(self, key: str, revision: int) -> KeyValue | None:
        with Transaction(self._connection):
            end = (self._at(revision) + 1) << SHIFT
            row = self._connection.execute(
                "SELECT id, create_revision, version, lease, value FROM versions"
                " WHERE key = ? AND id < ? ORDER BY id DESC LIMIT 1",
                (key, end),
            ).fetchone()
        if row is None or row[4] is None:
            return None
        return KeyValue(key, row[4], row[1], row[0] >> SHIFT, row[2], row[3])

    def range(self, prefix: str, start: str, limit: int, revision: int, count_only: bool) -> RangeResult:
        low, high = max(prefix, start), after_prefix(prefix)
        latest = "(SELECT max(id) AS id FROM versions WHERE key >= ? AND key < ? AND id < ? GROUP BY key ORDER BY key)"
        with Transaction(self._connection):
            at = self._at(revision)
            end = (at + 1) << SHIFT
            kvs: list[KeyValue] = []
            if not count_only:
                rows = self._connection.execute(
                    f"SELECT v.id, v.key, v.create_revision, v.version, v.lease, v.value FROM {latest} m"
                    " CROSS JOIN versions v ON v.id = m.id WHERE v.value IS NOT NULL LIMIT ?",
                    (low, high, end, limit or -1),
                ).fetchall()
                kvs = [KeyValue(r[1], r[5], r[2], r[0] >> SHIFT, r[3], r[4]) for r in rows]
            if limit or count_only:
                (count,) = self._connection.execute(
                    f"SELECT count(*) FROM {latest} m JOIN versions v ON v.id = m.id WHERE v.value IS NOT NULL",
                    (low, high, end),
                ).fetchone()
            else:
                count = len(kvs)
        return RangeResult(kvs, at, count, not count_only and count > len(kvs))

    def changes(self, prefix: str, first: int, last: int, limit: int) -> tuple[int, list[Event]]:
        """Events under `prefix` of revisions `first` to `last`, at most about `limit`, and how far they reach.

        Raises CompactedError. Revisions are never split.
        """
        with Transaction(self._connection):
            compacted = self.compacted()
            if first < compacted:
                raise CompactedError(compacted)
            rows = self._connection.execute(
                "SELECT id, key, create_revision, version, lease, value FROM versions"
                " WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                (first << SHIFT, (last + 1) << SHIFT, limit),
            ).fetchall()
        reached = last
        if len(rows) == limit:
            reached = (rows[-1][0] >> SHIFT) - 1
        return reached, [
            event_of(Row(*row)) for row in rows if row[0] >> SHIFT <= reached and row[1].startswith(prefix)
        ]

    # Compaction.

    def begin_compaction(self, revision: int) -> None:
        """From now on nothing before `revision` can be read. Raises CompactedError, FutureRevisionError."""
        if revision <= self.compacted():
            raise CompactedError(self.compacted())
        self._at(revision)
        self._connection.execute("UPDATE compaction SET revision = ?", (revision,))

    def sweep(self, revisions: int) -> bool:
        """Remove what compaction has superseded, looking at the next `revisions`; whether there is more to do.

        A version goes when a newer one of its key is not after the compacted revision. A deletion goes with
        it, but one at the compacted revision itself stays, as a watch may start there.
        """
        with Transaction(self._connection):
            compacted, swept = self._connection.execute("SELECT revision, swept FROM compaction").fetchone()
            if swept >= compacted:
                return False
            until = min(compacted, swept + revisions)
            first, last = swept << SHIFT, (until + 1) << SHIFT
            self._connection.execute(
                "DELETE FROM versions WHERE id IN (SELECT o.id FROM versions n JOIN versions o"
                " ON o.key = n.key AND o.id < n.id WHERE n.id >= ? AND n.id < ?)",
                (first, last),
            )
            self._connection.execute(
                "DELETE FROM versions WHERE id >= ? AND id < ? AND value IS NULL",
                (first, min(last, compacted << SHIFT)),
            )
            self._connection.execute("UPDATE compaction SET swept = ?", (until,))
            return bool(until < compacted)


def event_of(row: Row) -> Event:
    revision = row.id >> SHIFT
    if row.value is None:
        return Event(EventType.DELETE, KeyValue(row.key, b"", 0, revision, 0))
    return Event(
        EventType.PUT, KeyValue(row.key, row.value, row.create_revision, revision, row.version, row.lease)
    )


class Transaction:
    """`with Transaction(connection):` one SQLite transaction, rolled back on an error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN")

    def __exit__(self, type: object, *_: object) -> None:
        if type is None:
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
