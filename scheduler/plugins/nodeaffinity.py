"""nodeSelector and node affinity: required terms filter, preferred terms score."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, LabelColumn, Mask, Rows, Vector
from scheduler.framework import Rejection, RowIndexes, Scope, scaled, single
from scheduler.requirements import Expression, NodeTerm, Requirements

_REASON = "node(s) didn't match Pod's node affinity/selector"
# A pod pinned to nodes by name (as a DaemonSet's) never looks at the others; Kubernetes then says this of them.
_PINNED_REASON = "node(s) didn't satisfy plugin(s) [NodeAffinity]"


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _any_of(column: LabelColumn, values: tuple[str, ...], columns: Columns) -> Mask:
    codes = column.codes[: columns.count]
    wanted = [code for value in values if (code := column.index.get(value)) is not None]
    if len(wanted) == 1:
        return np.equal(codes, wanted[0])
    return np.isin(codes, wanted)


def _label_mask(expression: Expression, columns: Columns) -> Mask:
    column = columns.label(expression.key)
    operator = expression.operator
    if operator == "In":
        return _any_of(column, expression.values, columns)
    if operator == "NotIn":
        return ~_any_of(column, expression.values, columns)
    if operator in ("Exists", "DoesNotExist"):
        there: Mask = column.codes[: columns.count] != 0
        return there if operator == "Exists" else ~there
    bound = _whole(expression.values[0]) if len(expression.values) == 1 else None
    numbers = (None if bound is None else _whole(value) for value in column.values)
    if bound is None or operator not in ("Gt", "Lt"):
        return np.zeros(columns.count, np.bool_)
    if operator == "Gt":
        return columns.lookup(column, (n is not None and n > bound for n in numbers))
    return columns.lookup(column, (n is not None and n < bound for n in numbers))


def _field_mask(expression: Expression, columns: Columns) -> Mask:
    """`metadata.name` is the only field there is."""
    mask = np.zeros(columns.count, np.bool_)
    if expression.key == "metadata.name":
        mask[[columns.rows[name] for name in expression.values if name in columns.rows]] = True
    return mask if expression.operator == "In" else ~mask


def term_mask(term: NodeTerm, columns: Columns) -> Mask:
    """Nodes that one term matches."""
    mask = np.ones(columns.count, np.bool_)
    for expression in term.labels:
        mask &= _label_mask(expression, columns)
    for expression in term.fields:
        mask &= _field_mask(expression, columns)
    return mask


def any_term_mask(terms: tuple[NodeTerm, ...], columns: Columns) -> Mask:
    """Nodes that at least one of the terms matches."""
    mask = np.zeros(columns.count, np.bool_)
    for term in terms:
        mask |= term_mask(term, columns)
    return mask


def selected(wants: Requirements, columns: Columns) -> Mask:
    """Nodes that the pod's nodeSelector and required node affinity allow."""
    mask = np.ones(columns.count, np.bool_)
    for key, value in wants.node_selector:
        mask &= _any_of(columns.label(key), (value,), columns)
    if wants.node_terms is not None:
        mask &= any_term_mask(wants.node_terms, columns)
    return mask


def pinned(wants: Requirements) -> frozenset[str] | None:
    """The node names a pod is limited to, where every required term names nodes."""
    names: set[str] = set()
    for term in wants.node_terms or ():
        named = [set(e.values) for e in term.fields if e.key == "metadata.name" and e.operator == "In"]
        if not named:
            return None
        names |= set.intersection(*named)
    return frozenset(names) if wants.node_terms else None


class NodeAffinity:
    name: ClassVar[str] = "NodeAffinity"
    scope: ClassVar[Scope] = Scope.NODE

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(wants.node_selector) or wants.node_terms is not None

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        return selected(wants, columns)[rows]

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        names = pinned(wants)
        if names is None:
            return single(self.name, _REASON, False, rows)
        named = np.isin(rows, [columns.rows[name] for name in names if name in columns.rows])
        return [
            *single(self.name, _REASON, False, rows[named]),
            *single(self.name, _PINNED_REASON, False, rows[~named]),
        ]


class NodePreference:
    """Preferred node affinity: the sum of the weights of matching terms, relative to the best node."""

    name: ClassVar[str] = "NodeAffinity"
    scope: ClassVar[Scope] = Scope.NODE

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(wants.preferred_nodes)

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        total = np.zeros(columns.count, np.int64)
        for weight, term in wants.preferred_nodes:
            if term.labels or term.fields:
                total += weight * term_mask(term, columns)
        return scaled(total[rows], feasible)
