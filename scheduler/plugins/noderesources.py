"""NodeResourcesFit: what a pod requests must be free in every resource it requests."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows
from scheduler.framework import Rejection, RowIndexes, Scope
from scheduler.requirements import PODS, Requirements


class NodeResourcesFit:
    name: ClassVar[str] = "NodeResourcesFit"
    scope: ClassVar[Scope] = Scope.ROW

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return True

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        rows = slice(0, columns.count) if isinstance(rows, slice) else rows
        fits: Mask | None = None
        for index, _, amount in columns.demand(wants):
            enough: Mask = columns.allocatable[index, rows] - columns.requested[index, rows] >= amount
            fits = enough if fits is None else fits & enough
        assert fits is not None  # Every pod requests at least `pods: 1`.
        return fits

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        demand = columns.demand(wants)
        lacking = np.zeros(len(rows), np.int64)
        too_small = np.zeros(len(rows), np.bool_)
        for bit, (index, _, amount) in enumerate(demand):
            allocatable = columns.allocatable[index, rows]
            lacking |= (allocatable - columns.requested[index, rows] < amount).astype(np.int64) << bit
            too_small |= allocatable < amount
        result = []
        # The top bit tells apart nodes that are too small even when empty: preempting there cannot help.
        kinds = lacking | too_small.astype(np.int64) << len(demand)
        for kind in np.unique(kinds).tolist():
            reasons = tuple(
                "Too many pods" if name == PODS else f"Insufficient {name}"
                for bit, (_, name, _) in enumerate(demand)
                if kind >> bit & 1
            )
            result.append(Rejection(self.name, reasons, not kind >> len(demand), rows[kinds == kind]))
        return result
