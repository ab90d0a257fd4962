"""Scores from how full a node would be: packing (MostAllocated), spreading (LeastAllocated), balance, fragmentation."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from scheduler.columns import Columns, Mask, Rows, Vector
from scheduler.framework import MAX_SCORE, Scope
from scheduler.requirements import CPU, EPHEMERAL, MEMORY, PODS, Requirements

Shares: TypeAlias = npt.NDArray[np.float64]

_CPU, _MEMORY, _PODS = 0, 1, 3
_BASIC = (CPU, MEMORY, EPHEMERAL, PODS)


def _span(columns: Columns, rows: Rows) -> Rows:
    return slice(0, columns.count) if isinstance(rows, slice) else rows


def _share(used: Vector, allocatable: Vector) -> Shares:
    """used / allocatable, at most 1; 1 where there is nothing to use."""
    share: Shares = np.minimum(used / np.maximum(allocatable, 1), 1.0)
    return share


def _scored_shares(wants: Requirements, columns: Columns, rows: Rows) -> tuple[Shares, Shares]:
    """The shares of cpu and memory in use once the pod is there."""
    cpu = _share(columns.scored[0, rows] + wants.scored_cpu, columns.allocatable[_CPU, rows])
    memory = _share(columns.scored[1, rows] + wants.scored_memory, columns.allocatable[_MEMORY, rows])
    return cpu, memory


def _extended(wants: Requirements, columns: Columns) -> list[tuple[int, int]]:
    """(resource index, amount) of each extended resource the pod requests."""
    return [(index, amount) for index, name, amount in columns.demand(wants) if name not in _BASIC]


def _points(share: Shares) -> Vector:
    points: Vector = (share * MAX_SCORE).astype(np.int64)
    return points


class MostAllocated:
    """Bin packing: the fuller the node will be in cpu, memory, pods and what extended resources the pod uses."""

    name: ClassVar[str] = "MostAllocated"
    scope: ClassVar[Scope] = Scope.ROW
    # Extended resources are the scarce ones, so they lead; the pod count only tells apart otherwise equal nodes.
    _CPU_WEIGHT, _MEMORY_WEIGHT, _PODS_WEIGHT, _EXTENDED_WEIGHT = 4, 4, 1, 16

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return True

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        rows = _span(columns, rows)
        cpu, memory = _scored_shares(wants, columns, rows)
        pods = _share(columns.requested[_PODS, rows] + 1, columns.allocatable[_PODS, rows])
        total = self._CPU_WEIGHT * cpu + self._MEMORY_WEIGHT * memory + self._PODS_WEIGHT * pods
        weight = self._CPU_WEIGHT + self._MEMORY_WEIGHT + self._PODS_WEIGHT
        for index, amount in _extended(wants, columns):
            total += self._EXTENDED_WEIGHT * _share(
                columns.requested[index, rows] + amount, columns.allocatable[index, rows]
            )
            weight += self._EXTENDED_WEIGHT
        return _points(total / weight)


class LeastAllocated:
    """Spreading load: the emptier the node will be."""

    name: ClassVar[str] = "LeastAllocated"
    scope: ClassVar[Scope] = Scope.ROW

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return True

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        rows = _span(columns, rows)
        cpu, memory = _scored_shares(wants, columns, rows)
        total, weight = 2.0 - cpu - memory, 2
        for index, amount in _extended(wants, columns):
            used = columns.requested[index, rows] + amount
            total = total + 1.0 - _share(used, columns.allocatable[index, rows])
            weight += 1
        return _points(total / weight)


class BalancedAllocation:
    """Prefers nodes whose cpu and memory would be in use to a like degree."""

    name: ClassVar[str] = "NodeResourcesBalancedAllocation"
    scope: ClassVar[Scope] = Scope.ROW

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return True

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        cpu, memory = _scored_shares(wants, columns, _span(columns, rows))
        return _points(1.0 - np.abs(cpu - memory) / 2)


class Fragmentation:
    """Prefers nodes whose leftovers stay usable.

    A free extended resource (a GPU) is worth nothing without the cpu and memory that go with it. So a pod that does
    not use one keeps off nodes that have it free, and one that does goes where the rest of the node keeps up with it.
    """

    name: ClassVar[str] = "Fragmentation"
    scope: ClassVar[Scope] = Scope.ROW

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return True

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        rows = _span(columns, rows)
        cpu, memory = _scored_shares(wants, columns, rows)
        stranded: Shares = np.abs(cpu - memory) / 2
        used = dict(_extended(wants, columns))
        for name, index in columns.resources.items():
            if name in _BASIC:
                continue
            allocatable = columns.allocatable[index, rows]
            amount = used.get(index, 0)
            free = 1.0 - _share(columns.requested[index, rows] + amount, allocatable)
            free[allocatable == 0] = 0.0
            if amount:
                # What is free here beyond what the scarcer of cpu and memory can still serve.
                lost = np.maximum(free - (1.0 - np.maximum(cpu, memory)), 0.0)
            else:
                lost = free
            stranded = np.maximum(stranded, lost)
        return _points(1.0 - stranded)
