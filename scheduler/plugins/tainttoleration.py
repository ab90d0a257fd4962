"""Taints: NoSchedule and NoExecute must be tolerated; PreferNoSchedule is avoided where possible.

Nodes with the same taints share one code, so tolerations are evaluated once per distinct set of taints.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows, Vector
from scheduler.framework import Rejection, RowIndexes, Scope, scaled
from scheduler.requirements import Requirements
from scheduler.views import Taint

# Kubernetes 1.34 and older name the taint; 1.35 and newer say "taint(s)" only. Naming it helps, so it stays.
_REASON = "node(s) had untolerated taint {{{key}: {value}}}"


def untolerated(wants: Requirements, taints: tuple[Taint, ...]) -> Taint | None:
    """The first taint that keeps the pod away."""
    for taint in taints:
        if taint.effect == "PreferNoSchedule":
            continue
        if not any(t.tolerates(taint.key, taint.value, taint.effect) for t in wants.tolerations):
            return taint
    return None


def _unpreferred(wants: Requirements, taints: tuple[Taint, ...]) -> int:
    tolerations = [t for t in wants.tolerations if t.effect in ("", "PreferNoSchedule")]
    return sum(
        taint.effect == "PreferNoSchedule"
        and not any(t.tolerates(taint.key, taint.value, taint.effect) for t in tolerations)
        for taint in taints
    )


class TaintToleration:
    name: ClassVar[str] = "TaintToleration"
    scope: ClassVar[Scope] = Scope.NODE

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(columns.taint_sets[: columns.count].any())

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        table = np.array([untolerated(wants, taints) is None for taints in columns.taints], np.bool_)
        allowed: Mask = table[columns.taint_sets[: columns.count][rows]]
        return allowed

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        codes = columns.taint_sets[rows]
        by_taint: dict[str, list[int]] = {}
        for code in np.unique(codes).tolist():
            taint = untolerated(wants, columns.taints[code])
            if taint is not None:
                by_taint.setdefault(_REASON.format(key=taint.key, value=taint.value), []).append(code)
        return [
            Rejection(self.name, (reason,), False, rows[np.isin(codes, found)])
            for reason, found in by_taint.items()
        ]

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        table = np.array([_unpreferred(wants, taints) for taints in columns.taints], np.int64)
        return scaled(table[columns.taint_sets[: columns.count][rows]], feasible, reverse=True)
