"""The ring of a resource's recent changes: what a watch that starts in the past replays. Pure.

It holds every change after `floor`, in revision order, bounded in number and in bytes. Since each change
also has what was there before, states of the recent past can be told from the present one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from apiserver.entry import Entry

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"


class Change:
    """One change of one object at one revision.

    `entry` is the object as written; for DELETED, the last object under the deletion's revision. `prev` is what
    was there before, None for ADDED.
    """

    __slots__ = ("_left", "entry", "prev", "revision", "type")

    def __init__(self, type: str, entry: Entry, prev: Entry | None) -> None:
        self.type = type
        self.revision = entry.revision
        self.entry = entry
        self.prev = prev
        self._left: Entry | None = None

    def __repr__(self) -> str:
        return f"Change({self.type}, {self.entry!r})"

    def left(self) -> Entry:
        """For a watcher whose selector the object has just left: the object before, at this revision."""
        if self._left is None:
            assert self.prev is not None
            self._left = self.prev.at(self.revision)
        return self._left


class TooOld(Exception):
    """Changes after the asked revision are no longer all held; those after `floor` are."""

    def __init__(self, asked: int, floor: int) -> None:
        super().__init__(f"too old resource version: {asked} ({floor})")
        self.asked = asked
        self.floor = floor


def _revision(change: Change) -> int:
    return change.revision


class Window:
    """At most `max_changes` changes and about `max_bytes` of their objects; at least `min_changes` are kept."""

    __slots__ = ("_bytes", "_changes", "_max_bytes", "_max_changes", "_min_changes", "floor")

    def __init__(
        self, floor: int, *, max_changes: int = 8192, max_bytes: int = 8 << 20, min_changes: int = 128
    ) -> None:
        self.floor = floor
        self._max_changes = max_changes
        self._max_bytes = max_bytes
        self._min_changes = min_changes
        self._changes: list[Change] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._changes)

    def append(self, change: Change) -> None:
        """Add a change; its revision is never below the last one's."""
        self._changes.append(change)
        self._bytes += len(change.entry.data)
        if len(self._changes) > self._max_changes or (
            self._bytes > self._max_bytes and len(self._changes) > self._min_changes
        ):
            self._trim()

    def _trim(self) -> None:
        """Drop the oldest eighth or more: rarely enough that the shift of the list does not count.

        Changes of one revision go together, as a watch can only start between revisions.
        """
        changes = self._changes
        count, size = 0, self._bytes
        target_count = self._max_changes - self._max_changes // 8
        target_size = self._max_bytes - self._max_bytes // 8
        while count < len(changes) - 1:
            remaining = len(changes) - count
            whole = count == 0 or changes[count - 1].revision != changes[count].revision
            fits = remaining <= target_count and (size <= target_size or remaining <= self._min_changes)
            if whole and fits:
                break
            size -= len(changes[count].entry.data)
            count += 1
        if changes[count - 1].revision == changes[count].revision:
            size -= len(changes[count].entry.data)
            count += 1
        self.floor = changes[count - 1].revision
        self._bytes = size
        del changes[:count]

    def changed(self, change: Callable[[Entry], Entry]) -> Window:
        """The same changes of objects that `change` gives in another shape."""
        window = Window(
            self.floor,
            max_changes=self._max_changes,
            max_bytes=self._max_bytes,
            min_changes=self._min_changes,
        )
        for old in self._changes:
            window.append(Change(old.type, change(old.entry), change(old.prev) if old.prev else None))
        return window

    def since(self, revision: int) -> Sequence[Change]:
        """All changes after `revision`, in order. Raises TooOld."""
        if revision < self.floor:
            raise TooOld(revision, self.floor)
        return self._changes[bisect_right(self._changes, revision, key=_revision) :]

    def undo(self, revision: int) -> dict[str, Entry | None]:
        """What each key changed since `revision` held at `revision` (None: nothing). Raises TooOld."""
        before: dict[str, Entry | None] = {}
        for change in self.since(revision):
            before.setdefault(change.entry.key, change.prev)
        return before

    def find(self, revision: int, key: str) -> Change | None:
        """The change of `key` at `revision`, if it is held."""
        at = bisect_right(self._changes, revision, key=_revision) - 1
        while at >= 0 and self._changes[at].revision == revision:
            if self._changes[at].entry.key == key:
                return self._changes[at]
            at -= 1
        return None
