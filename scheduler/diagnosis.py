"""Why a pod stays pending: per reason and count as Kubernetes words it, and per node on request."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from scheduler.columns import Columns
from scheduler.framework import Rejection
from scheduler.plugins.volumebinding import VolumeBinding
from scheduler.profiles import Profile
from scheduler.requirements import Requirements

NO_NODES = "no nodes available to schedule pods"
_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`everywhere` is set instead of `rejections` where one thing rules out all nodes at once."""

    nodes: int
    rejections: tuple[Rejection, ...]
    everywhere: str = ""

    @property
    def plugins(self) -> frozenset[str]:
        """The filters that rejected some node: what has to change for the pod to have a chance."""
        if self.everywhere:
            return frozenset({VolumeBinding.name})
        return frozenset(rejection.plugin for rejection in self.rejections)

    def message(self, preemption: str = "") -> str:
        """The text of the PodScheduled condition and the FailedScheduling event."""
        if not self.nodes:
            return NO_NODES
        if self.everywhere:
            text = f"0/{self.nodes} nodes are available: {self.everywhere}."
        else:
            counts: Counter[str] = Counter()
            for rejection in self.rejections:
                for reason in rejection.reasons:
                    counts[reason] += len(rejection.rows)
            text = f"0/{self.nodes} nodes are available: {_listed(counts)}."
        return f"{text} preemption: {preemption}" if preemption else text

    def preemption_message(self) -> str:
        """What is said where no pods to preempt were found."""
        counts: Counter[str] = Counter()
        for rejection in self.rejections:
            counts[_NO_VICTIMS if rejection.resolvable else _NOT_HELPFUL] += len(rejection.rows)
        if self.everywhere:
            counts[_NOT_HELPFUL] = self.nodes
        return f"0/{self.nodes} nodes are available: {_listed(counts)}."

    def per_node(self, columns: Columns) -> dict[str, tuple[str, ...]]:
        """Node name → its reasons, on the columns the diagnosis was made on."""
        if self.everywhere:
            return dict.fromkeys(columns.rows, (self.everywhere,))
        return {columns.node_name(row): r.reasons for r in self.rejections for row in r.rows.tolist()}


def _listed(counts: Counter[str]) -> str:
    return ", ".join(sorted(f"{number} {reason}" for reason, number in counts.items() if number))


def impossible(wants: Requirements, columns: Columns, profile: Profile) -> str:
    """What rules out every node at once, "" where nothing does."""
    volumes = next((p for p in profile.filters if isinstance(p, VolumeBinding)), None)
    return volumes.impossible(wants, columns) if volumes is not None and wants.claims else ""


def diagnose(wants: Requirements, columns: Columns, profile: Profile) -> Diagnosis:
    """Each node's first failing filter, in the profile's order."""
    everywhere = impossible(wants, columns, profile)
    if everywhere:
        return Diagnosis(columns.node_count, (), everywhere)
    left = np.flatnonzero(columns.present[: columns.count])
    rejections: list[Rejection] = []
    for plugin in profile.filters:
        if not len(left):
            break
        if not plugin.applies(wants, columns):
            continue
        passed = plugin.mask(wants, columns, left)
        if not passed.all():
            rejections += plugin.explain(wants, columns, left[~passed])
            left = left[passed]
    return Diagnosis(columns.node_count, tuple(rejections))
