"""The decision: which pod goes to which node, and why the others go nowhere. No I/O, no clock, no chance.

Pods are taken in the given order. Each placement is counted in the columns at once, as a pod that is assumed to be
there, so the next pod sees it. Runs of identical pods share their masks and scores: see `candidates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scheduler.candidates import CandidateCache
from scheduler.columns import Columns
from scheduler.diagnosis import Diagnosis, diagnose, impossible
from scheduler.plugins.volumebinding import ClaimChoice, choose
from scheduler.preemption import Preemption, Refusal, preempt
from scheduler.profiles import Profile
from scheduler.requirements import Requirements
from scheduler.views import Budget, Pod


@dataclass(frozen=True, slots=True)
class Placement:
    """`volumes`: how the pod's waiting claims are to be served; they are promised in the columns already."""

    pod: Pod
    node: str
    volumes: tuple[ClaimChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pod that fits nowhere now. Identical pods share one diagnosis. `preemption`: what would make room for it."""

    pod: Pod
    diagnosis: Diagnosis
    preemption: Preemption | Refusal

    @property
    def message(self) -> str:
        """The text of the PodScheduled condition and of the FailedScheduling event."""
        return self.diagnosis.message(self.preemption.message if isinstance(self.preemption, Refusal) else "")


@dataclass(frozen=True, slots=True)
class Plan:
    placements: list[Placement]
    unplaced: list[Unplaced]


def plan(
    pods: Iterable[Pod],
    columns: Columns,
    profile: Profile,
    *,
    cache: CandidateCache | None = None,
    nominated: Mapping[str, Pod] | None = None,
    budgets: Sequence[Budget] = (),
) -> Plan:
    """Places `pods`, in order. The placements stay in `columns`: take back one that fails with `remove_pod`.

    `nominated`: pods (by uid) that preempted others and wait for their room on `pod.nominated`; pods of a lower
    priority do not take it from them, nor from those that this plan makes preempt.
    """
    decided = Plan([], [])
    cache = cache or CandidateCache(profile)
    held = _Held(columns, nominated or {})
    failed: tuple[Requirements, Diagnosis, Refusal] | None = None
    for pod in pods:
        wants = pod.wants
        held.prepare(pod)
        if failed is not None and failed[0] is wants and not pod.nominated:
            # An identical pod has just been refused, and nothing was placed or preempted since.
            decided.unplaced.append(Unplaced(pod, failed[1], failed[2]))
            continue
        row = -1 if wants.claims and impossible(wants, columns, profile) else _choose(pod, columns, cache)
        if row < 0:
            diagnosis = diagnose(wants, columns, profile)
            outcome = preempt(pod, diagnosis, columns, profile, budgets)
            failed = (wants, diagnosis, outcome) if isinstance(outcome, Refusal) else None
            if isinstance(outcome, Preemption):
                held.nominate(replace(pod, nominated=outcome.node))
            decided.unplaced.append(Unplaced(pod, diagnosis, outcome))
            continue
        failed = None
        choices = tuple(choose(wants, columns, row) or ()) if wants.claims else ()
        for choice in choices:
            if choice.volume:
                columns.storage.promise(choice.volume, (choice.namespace, choice.claim))
        node = columns.node_name(row)
        columns.add_pod(pod, node)
        held.placed(pod)
        decided.placements.append(Placement(pod, node, choices))
    held.release()
    return decided


def _choose(pod: Pod, columns: Columns, cache: CandidateCache) -> int:
    candidates = cache.of(pod.wants)
    nominated = columns.rows.get(pod.nominated) if pod.nominated else None
    if nominated is not None:
        only = np.zeros(columns.count, np.bool_)
        only[nominated] = True
        row = candidates.best(columns, only)
        if row >= 0:
            return row
    return candidates.best(columns)


class _Held:
    """Room kept for nominated pods while pods of no higher priority are placed."""

    def __init__(self, columns: Columns, nominated: Mapping[str, Pod]) -> None:
        self._columns = columns
        self._waiting = {uid: p for uid, p in nominated.items() if uid not in columns.where}
        self._counted: dict[str, Pod] = {}

    def prepare(self, pod: Pod) -> None:
        """Counts exactly the nominated pods that `pod` must give way to."""
        if not self._waiting and not self._counted:
            return
        for uid, other in list(self._counted.items()):
            if uid == pod.uid or other.wants.priority < pod.wants.priority:
                self._columns.remove_pod(uid)
                del self._counted[uid]
        for uid, other in self._waiting.items():
            if uid != pod.uid and uid not in self._counted and other.wants.priority >= pod.wants.priority:
                self._columns.add_pod(other, other.nominated)
                self._counted[uid] = other

    def nominate(self, pod: Pod) -> None:
        self._waiting[pod.uid] = pod

    def placed(self, pod: Pod) -> None:
        self._waiting.pop(pod.uid, None)

    def release(self) -> None:
        for uid in self._counted:
            self._columns.remove_pod(uid)
        self._counted.clear()


def order(pods: Sequence[Pod]) -> list[Pod]:
    """The order of the queue: higher priority first, then older first, then by name."""
    return sorted(pods, key=lambda p: (-p.wants.priority, p.created, p.namespace, p.name))
