"""The storage interface: etcd's own model of keys, revisions and compare-and-swap transactions.

Two engines implement it (`storage.etcd`, `storage.sqlite`) and pass one test suite. Every change to
the store has a revision, an integer that grows by one with each transaction that changes anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol


class KeyValue(NamedTuple):
    """One key at one revision. `version` counts changes since the key was created, from 1."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class EventType(Enum):
    PUT = "PUT"
    DELETE = "DELETE"


class Event(NamedTuple):
    """A change of one key. For DELETE `kv.value` is empty and `kv.mod_revision` is the deletion's revision.

    What the key held before is not told: the cache in front of the store knows it.
    """

    type: EventType
    kv: KeyValue


class Target(Enum):
    MOD_REVISION = "mod_revision"
    CREATE_REVISION = "create_revision"
    VERSION = "version"


class Compare(NamedTuple):
    """True when `target` of `key` equals `value`. A key that does not exist has 0 for every target."""

    key: str
    target: Target
    value: int


class Put(NamedTuple):
    key: str
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    key: str


Op = Put | Delete
MAX_OPS = 128


@dataclass(frozen=True, slots=True)
class RangeResult:
    """`kvs` in key order; `count` is the number of keys in the whole range, whatever the limit."""

    kvs: Sequence[KeyValue]
    revision: int
    count: int
    more: bool


@dataclass(frozen=True, slots=True)
class TxnResult:
    """`revision` is the store's after the transaction. On failure `current` holds the compared keys as they are.

    `exact` is False where the answer was lost and the success found out afterwards: `revision` may then be later
    than the transaction's own.
    """

    succeeded: bool
    revision: int
    current: dict[str, KeyValue | None]
    exact: bool = True


class StorageError(Exception):
    """The engine could not answer (unreachable, disk full, timed out)."""


class CompactedError(StorageError):
    """The asked revision has been compacted away; `compacted` is the oldest one still held."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"mvcc: required revision has been compacted (oldest is {compacted})")
        self.compacted = compacted


class FutureRevisionError(StorageError):
    """The asked revision has not happened yet."""


class Store(Protocol):
    """All methods may be called concurrently. All raise StorageError where the engine cannot answer.

    `exclusive`: this process is the store's only writer, so that who has seen every acknowledged write of
    this process has seen all there are.
    """

    exclusive: bool

    async def start(self) -> None:
        """Open or connect. Must be called once before anything else."""

    async def close(self) -> None: ...

    async def current_revision(self) -> int:
        """The store's revision, linearizable."""

    async def get(self, key: str, *, revision: int = 0) -> KeyValue | None:
        """One key, linearizable, or as it was at `revision` if not 0. Raises CompactedError."""

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0, count_only: bool = False
    ) -> RangeResult:
        """Keys that begin with `prefix`, from `start` (inclusive) if given, at most `limit` if not 0."""

    async def txn(self, compares: Sequence[Compare], ops: Sequence[Op]) -> TxnResult:
        """Apply `ops` at one revision if every compare holds. Acknowledged means durable.

        At most MAX_OPS, each on a key of its own. Deleting a key that does not exist changes nothing.
        """

    def watch(self, prefix: str, start_revision: int) -> AsyncIterator[tuple[int, Sequence[Event]]]:
        """Batches of events under `prefix` in revision order, from `start_revision` inclusive, none missed.

        Yields (revision, events): all events up to and including `revision` have now been seen; a batch
        may be empty (progress). Raises CompactedError when `start_revision` is gone.
        """

    async def compact(self, revision: int) -> None:
        """Forget superseded versions before `revision`."""

    async def grant_lease(self, ttl: int) -> int:
        """A lease of `ttl` seconds; keys put with it are deleted when it ends."""

    async def revoke_lease(self, lease: int) -> None: ...

    async def keep_lease_alive(self, lease: int) -> None: ...
