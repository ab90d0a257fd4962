"""DaemonSets: one pod on every node that may have it, replaced node by node when the template changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery import resources, selectors
from controllermanager.plans import revisions
from controllermanager.plans.actions import Action, Create, Delete, Event, RequeueAfter, status_patch
from controllermanager.plans.nodematch import selected, untolerated
from controllermanager.plans.ownership import claim
from controllermanager.plans.podtemplate import pod_from_template
from controllermanager.plans.views import PodView

Object = dict[str, Any]

DAEMON_SETS = resources.get("daemonsets", "apps")
PODS = resources.get("pods")
_GENERATION = "pod-template-generation"
# A daemon's pod stays where others are kept away or sent away: it may be what mends the node.
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
BURST = 250


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A daemon set, the pods it or nobody controls, its revisions and all nodes."""

    owner: Object
    pods: Sequence[PodView]
    revisions: Sequence[Object]
    nodes: Sequence[Object]


@dataclass(slots=True)
class Plan:
    """`first` in order, `creates` and `deletes` in batches, then `last`."""

    first: list[Action] = field(default_factory=list)
    creates: list[Action] = field(default_factory=list)
    deletes: list[Action] = field(default_factory=list)
    last: list[Action] = field(default_factory=list)


def tolerations_of(spec: Object) -> list[Object]:
    """The template's tolerations and those every daemon has."""
    tolerations = list(spec.get("tolerations") or ())
    wanted = list(_TOLERATED)
    if spec.get("hostNetwork"):
        wanted.append(("node.kubernetes.io/network-unavailable", "NoSchedule"))
    for key, effect in wanted:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in tolerations:
            tolerations.append(toleration)
    return tolerations


def placement(owner: Object, node: Object) -> tuple[bool, bool]:
    """(a pod should be started there, one that runs there may stay)."""
    spec = owner["spec"]["template"].get("spec") or {}
    if not selected(spec, node):
        return False, False
    tolerations = tolerations_of(spec)
    stays = not untolerated(tolerations, node, ("NoExecute",))
    return stays and not untolerated(tolerations, node, ("NoSchedule",)), stays


def plan(snapshot: Snapshot, now: datetime, suffixes: Iterator[str]) -> Plan:
    owner = snapshot.owner
    selector = selectors.from_label_selector(owner["spec"].get("selector"))
    if selector.empty:
        return Plan()
    claimed, claims = claim(owner, DAEMON_SETS, PODS, snapshot.pods, selector)
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    history = revisions.follow(owner, DAEMON_SETS, snapshot.revisions, collisions)
    result = Plan(first=[*claims, *history.actions])
    by_node: dict[str, list[PodView]] = defaultdict(list)
    for pod in claimed:
        by_node[pod.node or pod.pinned_node].append(pod)
    step = _Step(owner, by_node, snapshot.nodes, history.hash, now)
    if not owner["metadata"].get("deletionTimestamp"):
        step.place()
        if not step.missing and (owner["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
            step.roll()
        result.creates = [
            Create(PODS, _pod(owner, history.hash, name, suffixes)) for name in step.missing[:BURST]
        ]
        result.deletes = [Delete(PODS, p.namespace, p.name, p.uid) for p in step.surplus[:BURST]]
    live = {pod.labels.get(revisions.HASH_LABEL, "") for pod in claimed}
    limit = owner["spec"].get("revisionHistoryLimit")
    result.last = [*step.status(), *revisions.truncate(history, live, 10 if limit is None else limit)]
    return result


class _Step:
    def __init__(
        self,
        owner: Object,
        by_node: dict[str, list[PodView]],
        nodes: Sequence[Object],
        hashed: str,
        now: datetime,
    ) -> None:
        self.owner = owner
        self.by_node = by_node
        self.hash = hashed
        self.now = now
        self.min_ready = int(owner["spec"].get("minReadySeconds") or 0)
        self.placements = {node["metadata"]["name"]: placement(owner, node) for node in nodes}
        self.missing: list[str] = []
        self.surplus: list[PodView] = []
        strategy = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        wanted = sum(1 for runs, _ in self.placements.values() if runs)
        self.surge = _share(strategy.get("maxSurge"), wanted, 0)
        self.unavailable = _share(strategy.get("maxUnavailable"), wanted, 0 if self.surge else 1)

    def place(self) -> None:
        """What is missing on nodes that should have a pod, and too much on those that should not or have several."""
        for name, (runs, stays) in self.placements.items():
            pods = self.by_node.get(name, [])
            ended = [p for p in pods if p.finished and not p.deleting]
            alive = sorted((p for p in pods if p.active), key=lambda p: (p.created, p.name))
            if not stays:
                self.surplus += [*ended, *alive]
                continue
            self.surplus += [p for p in ended if p.phase == "Failed"]
            if not pods and runs:
                self.missing.append(name)
            old = [p for p in alive if not self._is_updated(p)]
            new = [p for p in alive if self._is_updated(p)]
            self.surplus += new[1:]
            self.surplus += old if new and not self.surge else old[1:]
        # Pods of nodes that are gone are the pod garbage collector's.

    def roll(self) -> None:
        """Old pods go as far as maxUnavailable allows; with maxSurge, new ones come first."""
        taken = {p.uid for p in self.surplus}
        budget, surge = self.unavailable, self.surge
        candidates: list[PodView] = []
        for name, (runs, _) in self.placements.items():
            pods = [p for p in self.by_node.get(name, []) if p.active and p.uid not in taken]
            old = [p for p in pods if not self._is_updated(p)]
            new = [p for p in pods if self._is_updated(p)]
            if not runs:
                continue
            well = any(p.available(self.min_ready, self.now) for p in pods)
            if not well:
                budget -= 1
            if not old:
                continue
            if new:
                surge -= 1
                if new[0].available(self.min_ready, self.now):
                    self.surplus += old
            elif not well:
                self.surplus += old  # It does not work anyway.
            else:
                candidates += old
        for pod in candidates:
            if self.surge:
                if surge > 0:
                    surge -= 1
                    self.missing.append(pod.node or pod.pinned_node)
            elif budget > 0:
                budget -= 1
                self.surplus.append(pod)

    def _is_updated(self, pod: PodView) -> bool:
        return pod.labels.get(revisions.HASH_LABEL) == self.hash

    def status(self) -> list[Action]:
        count: dict[str, int] = defaultdict(int)
        waiting = False
        for name, (runs, _) in self.placements.items():
            pods = [p for p in self.by_node.get(name, []) if p.active]
            if not runs:
                count["misscheduled"] += 1 if pods else 0
                continue
            count["desired"] += 1
            if not pods:
                continue
            count["current"] += 1
            pod = max(pods, key=lambda p: (p.available(self.min_ready, self.now), p.ready, p.created))
            count["ready"] += 1 if pod.ready else 0
            available = pod.available(self.min_ready, self.now)
            count["available"] += 1 if available else 0
            waiting = waiting or (pod.ready and not available)
            count["updated"] += 1 if any(self._is_updated(p) for p in pods) else 0
        status: Object = {
            "observedGeneration": self.owner["metadata"].get("generation") or 0,
            "desiredNumberScheduled": count["desired"],
            "currentNumberScheduled": count["current"],
            "numberMisscheduled": count["misscheduled"],
            "numberReady": count["ready"],
        }
        for key, value in (
            ("updatedNumberScheduled", count["updated"]),
            ("numberAvailable", count["available"]),
            ("numberUnavailable", count["desired"] - count["available"]),
        ):
            if value:
                status[key] = value
        old = self.owner.get("status") or {}
        status.update({key: old[key] for key in ("collisionCount", "conditions") if key in old})
        actions = status_patch(DAEMON_SETS, self.owner, status)
        if waiting:
            actions.append(RequeueAfter(1.0))
        return actions


def _share(value: Any, total: int, default: int) -> int:
    """An int-or-percent of the nodes; percentages round up."""
    if value is None:
        return default
    if isinstance(value, str):
        return -(-int(value.rstrip("%")) * total // 100)
    return int(value)


def _pod(owner: Object, hashed: str, node: str, suffixes: Iterator[str]) -> Object:
    template = owner["spec"]["template"]
    pod = pod_from_template(template, owner, DAEMON_SETS, suffixes)
    labels = {**pod["metadata"].get("labels", {}), revisions.HASH_LABEL: hashed}
    annotations = owner["metadata"].get("annotations") or {}
    generation = annotations.get("deprecated.daemonset.template.generation")
    if generation:
        labels[_GENERATION] = generation
    spec = {**pod["spec"], "tolerations": tolerations_of(pod["spec"]), "affinity": _pinned(pod["spec"], node)}
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}, "spec": spec}


def _pinned(spec: Object, node: str) -> Object:
    """The template's affinity with the node's name in place of its required node affinity."""
    affinity = dict(spec.get("affinity") or {})
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    affinity["nodeAffinity"] = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": required,
    }
    return affinity


def events(owner: Object, actions: Sequence[Action]) -> list[Event]:
    involved = {**owner, "apiVersion": "apps/v1", "kind": "DaemonSet"}
    told = []
    for action in actions:
        if isinstance(action, Create):
            text = f"Created pod: {action.obj['metadata']['name']}"
            told.append(Event(involved, "Normal", "SuccessfulCreate", text))
        elif isinstance(action, Delete):
            told.append(Event(involved, "Normal", "SuccessfulDelete", f"Deleted pod: {action.name}"))
    return told
