"""Cordoned nodes take only pods that tolerate the taint `node.kubernetes.io/unschedulable:NoSchedule`."""

from __future__ import annotations

from typing import ClassVar

from scheduler.columns import Columns, Mask, Rows
from scheduler.framework import Rejection, RowIndexes, Scope, single
from scheduler.requirements import Requirements

_TAINT = "node.kubernetes.io/unschedulable"


class NodeUnschedulable:
    name: ClassVar[str] = "NodeUnschedulable"
    scope: ClassVar[Scope] = Scope.NODE

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        if not columns.unschedulable[: columns.count].any():
            return False
        return not any(t.tolerates(_TAINT, "", "NoSchedule") for t in wants.tolerations)

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        allowed: Mask = ~columns.unschedulable[: columns.count][rows]
        return allowed

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        return single(self.name, "node(s) were unschedulable", False, rows)
