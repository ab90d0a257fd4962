"""How many pods a PodDisruptionBudget lets be evicted now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import meta, resources, selectors
from controllermanager.plans.actions import Action, Patch, RequeueAfter
from controllermanager.plans.views import PodView

Object = dict[str, Any]

BUDGETS = resources.get("poddisruptionbudgets", "policy")
_DELETION_TIMEOUT = 120.0  # seconds an evicted pod may take to get its deletionTimestamp


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A budget, the pods of its namespace, and by the uid of each pod's controller what scales it: the uid of the
    controller at the top (the Deployment of a replica set) and the replicas that one wants."""

    budget: Object
    pods: Sequence[PodView]
    scales: Mapping[str, tuple[str, int]]


def selects(budget: Object, labels: Mapping[str, str]) -> bool:
    """No selector selects nothing; an empty one everything."""
    selector = (budget.get("spec") or {}).get("selector")
    return selector is not None and selectors.from_label_selector(selector).matches(labels)


def plan(snapshot: Snapshot, now: datetime) -> list[Action]:
    budget = snapshot.budget
    spec, old = budget["spec"], budget.get("status") or {}
    pods = [p for p in snapshot.pods if selects(budget, p.labels) and not p.finished]
    expected, desired, problem = _desired(spec, pods, snapshot.scales)
    disrupted, look_again = _disrupted(old, pods, now)
    healthy = sum(1 for p in pods if p.ready and not p.deleting and p.name not in disrupted)
    allowed = max(0, healthy - desired) if expected > 0 and not problem else 0
    status: Object = {
        "observedGeneration": budget["metadata"].get("generation") or 0,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "disruptedPods": disrupted or None,
        "conditions": _conditions(budget, allowed, problem, now),
    }
    actions: list[Action] = []
    if any((old.get(key) or None) != (value or None) for key, value in status.items()):
        metadata = budget["metadata"]
        if old.get("disruptedPods"):
            gone = {name: None for name in old["disruptedPods"] if name not in disrupted}
            status["disruptedPods"] = {**disrupted, **gone}
        # Evictions write this status too: never over one that has happened since.
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": status}
        actions.append(Patch(BUDGETS, metadata["namespace"], metadata["name"], patch, subresource="status"))
    if look_again is not None:
        actions.append(RequeueAfter(look_again))
    return actions


def _desired(
    spec: Object, pods: Sequence[PodView], scales: Mapping[str, tuple[str, int]]
) -> tuple[int, int, str]:
    """(expected pods, healthy ones wanted, what is wrong)."""
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and not isinstance(least, str):
        return len(pods), int(least), ""
    expected = 0
    seen: set[str] = set()
    for pod in pods:
        owner = pod.controller
        if owner is None or owner.uid not in scales:
            return len(pods), 0, f"found no controller ref for pod {pod.name!r}"
        top, replicas = scales[owner.uid]
        if top not in seen:
            seen.add(top)
            expected += replicas
    if most is not None:
        return expected, max(0, expected - _share(most, expected)), ""
    return expected, _share(least if least is not None else 1, expected), ""


def _share(value: Any, total: int) -> int:
    if isinstance(value, str):
        return -(-int(value.rstrip("%")) * total // 100)
    return int(value)


def _disrupted(old: Object, pods: Sequence[PodView], now: datetime) -> tuple[dict[str, str], float | None]:
    """Evicted pods that are still to get their deletionTimestamp, and when the first is given up on."""
    by_name = {p.name: p for p in pods}
    kept: dict[str, str] = {}
    look_again: float | None = None
    for name, since in (old.get("disruptedPods") or {}).items():
        pod = by_name.get(name)
        left = _DELETION_TIMEOUT - (now - meta.parse_time(since)).total_seconds()
        if pod is None or pod.deleting or left <= 0:
            continue
        kept[name] = since
        look_again = left if look_again is None else min(look_again, left)
    return kept, look_again


def _conditions(budget: Object, allowed: int, problem: str, now: datetime) -> list[Object]:
    condition: Object = {"type": "DisruptionAllowed", "status": "True" if allowed > 0 else "False"}
    condition["reason"] = "SyncFailed" if problem else "SufficientPods" if allowed > 0 else "InsufficientPods"
    condition["message"] = problem
    condition["observedGeneration"] = budget["metadata"].get("generation") or 0
    conditions = list((budget.get("status") or {}).get("conditions") or ())
    return meta.set_condition(conditions, condition, meta.rfc3339(now))
