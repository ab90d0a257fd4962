"""Host ports: one pod per node, protocol, port and address; 0.0.0.0 clashes with every address."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows
from scheduler.framework import Rejection, RowIndexes, Scope, single
from scheduler.requirements import Requirements

_ANY = ("0.0.0.0", "")


class NodePorts:
    name: ClassVar[str] = "NodePorts"
    scope: ClassVar[Scope] = Scope.ROW

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(wants.ports)

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        free = np.ones(columns.count, np.bool_)
        for protocol, ip, port in wants.ports:
            for row, addresses in columns.ports.get((protocol, port), {}).items():
                if ip in _ANY or ip in addresses or any(a in addresses for a in _ANY):
                    free[row] = False
        return free[rows]

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        return single(self.name, "node(s) didn't have free ports for the requested pod ports", True, rows)
