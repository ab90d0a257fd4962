"""What transactions come to: decided one after the other against the present versions of all keys. Pure.

Values are not here: they go to disk with the rows, and come back from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from apiserver.storage.interface import MAX_OPS, Compare, Delete, Op, Put, StorageError, Target
from apiserver.storage.leases import LeaseTable
from apiserver.storage.versions import SHIFT, Row, Version

_NOTHING = Version(0, 0, 0, 0)


class Decided:
    """The state after the last decided transaction, which may not be on disk yet.

    `present`: each key's version; `revision`: of the last transaction that wrote; `leases`: (id, TTL in seconds) of
    those granted, which begin anew at `now`.
    """

    __slots__ = ("leases", "present", "revision")

    def __init__(
        self,
        present: dict[str, Version] | None = None,
        revision: int = 0,
        leases: Iterable[tuple[int, int]] = (),
        now: float = 0.0,
    ) -> None:
        self.present = {} if present is None else present
        self.revision = revision
        self.leases = LeaseTable()
        for lease, ttl in leases:
            self.leases.grant(lease, ttl, now)
        for key, version in self.present.items():
            if version.lease in self.leases:
                self.leases.attach(version.lease, key)

    def holds(self, compare: Compare) -> bool:
        """Whether a transaction's condition holds now."""
        present = self.present.get(compare.key, _NOTHING)
        if compare.target is Target.MOD_REVISION:
            return present.mod_revision == compare.value
        if compare.target is Target.CREATE_REVISION:
            return present.create_revision == compare.value
        return present.version == compare.value

    def lease_of(self, key: str) -> int:
        """The lease of a present key; 0 where it has none or is not there."""
        return self.present.get(key, _NOTHING).lease

    def rows(self, ops: Sequence[Op]) -> list[Row]:
        """The rows that `ops` add, at one new revision if there are any; present versions follow.

        Raises StorageError, with nothing decided, where an operation cannot be.
        """
        if len(ops) > MAX_OPS:
            raise StorageError("too many operations in txn request")
        if len({op.key for op in ops}) < len(ops):
            raise StorageError("duplicate key given in txn request")
        for op in ops:
            if not (op.key.isascii() or _encodable(op.key)):
                raise StorageError(f"key {op.key!r} is not valid Unicode")
            if isinstance(op, Put) and op.lease and op.lease not in self.leases:
                raise StorageError("requested lease not found")
        revision = self.revision + 1
        rows: list[Row] = []
        for op in ops:
            before = self.present.get(op.key)
            place = (revision << SHIFT) + len(rows)
            if isinstance(op, Delete):
                if before is None:
                    continue
                del self.present[op.key]
                rows.append(Row(place, op.key, 0, 0, 0, None))
            else:
                created, version = (before.create_revision, before.version + 1) if before else (revision, 1)
                self.present[op.key] = Version(created, revision, version, op.lease)
                rows.append(Row(place, op.key, created, version, op.lease, op.value))
                if op.lease:
                    self.leases.attach(op.lease, op.key)
            if before is not None and before.lease and before.lease != getattr(op, "lease", 0):
                self.leases.detach(before.lease, op.key)
        if rows:
            self.revision = revision
        return rows


def _encodable(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
