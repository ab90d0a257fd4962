"""ReplicaSets and ReplicationControllers: how many pods there should be, which go first, and what is reported."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cmp_to_key
from typing import Any

from apimachinery import meta, resources, selectors
from apimachinery.resources import Resource
from controllermanager.plans.actions import Action, Create, Delete, Event, RequeueAfter, status_patch
from controllermanager.plans.ownership import claim
from controllermanager.plans.podtemplate import pod_from_template
from controllermanager.plans.views import PodView

Object = dict[str, Any]

PODS = resources.get("pods")
BURST = 500  # pods created or deleted in one round at most
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One replica set; the pods of its namespace that it or nobody controls; and all active pods of the replica
    sets that have the same controller, which say how crowded the nodes are."""

    owner: Object
    resource: Resource
    pods: Sequence[PodView]
    related: Sequence[PodView]


@dataclass(frozen=True, slots=True)
class Plan:
    """First `claims`, then `creates` or `deletes` (in batches), then the status of what came out of it."""

    claimed: Sequence[PodView]
    claims: Sequence[Action]
    creates: Sequence[Create]
    deletes: Sequence[Delete]

    @property
    def reason(self) -> str:
        return "FailedCreate" if self.creates else "FailedDelete"


def replicas_of(owner: Object) -> int:
    value = (owner.get("spec") or {}).get("replicas")
    return 1 if value is None else int(value)


def selector_of(owner: Object, resource: Resource) -> selectors.Selector:
    selector = owner["spec"].get("selector") or {}
    if resource.kind == "ReplicationController":
        return selectors.from_map(selector)
    return selectors.from_label_selector(selector)


def plan(snapshot: Snapshot, now: datetime, suffixes: Iterator[str]) -> Plan:
    """Creates the pods that are missing, or deletes those there are too many of."""
    owner, resource = snapshot.owner, snapshot.resource
    selector = selector_of(owner, resource)
    if selector.empty:
        return Plan([], [], [], [])
    claimed, claims = claim(owner, resource, PODS, snapshot.pods, selector)
    if owner["metadata"].get("deletionTimestamp"):
        return Plan(claimed, claims, [], [])
    active = [pod for pod in claimed if pod.active]
    missing = replicas_of(owner) - len(active)
    template = owner["spec"].get("template") or {}
    creates = [
        Create(PODS, pod_from_template(template, owner, resource, suffixes))
        for _ in range(min(missing, BURST))
    ]
    deletes: list[Delete] = []
    if missing < 0:
        ranked = deletion_order(active, snapshot.related, now)
        deletes = [Delete(PODS, p.namespace, p.name, p.uid) for p in ranked[: min(-missing, BURST)]]
    return Plan(claimed, claims, creates, deletes)


def deletion_order(pods: Iterable[PodView], related: Iterable[PodView], now: datetime) -> list[PodView]:
    """First to go first: not on a node, pending, not ready, cheap, on a crowded node, ready for less long, often
    restarted, young. Ages are compared in powers of two, then by uid, so that failures spread over time."""
    crowd = Counter(pod.node for pod in related if pod.active)

    def compare(a: PodView, b: PodView) -> int:
        for x, y in (
            (bool(a.node), bool(b.node)),
            (_PHASES.get(a.phase, 2), _PHASES.get(b.phase, 2)),
            (a.ready, b.ready),
            (a.deletion_cost, b.deletion_cost),
            (-crowd[a.node], -crowd[b.node]),
        ):
            if x != y:
                return -1 if x < y else 1
        if a.ready and a.ready_since != b.ready_since:
            order = _by_age(a, b, a.ready_since, b.ready_since, now)
            if order:
                return order
        if a.restarts != b.restarts:
            return -1 if a.restarts > b.restarts else 1
        if a.created != b.created:
            return _by_age(a, b, a.created, b.created, now)
        return 0

    return sorted(pods, key=cmp_to_key(compare))


def _by_age(a: PodView, b: PodView, since_a: str, since_b: str, now: datetime) -> int:
    """Younger first; without a time is youngest."""
    if not since_a or not since_b:
        return -1 if not since_a else 1
    rank_a, rank_b = _age_rank(since_a, now), _age_rank(since_b, now)
    if rank_a != rank_b:
        return -1 if rank_a < rank_b else 1
    return (a.uid > b.uid) - (a.uid < b.uid)


def _age_rank(since: str, now: datetime) -> int:
    seconds = (now - meta.parse_time(since)).total_seconds()
    return int(math.log2(seconds)) if seconds >= 1 else 0


def plan_status(
    snapshot: Snapshot, claimed: Sequence[PodView], failure: str, reason: str, now: datetime
) -> list[Action]:
    """The status of the claimed pods. `failure` is what went wrong on creating or deleting, with `reason`."""
    owner = snapshot.owner
    spec = owner["spec"]
    old = owner.get("status") or {}
    min_ready = int(spec.get("minReadySeconds") or 0)
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    active = [pod for pod in claimed if pod.active]
    ready = [pod for pod in active if pod.ready]
    available = [pod for pod in ready if pod.available(min_ready, now)]
    labelled = sum(1 for pod in active if template_labels.items() <= pod.labels.items())
    status: Object = {"replicas": len(active)}
    for key, count in (
        ("fullyLabeledReplicas", labelled),
        ("readyReplicas", len(ready)),
        ("availableReplicas", len(available)),
    ):
        if count:
            status[key] = count
    if snapshot.resource.kind == "ReplicaSet":
        status["terminatingReplicas"] = sum(1 for pod in claimed if pod.deleting and not pod.finished)
    status["observedGeneration"] = owner["metadata"].get("generation") or 0
    conditions = list(old.get("conditions") or ())
    current = next((c for c in conditions if c["type"] == "ReplicaFailure"), None)
    if failure and current is None:
        conditions.append(
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": reason,
                "message": failure,
                "lastTransitionTime": meta.rfc3339(now),
            }
        )
    elif not failure and current is not None:
        conditions.remove(current)
    if conditions:
        status["conditions"] = conditions
    actions = status_patch(snapshot.resource, owner, status)
    if min_ready and len(available) < len(ready):
        actions.append(RequeueAfter(_until_available(ready, min_ready, now)))
    return actions


def _until_available(ready: Iterable[PodView], min_ready: int, now: datetime) -> float:
    waits = [
        min_ready - (now - meta.parse_time(pod.ready_since)).total_seconds()
        for pod in ready
        if pod.ready_since and not pod.available(min_ready, now)
    ]
    return max(0.0, min(waits, default=float(min_ready))) + 0.05


def events(owner: Object, resource: Resource, actions: Sequence[Action], failure: str) -> list[Event]:
    """Kubernetes's events on pods created, deleted or refused."""
    involved = {**owner, "apiVersion": resource.api_version, "kind": resource.kind}
    result = []
    for action in actions:
        if isinstance(action, Create):
            text = f"Created pod: {action.obj['metadata']['name']}"
            result.append(Event(involved, "Normal", "SuccessfulCreate", text))
        elif isinstance(action, Delete):
            result.append(Event(involved, "Normal", "SuccessfulDelete", f"Deleted pod: {action.name}"))
    if failure:
        deleting = bool(actions) and isinstance(actions[0], Delete)
        verb, reason = ("deleting", "FailedDelete") if deleting else ("creating", "FailedCreate")
        result.append(Event(involved, "Warning", reason, f"Error {verb}: {failure}"))
    return result
