"""Topology spread: hard constraints filter, soft ones score; pods of one controller spread in the spreading profile."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows, Vector
from scheduler.framework import MAX_SCORE, Rejection, RowIndexes, Scope, scaled, single
from scheduler.plugins import nodeaffinity, tainttoleration
from scheduler.requirements import Requirements, SpreadConstraint

_REASON = "node(s) didn't match pod topology spread constraints"
_MISSING_REASON = "node(s) didn't match pod topology spread constraints (missing required label)"


def _labelled(constraints: list[SpreadConstraint], columns: Columns) -> Mask:
    """Nodes that have every constraint's topology key."""
    mask: Mask = columns.present[: columns.count].copy()
    for constraint in constraints:
        mask &= columns.label(constraint.term.topology_key).codes[: columns.count] != 0
    return mask


def _counted(constraint: SpreadConstraint, wants: Requirements, columns: Columns, labelled: Mask) -> Mask:
    """Nodes whose pods count, by the constraint's inclusion policies."""
    mask = labelled
    if constraint.honor_affinity and (wants.node_selector or wants.node_terms is not None):
        mask = mask & nodeaffinity.selected(wants, columns)
    if constraint.honor_taints:
        table = np.array([tainttoleration.untolerated(wants, t) is None for t in columns.taints], np.bool_)
        mask = mask & table[columns.taint_sets[: columns.count]]
    return mask


def _per_domain(constraint: SpreadConstraint, columns: Columns, counted: Mask) -> tuple[Vector, Mask]:
    """Matching pods per value of the topology key, and which values are domains that count."""
    column = columns.label(constraint.term.topology_key)
    codes = column.codes[: columns.count][counted]
    pods = columns.matching.of_term(constraint.term, skip_terminating=True)[: columns.count][counted]
    size = len(column.values)
    exists = np.zeros(size, np.bool_)
    exists[codes] = True
    return np.bincount(codes, weights=pods, minlength=size).astype(np.int64), exists


class PodTopologySpread:
    name: ClassVar[str] = "PodTopologySpread"
    scope: ClassVar[Scope] = Scope.CLUSTER

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return any(c.hard for c in wants.spread)

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        hard = [c for c in wants.spread if c.hard]
        labelled = _labelled(hard, columns)
        allowed = labelled.copy()
        for constraint in hard:
            counted = _counted(constraint, wants, columns, labelled)
            per_domain, exists = _per_domain(constraint, columns, counted)
            domains = int(exists.sum())
            lowest = 0
            if domains >= constraint.min_domains:
                lowest = int(per_domain.min(where=exists, initial=np.iinfo(np.int64).max)) if domains else 0
            itself = columns.matching.term_matches(constraint.term, wants)
            codes = columns.label(constraint.term.topology_key).codes[: columns.count]
            allowed &= (per_domain + itself - lowest <= constraint.max_skew)[codes]
        return allowed[rows]

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        labelled = _labelled([c for c in wants.spread if c.hard], columns)[rows]
        return [
            *single(self.name, _REASON, True, rows[labelled]),
            *single(self.name, _MISSING_REASON, False, rows[~labelled]),
        ]


class PodTopologySpreadScore:
    """Soft constraints: fewer matching pods in the node's domains is better; rarer domains weigh more."""

    name: ClassVar[str] = "PodTopologySpread"
    scope: ClassVar[Scope] = Scope.CLUSTER

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return any(not c.hard for c in wants.spread)

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        soft = [c for c in wants.spread if not c.hard]
        labelled = _labelled(soft, columns)
        raw = np.zeros(columns.count, np.float64)
        for constraint in soft:
            codes = columns.label(constraint.term.topology_key).codes[: columns.count]
            counted = _counted(constraint, wants, columns, labelled)
            per_domain, _ = _per_domain(constraint, columns, counted)
            domains = len(np.unique(codes[rows][feasible & labelled[rows]]))
            raw += per_domain[codes] * math.log(domains + 2) + (constraint.max_skew - 1)
        points = np.rint(raw[rows] * 100).astype(np.int64)
        comparable = feasible & labelled[rows]
        highest = int(points.max(initial=0, where=comparable))
        lowest = int(points.min(initial=np.iinfo(np.int64).max, where=comparable))
        if highest == 0:
            result: Vector = np.full(len(points), MAX_SCORE, np.int64)
        else:
            result = MAX_SCORE * (highest + lowest - np.minimum(points, highest)) // highest
        result = np.clip(result, 0, MAX_SCORE)
        result[~labelled[rows]] = 0
        return result


class OwnerSpread:
    """Keeps the pods of one controller on different nodes, where nothing else says how they should spread."""

    name: ClassVar[str] = "OwnerSpread"
    scope: ClassVar[Scope] = Scope.CLUSTER

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(wants.owner) and not wants.spread

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        pods = columns.matching.of_owner(wants.namespace, wants.owner)[: columns.count]
        return scaled(pods[rows], feasible, reverse=True)
