"""How many pods that match something run on each node: what topology spread and inter-pod affinity count.

A counter is made when a term first asks for it and kept up to date with every pod that comes or goes. Identical pods
share one `Requirements`, so a selector is evaluated once per kind of pod, not once per pod.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from scheduler.requirements import PodTerm, Requirements

if TYPE_CHECKING:
    from scheduler.views import Pod

# Counters kept; the least recently asked for goes first.
_KEPT = 512


class _Counter:
    __slots__ = ("matches", "per_row", "skip_terminating", "verdicts")

    def __init__(self, matches: Callable[[Requirements], bool], rows: int, skip_terminating: bool) -> None:
        self.matches = matches
        self.skip_terminating = skip_terminating
        self.per_row: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self.verdicts: WeakKeyDictionary[Requirements, bool] = WeakKeyDictionary()

    def counts(self, wants: Requirements) -> bool:
        verdict = self.verdicts.get(wants)
        if verdict is None:
            verdict = self.verdicts[wants] = self.matches(wants)
        return verdict


class Carried:
    """A term that placed pods have: how many of them carry it, per row."""

    __slots__ = ("per_row", "pods", "term")

    def __init__(self, term: PodTerm, rows: int) -> None:
        self.term = term
        self.pods = 0
        self.per_row: npt.NDArray[np.int64] = np.zeros(rows, np.int64)


class PodCounts:
    """Pods per kind and row, and counters over them.

    `placed`: requirements → {row: [pods, of them terminating]}. `repelling`, `required` and `preferred`: the required
    anti-affinity, required affinity and preferred terms of placed pods, which speak of pods to come.
    """

    def __init__(self, namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self.placed: dict[Requirements, dict[int, list[int]]] = {}
        self.repelling: dict[Hashable, Carried] = {}
        self.required: dict[Hashable, Carried] = {}
        self.preferred: dict[Hashable, Carried] = {}
        self._namespaces = namespaces
        self._rows = 16
        self._counters: dict[Hashable, _Counter] = {}

    def grow(self, rows: int) -> None:
        for counter in self._counters.values():
            counter.per_row = np.pad(counter.per_row, (0, rows - self._rows))
        for carried in (*self.repelling.values(), *self.required.values(), *self.preferred.values()):
            carried.per_row = np.pad(carried.per_row, (0, rows - self._rows))
        self._rows = rows

    def count(self, pod: Pod, row: int, sign: int) -> None:
        """A pod came to (`sign` 1) or left (-1) a row."""
        wants = pod.wants
        by_row = self.placed.get(wants)
        if by_row is None:
            by_row = self.placed[wants] = {}
        counts = by_row.setdefault(row, [0, 0])
        counts[0] += sign
        counts[1] += sign * pod.terminating
        if not counts[0]:
            del by_row[row]
            if not by_row:
                del self.placed[wants]
        self._carry(self.repelling, wants.anti_affinity, row, sign)
        self._carry(self.required, wants.affinity, row, sign)
        self._carry(self.preferred, wants.preferred_pods, row, sign)
        for counter in self._counters.values():
            if not (counter.skip_terminating and pod.terminating) and counter.counts(wants):
                counter.per_row[row] += sign

    def namespaces_changed(self) -> None:
        """Labels of namespaces changed: what a namespaceSelector matched may no longer hold."""
        self._counters.clear()

    def of_term(self, term: PodTerm, skip_terminating: bool = False) -> npt.NDArray[np.int64]:
        """Pods that `term` matches, per row. The caller must not write to it."""
        key = (term.identity, skip_terminating)
        return self._counter(key, lambda wants: term.matches(wants, self._namespaces), skip_terminating)

    def of_all_terms(self, terms: tuple[PodTerm, ...]) -> npt.NDArray[np.int64]:
        """Pods that every one of `terms` matches, per row: those that required affinity speaks of."""
        key = tuple(term.identity for term in terms)
        return self._counter(key, lambda wants: all(t.matches(wants, self._namespaces) for t in terms), False)

    def of_owner(self, namespace: str, owner: str) -> npt.NDArray[np.int64]:
        """Pods of one controller, per row, without those on their way out."""
        key = ("owner", owner)
        return self._counter(key, lambda wants: wants.owner == owner and wants.namespace == namespace, True)

    def term_matches(self, term: PodTerm, wants: Requirements) -> bool:
        return term.matches(wants, self._namespaces)

    def _carry(
        self, carried: dict[Hashable, Carried], terms: tuple[PodTerm, ...], row: int, sign: int
    ) -> None:
        for term in terms:
            key = (term.identity, term.topology_key, term.weight)
            found = carried.get(key)
            if found is None:
                found = carried[key] = Carried(term, self._rows)
            found.per_row[row] += sign
            found.pods += sign
            if not found.pods:
                del carried[key]

    def _counter(
        self, key: Hashable, matches: Callable[[Requirements], bool], skip_terminating: bool
    ) -> npt.NDArray[np.int64]:
        counter = self._counters.pop(key, None)
        if counter is None:
            counter = _Counter(matches, self._rows, skip_terminating)
            for wants, by_row in self.placed.items():
                if counter.counts(wants):
                    for row, (pods, terminating) in by_row.items():
                        counter.per_row[row] += pods - terminating if skip_terminating else pods
            if len(self._counters) >= _KEPT:
                del self._counters[next(iter(self._counters))]
        self._counters[key] = counter
        return counter.per_row
