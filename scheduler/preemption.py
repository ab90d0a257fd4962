"""Which pods would have to go so that a more important one fits, and where that costs least.

Pure: candidates are tried by taking pods out of the columns and putting them back; the columns end as they began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.columns import Columns, Vector
from scheduler.diagnosis import Diagnosis
from scheduler.profiles import Profile
from scheduler.requirements import Requirements
from scheduler.views import Budget, Pod

# Nodes examined in full, after a cheap test of resources over all of them has put the promising ones first.
_EXAMINED = 100


@dataclass(frozen=True, slots=True)
class Preemption:
    """`victims` are to be deleted so that the pod can go to `node`. Pods already on their way out are not listed."""

    node: str
    victims: tuple[Pod, ...]
    violations: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is preempted: the text after `preemption: ` in the pod's condition."""

    message: str


def preempt(
    pod: Pod, diagnosis: Diagnosis, columns: Columns, profile: Profile, budgets: Sequence[Budget]
) -> Preemption | Refusal:
    """The cheapest preemption that makes room for `pod`, which `diagnosis` says fits nowhere."""
    wants = pod.wants
    if not wants.may_preempt:
        return Refusal("not eligible due to preemptionPolicy=Never.")
    nominated = columns.rows.get(pod.nominated) if pod.nominated else None
    if nominated is not None and any(
        p.terminating and p.victim and p.wants.priority < wants.priority
        for p in columns.pods[nominated].values()
    ):
        return Refusal("not eligible due to a terminating pod on the nominated node.")
    best: tuple[tuple[int, ...], Preemption] | None = None
    for row in _promising(wants, diagnosis, columns):
        found = _on_node(pod, row, columns, profile, budgets)
        if found is None:
            continue
        cost = (*_cost(found), -int(columns.rank[row]))
        if best is None or cost < best[0]:
            best = cost, found
    return best[1] if best else Refusal(diagnosis.preemption_message())


def _promising(wants: Requirements, diagnosis: Diagnosis, columns: Columns) -> list[int]:
    """Rows where removing less important pods would leave enough resources, the least important pods first."""
    helpful = [rejection.rows for rejection in diagnosis.rejections if rejection.resolvable]
    if not helpful or not any(kind.priority < wants.priority for kind in columns.matching.placed):
        return []
    rows = np.concatenate(helpful)
    position = {row: index for index, row in enumerate(rows.tolist())}
    demand = columns.demand(wants)
    freed: Vector = np.zeros((len(demand), len(rows)), np.int64)
    highest: Vector = np.full(len(rows), np.iinfo(np.int64).min)
    for kind, by_row in columns.matching.placed.items():
        if kind.priority >= wants.priority:
            continue
        amounts = [kind.requests.get(name, 0) for _, name, _ in demand]
        for row, (pods, _) in by_row.items():
            index = position.get(row)
            if index is not None:
                for which, amount in enumerate(amounts):
                    freed[which, index] += pods * amount
                highest[index] = max(highest[index], kind.priority)
    enough = highest > np.iinfo(np.int64).min
    for which, (index, _, amount) in enumerate(demand):
        enough &= columns.allocatable[index, rows] - columns.requested[index, rows] + freed[which] >= amount
    chosen = rows[enough]
    ordered = np.lexsort((-columns.rank[chosen], highest[enough]))
    return [int(row) for row in chosen[ordered][:_EXAMINED]]


def _fits(wants: Requirements, row: int, columns: Columns, profile: Profile) -> bool:
    rows = np.array([row], np.intp)
    return all(
        bool(plugin.mask(wants, columns, rows)[0])
        for plugin in profile.filters
        if plugin.applies(wants, columns)
    )


def _importance(pod: Pod) -> tuple[int, str]:
    """Sorts the most important pod first: higher priority, then longer running."""
    return -pod.wants.priority, pod.started or pod.created


def _on_node(
    pod: Pod, row: int, columns: Columns, profile: Profile, budgets: Sequence[Budget]
) -> Preemption | None:
    """The fewest, least important pods to remove from this node; None where removing them all is not enough."""
    node = columns.node_name(row)
    removable = sorted(
        (p for p in columns.pods[row].values() if p.wants.priority < pod.wants.priority), key=_importance
    )
    for other in removable:
        columns.remove_pod(other.uid)
    victims: list[Pod] = []
    violations = 0
    try:
        if not removable or not _fits(pod.wants, row, columns, profile):
            return None
        violating, harmless = _by_budget([p for p in removable if not p.terminating], budgets)
        for listed, cost in ((violating, 1), (harmless, 0)):
            for other in listed:
                columns.add_pod(other, node)
                if not _fits(pod.wants, row, columns, profile):
                    columns.remove_pod(other.uid)
                    victims.append(other)
                    violations += cost
    finally:
        for other in removable:
            columns.add_pod(other, node)
    return Preemption(node, tuple(sorted(victims, key=_importance)), violations)


def _by_budget(pods: Sequence[Pod], budgets: Sequence[Budget]) -> tuple[list[Pod], list[Pod]]:
    """Pods whose removal would break a disruption budget, and the others."""
    left = [budget.allowed for budget in budgets]
    violating: list[Pod] = []
    harmless: list[Pod] = []
    for pod in pods:
        covering = [index for index, budget in enumerate(budgets) if budget.covers(pod)]
        for index in covering:
            left[index] -= 1
        (violating if any(left[index] < 0 for index in covering) else harmless).append(pod)
    return violating, harmless


def _cost(found: Preemption) -> tuple[int, ...]:
    """Compares preemptions: broken budgets, the highest priority, their sum, their number, then the youngest victim."""
    if not found.victims:
        return (0, np.iinfo(np.int32).min, 0, 0, 0)
    priorities = [victim.wants.priority for victim in found.victims]
    highest = max(priorities)
    oldest = min(v.started or v.created for v in found.victims if v.wants.priority == highest)
    # Priorities may be negative: shifted, so that more victims never look cheaper.
    total = sum(priority + (1 << 31) for priority in priorities)
    return (found.violations, highest, total, len(priorities), -_digits(oldest))


def _digits(moment: str) -> int:
    """An RFC 3339 time as a number that sorts as it does."""
    return int("".join(c for c in moment[:19] if c.isdigit()) or "0")
