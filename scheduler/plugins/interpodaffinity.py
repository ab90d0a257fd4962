"""Affinity and anti-affinity between pods: the pod's own terms, and those of pods already placed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows, Vector
from scheduler.framework import MAX_SCORE, Rejection, RowIndexes, Scope, single
from scheduler.podcounts import Carried
from scheduler.requirements import PodTerm, Requirements

_AFFINITY_REASON = "node(s) didn't match pod affinity rules"
_ANTI_AFFINITY_REASON = "node(s) didn't match pod anti-affinity rules"
_EXISTING_REASON = "node(s) didn't satisfy existing pods anti-affinity rules"
# What required affinity of a placed pod counts for in scores: Kubernetes's hardPodAffinityWeight.
_REQUIRED_WEIGHT = 1


def _spread_over(term: PodTerm, pods: Vector, columns: Columns) -> Vector:
    """Pods per row → pods in the row's whole domain; 0 where the node has no such label."""
    column = columns.label(term.topology_key)
    codes = column.codes[: columns.count]
    per_domain = np.bincount(codes, weights=pods[: columns.count], minlength=len(column.values))
    per_domain[0] = 0
    result: Vector = per_domain.astype(np.int64)[codes]
    return result


def _spoken_of(wants: Requirements, carried: Mapping[Hashable, Carried], columns: Columns) -> bool:
    """Whether a term of some placed pod is about such a pod."""
    return any(columns.matching.term_matches(c.term, wants) for c in carried.values())


def _affinity_mask(wants: Requirements, columns: Columns) -> Mask:
    mask: Mask = columns.present[: columns.count].copy()
    if not wants.affinity:
        return mask
    together = columns.matching.of_all_terms(wants.affinity)
    somewhere = False
    satisfied = mask.copy()
    for term in wants.affinity:
        mask &= columns.label(term.topology_key).codes[: columns.count] != 0
        in_domain = _spread_over(term, together, columns) > 0
        somewhere = somewhere or bool(in_domain.any())
        satisfied &= in_domain
    if not somewhere and all(columns.matching.term_matches(t, wants) for t in wants.affinity):
        return mask  # The first of a group that wants to be with its own kind may start anywhere.
    return satisfied


def _anti_affinity_mask(wants: Requirements, columns: Columns) -> Mask:
    mask = np.ones(columns.count, np.bool_)
    for term in wants.anti_affinity:
        mask &= _spread_over(term, columns.matching.of_term(term), columns) == 0
    return mask


def _existing_mask(wants: Requirements, columns: Columns) -> Mask:
    """Nodes not ruled out by the required anti-affinity of pods already placed."""
    mask = np.ones(columns.count, np.bool_)
    for carried in columns.matching.repelling.values():
        if columns.matching.term_matches(carried.term, wants):
            mask &= _spread_over(carried.term, carried.per_row, columns) == 0
    return mask


class InterPodAffinity:
    name: ClassVar[str] = "InterPodAffinity"
    scope: ClassVar[Scope] = Scope.CLUSTER

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(wants.affinity or wants.anti_affinity) or _spoken_of(
            wants, columns.matching.repelling, columns
        )

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        mask = _affinity_mask(wants, columns)
        mask &= _anti_affinity_mask(wants, columns)
        mask &= _existing_mask(wants, columns)
        return mask[rows]

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        near = _affinity_mask(wants, columns)[rows]
        apart = _anti_affinity_mask(wants, columns)[rows]
        return [
            *single(self.name, _AFFINITY_REASON, False, rows[~near]),
            *single(self.name, _ANTI_AFFINITY_REASON, True, rows[near & ~apart]),
            *single(self.name, _EXISTING_REASON, True, rows[near & apart]),
        ]


class InterPodPreference:
    """Preferred terms of the pod, and terms of placed pods that speak of it, summed per domain."""

    name: ClassVar[str] = "InterPodAffinity"
    scope: ClassVar[Scope] = Scope.CLUSTER

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        matching = columns.matching
        return (
            bool(wants.preferred_pods)
            or _spoken_of(wants, matching.preferred, columns)
            or _spoken_of(wants, matching.required, columns)
        )

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        total = np.zeros(columns.count, np.int64)
        for term in wants.preferred_pods:
            total += term.weight * _spread_over(term, columns.matching.of_term(term), columns)
        matching = columns.matching
        for carried in (*matching.preferred.values(), *matching.required.values()):
            term = carried.term
            if matching.term_matches(term, wants):
                total += (term.weight or _REQUIRED_WEIGHT) * _spread_over(term, carried.per_row, columns)
        points = total[rows]
        if not feasible.any():
            return np.zeros(len(points), np.int64)
        largest, smallest = int(points[feasible].max()), int(points[feasible].min())
        if largest == smallest:
            return np.zeros(len(points), np.int64)
        result: Vector = MAX_SCORE * (np.clip(points, smallest, largest) - smallest) // (largest - smallest)
        return result
