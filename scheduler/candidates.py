"""For one kind of pod: which nodes will do and how well, kept from placement to placement and mended where needed.

What depends on nodes alone is computed once per change of nodes; what depends on a node's own pods is recomputed for
the rows that changed; only what depends on pods elsewhere is computed for every placement, where a kind of pod has it.
"""

from __future__ import annotations

import numpy as np

from scheduler.columns import RANK_BITS, Columns, Mask, Rows, Vector
from scheduler.framework import Scope
from scheduler.profiles import Profile
from scheduler.requirements import Requirements

_ALL = slice(None)


class Candidates:
    """Answers for one `Requirements` under one profile. `value` is -1 where a node will not do."""

    def __init__(self, wants: Requirements, profile: Profile) -> None:
        self.wants = wants
        self.profile = profile
        self._generation = -1
        self._storage_generation = -1
        self._clock = -1
        self._allowed: Mask = np.zeros(0, np.bool_)
        self._preferred: Vector = np.zeros(0, np.int64)
        self._value: Vector = np.zeros(0, np.int64)

    def best(self, columns: Columns, only: Mask | None = None) -> int:
        """The row to place the next such pod on, -1 where there is none. `only` narrows the nodes considered."""
        self._refresh(columns)
        value = self._value
        if self._elsewhere(columns):
            value = self._with_cluster(columns, value)
        if only is not None:
            value = np.where(only, value, -1)
        if not len(value):
            return -1
        row = int(value.argmax())
        return row if value[row] >= 0 else -1

    def feasible(self, columns: Columns) -> Mask:
        """Which nodes will do, with everything considered."""
        self._refresh(columns)
        value = self._value
        if self._elsewhere(columns):
            value = self._with_cluster(columns, value)
        mask: Mask = value >= 0
        return mask

    def _refresh(self, columns: Columns) -> None:
        generations = columns.node_generation, columns.storage.generation
        if (self._generation, self._storage_generation) != generations:
            self._generation, self._storage_generation = generations
            self._decide_nodes(columns)
            changed = None
        else:
            changed = columns.changes_since(self._clock)
        self._clock = columns.clock
        if changed is None or len(changed) > columns.count // 4:
            self._value = self._evaluate(columns, _ALL, self._allowed, self._preferred)
        elif changed:
            # A hole reused for a new node moves the node generation, so changed rows are known here.
            rows = np.array(changed, np.intp)
            self._value[rows] = self._evaluate(columns, rows, self._allowed[rows], self._preferred[rows])

    def _decide_nodes(self, columns: Columns) -> None:
        wants = self.wants
        allowed: Mask = columns.present[: columns.count].copy()
        for plugin in self.profile.filters:
            if plugin.scope is Scope.NODE and plugin.applies(wants, columns):
                allowed &= plugin.mask(wants, columns, _ALL)
        preferred = np.zeros(columns.count, np.int64)
        for score, weight in self.profile.scores:
            if score.scope is Scope.NODE and score.applies(wants, columns):
                preferred += weight * score.score(wants, columns, _ALL, allowed)
        self._allowed, self._preferred = allowed, preferred

    def _evaluate(self, columns: Columns, rows: Rows, allowed: Mask, preferred: Vector) -> Vector:
        """Total score and rank, -1 where infeasible, but for what depends on pods elsewhere."""
        wants = self.wants
        feasible = allowed
        for plugin in self.profile.filters:
            if plugin.scope is Scope.ROW and plugin.applies(wants, columns):
                feasible = feasible & plugin.mask(wants, columns, rows)
        total = preferred
        for score, weight in self.profile.scores:
            if score.scope is Scope.ROW and score.applies(wants, columns):
                total = total + weight * score.score(wants, columns, rows, feasible)
        rank = columns.rank[: columns.count][rows]
        value: Vector = np.where(feasible, (total << RANK_BITS) + rank, -1)
        return value

    def _elsewhere(self, columns: Columns) -> bool:
        """Whether any plugin has to look at pods on other nodes for this kind of pod."""
        wants = self.wants
        return any(
            p.scope is Scope.CLUSTER and p.applies(wants, columns) for p in self.profile.filters
        ) or any(p.scope is Scope.CLUSTER and p.applies(wants, columns) for p, _ in self.profile.scores)

    def _with_cluster(self, columns: Columns, value: Vector) -> Vector:
        wants = self.wants
        feasible: Mask = value >= 0
        for plugin in self.profile.filters:
            if plugin.scope is Scope.CLUSTER and plugin.applies(wants, columns):
                feasible = feasible & plugin.mask(wants, columns, _ALL)
        for score, weight in self.profile.scores:
            if score.scope is Scope.CLUSTER and score.applies(wants, columns):
                value = value + (weight * score.score(wants, columns, _ALL, feasible) << RANK_BITS)
        result: Vector = np.where(feasible, value, -1)
        return result


class CandidateCache:
    """Candidates of the kinds of pod seen last, so that a pod arriving alone costs what changed, not all nodes."""

    def __init__(self, profile: Profile, kept: int = 64) -> None:
        self.profile = profile
        self._kept = kept
        self._by_kind: dict[Requirements, Candidates] = {}

    def of(self, wants: Requirements) -> Candidates:
        found = self._by_kind.pop(wants, None)
        if found is None:
            if len(self._by_kind) >= self._kept:
                del self._by_kind[next(iter(self._by_kind))]
            found = Candidates(wants, self.profile)
        self._by_kind[wants] = found
        return found
