"""Entries in the order of their keys, in runs of bounded length, so that one costs the same among ten or a million.

And by the value of a field: a node's pods. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import chain

from apiserver.entry import Entry

_RUN = 1024


class Ordered:
    """Entries by key. What it returns are lists of their own: they will not change."""

    __slots__ = ("_entries", "_keys", "_lasts", "_run")

    def __init__(self, entries: Iterable[Entry] = (), *, run: int = _RUN) -> None:
        """`entries` are in order."""
        self._run = run
        given = list(entries)
        half = max(1, run // 2)
        self._entries = [given[at : at + half] for at in range(0, len(given), half)]
        self._keys = [[entry.key for entry in run] for run in self._entries]
        #: The last key of each run.
        self._lasts = [keys[-1] for keys in self._keys]

    def __len__(self) -> int:
        return sum(map(len, self._keys))

    def put(self, entry: Entry) -> None:
        """Add an entry, or replace the one of its key."""
        key = entry.key
        number = bisect_left(self._lasts, key)
        if number == len(self._lasts):
            if not number:
                self._keys, self._entries, self._lasts = [[key]], [[entry]], [key]
                return
            number -= 1
        keys, entries = self._keys[number], self._entries[number]
        at = bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            entries[at] = entry
            return
        keys.insert(at, key)
        entries.insert(at, entry)
        if len(keys) > self._run:
            half = len(keys) // 2
            self._keys[number : number + 1] = [keys[:half], keys[half:]]
            self._entries[number : number + 1] = [entries[:half], entries[half:]]
            self._lasts[number : number + 1] = [keys[half - 1], keys[-1]]
        else:
            self._lasts[number] = keys[-1]

    def remove(self, key: str) -> None:
        """Take out the entry of a key, which must be there."""
        number = bisect_left(self._lasts, key)
        keys, entries = self._keys[number], self._entries[number]
        at = bisect_left(keys, key)
        del keys[at], entries[at]
        if keys:
            self._lasts[number] = keys[-1]
        else:
            del self._keys[number], self._entries[number], self._lasts[number]

    def all(self) -> list[Entry]:
        return list(chain.from_iterable(self._entries))

    def below(self, prefix: str) -> list[Entry]:
        """The entries whose keys begin with `prefix`, which ends with a slash."""
        end = prefix[:-1] + "0"
        found: list[Entry] = []
        for number in range(bisect_left(self._lasts, prefix), len(self._lasts)):
            keys = self._keys[number]
            low = bisect_left(keys, prefix)
            high = bisect_left(keys, end, low)
            found += self._entries[number][low:high] if low or high < len(keys) else self._entries[number]
            if high < len(keys):
                break
        return found


class Grouped:
    """Entries by the value of one selectable field; those without a value are left out."""

    __slots__ = ("_groups", "path")

    def __init__(self, path: str, entries: Iterable[Entry] = ()) -> None:
        self.path = path
        self._groups: dict[str, dict[str, Entry]] = {}
        for entry in entries:
            self.put(None, entry)

    def put(self, prev: Entry | None, entry: Entry) -> None:
        """Take in an entry in place of the one before it."""
        value = entry.fields.get(self.path)
        if prev is not None and prev.fields.get(self.path) != value:
            self.remove(prev)
        if value:
            self._groups.setdefault(value, {})[entry.key] = entry

    def remove(self, entry: Entry) -> None:
        value = entry.fields.get(self.path)
        group = self._groups.get(value) if value else None
        if value and group is not None and group.pop(entry.key, None) is not None and not group:
            del self._groups[value]

    def of(self, value: str) -> list[Entry]:
        """The entries of a value, in no order; a list of its own."""
        return list(self._groups.get(value, {}).values())
