"""When a node counts as lost, what its conditions and taints say then, and how fast pods are moved away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Event, Patch
from controllermanager.plans.views import PodView

Object = dict[str, Any]

NODES = resources.get("nodes")
PODS = resources.get("pods")
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_OTHER = ("MemoryPressure", "DiskPressure", "PIDPressure")
# (condition type, its value) → the NoSchedule taint that shows it to the scheduler.
_CONDITION_TAINTS = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
_OURS = frozenset(_CONDITION_TAINTS.values()) | {UNSCHEDULABLE}
_LARGE_CLUSTER = 50
_UNHEALTHY = 0.55
_SECONDARY_RATE = 0.01


@dataclass(slots=True)
class Heartbeat:
    """The last sign of life: what it said, and when it was seen on our clock (nodes' clocks are not trusted)."""

    sign: tuple[str, ...]
    at: float


def sign_of_life(node: Object, lease: Object | None) -> tuple[str, ...]:
    """Changes with every heartbeat."""
    ready = meta.condition(node, "Ready") or {}
    renewed = ((lease or {}).get("spec") or {}).get("renewTime") or ""
    return (ready.get("lastHeartbeatTime") or "", ready.get("status") or "", renewed)


def ready_of(node: Object) -> str:
    """The Ready condition's status: True, False or Unknown; a node that never reported is Unknown."""
    condition = meta.condition(node, "Ready")
    return condition["status"] if condition is not None else "Unknown"


def is_lost(heartbeat: Heartbeat, now: float, grace: float) -> bool:
    return now - heartbeat.at > grace


def unknown_conditions(node: Object, now: datetime) -> list[Action]:
    """A lost node's conditions become Unknown; none if they are."""
    stamp = meta.rfc3339(now)
    conditions = list((node.get("status") or {}).get("conditions") or ())
    before = list(conditions)
    for kind in ("Ready", *_OTHER):
        current = next((c for c in conditions if c["type"] == kind), None)
        if current is None:
            created = node["metadata"].get("creationTimestamp") or stamp
            conditions.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "lastHeartbeatTime": created,
                    "lastTransitionTime": stamp,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                }
            )
        elif current["status"] != "Unknown":
            changed = {
                **current,
                "status": "Unknown",
                "lastTransitionTime": stamp,
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
            }
            conditions[conditions.index(current)] = changed
    if conditions == before:
        return []
    metadata = node["metadata"]
    patch = {
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "status": {"conditions": conditions},
    }
    return [Patch(NODES, "", metadata["name"], patch, subresource="status", missing_ok=True)]


def wanted_taints(node: Object, evict: bool, now: datetime) -> list[Object]:
    """The node's taints as they should be: those of others kept, NoSchedule by condition, NoExecute if `evict`."""
    spec = node.get("spec") or {}
    taints = list(spec.get("taints") or ())
    values = {c["type"]: c["status"] for c in (node.get("status") or {}).get("conditions") or ()}
    values.setdefault("Ready", "Unknown")
    keys = [taint for (kind, value), taint in _CONDITION_TAINTS.items() if values.get(kind) == value]
    if spec.get("unschedulable"):
        keys.append(UNSCHEDULABLE)
    if "Ready" not in {c["type"] for c in (node.get("status") or {}).get("conditions") or ()}:
        # A node that has just registered and reported nothing yet is not unreachable, it is not ready.
        keys = [NOT_READY if key == UNREACHABLE else key for key in keys]
    kept = [
        t
        for t in taints
        if not (t["key"] in _OURS and t["effect"] == "NoSchedule" and t["key"] not in keys)
        and not (t["key"] in (NOT_READY, UNREACHABLE) and t["effect"] == "NoExecute")
    ]
    for key in keys:
        if not any(t["key"] == key and t["effect"] == "NoSchedule" for t in kept):
            kept.append({"key": key, "effect": "NoSchedule"})
    execute = next((key for key in keys if key in (NOT_READY, UNREACHABLE)), None)
    if execute is not None and evict:
        present = next((t for t in taints if t["key"] == execute and t["effect"] == "NoExecute"), None)
        kept.append(present or {"key": execute, "effect": "NoExecute", "timeAdded": meta.rfc3339(now)})
    return kept


def is_evicting(node: Object) -> bool:
    """It has a NoExecute taint for being not ready or unreachable."""
    return any(
        t["key"] in (NOT_READY, UNREACHABLE) and t["effect"] == "NoExecute"
        for t in (node.get("spec") or {}).get("taints") or ()
    )


def taints(node: Object, evict: bool, now: datetime) -> list[Action]:
    wanted = wanted_taints(node, evict, now)
    current = (node.get("spec") or {}).get("taints") or []

    def identity(taint: Object) -> tuple[str, str]:
        return taint["key"], taint["effect"]

    if sorted(map(identity, wanted)) == sorted(map(identity, current)):
        return []
    metadata = node["metadata"]
    patch = {
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "spec": {"taints": wanted or None},
    }
    return [Patch(NODES, "", metadata["name"], patch, missing_ok=True)]


def not_ready_pods(node: Object, pods: Iterable[PodView], now: datetime) -> list[Action]:
    """Pods of a node that is not ready are not ready either: no traffic goes to them."""
    actions: list[Action] = []
    for pod in pods:
        if not pod.ready or pod.finished:
            continue
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": meta.rfc3339(now)}
        patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        actions.append(
            Patch(
                PODS, pod.namespace, pod.name, patch, kind="strategic", subresource="status", missing_ok=True
            )
        )
        involved = {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": pod.uid,
        }
        actions.append(Event(involved, "Warning", "NodeNotReady", "Node is not ready"))
    return actions


def node_event(node: Object, reason: str, text: str) -> Event:
    name = node["metadata"]["name"]
    involved = {"kind": "Node", "apiVersion": "v1", "name": name, "uid": node["metadata"]["uid"]}
    return Event(involved, "Normal", reason, text)


@dataclass(slots=True)
class EvictionBudget:
    """How many nodes may get a NoExecute taint now: a bucket of one that refills with the rate of the moment.

    If no node is ready the fault is more likely ours than theirs, and nothing is evicted; where 55 % and more than
    two are not ready, small clusters stop and large ones slow down. Kubernetes's rules, for one zone.
    """

    rate: float
    tokens: float = 1.0
    at: float = 0.0

    def allowed_rate(self, nodes: Sequence[Object]) -> float:
        ready = sum(1 for node in nodes if ready_of(node) == "True")
        lost = len(nodes) - ready
        if ready == 0:
            return 0.0
        if lost > 2 and lost / len(nodes) >= _UNHEALTHY:
            return _SECONDARY_RATE if len(nodes) > _LARGE_CLUSTER else 0.0
        return self.rate

    def take(self, rate: float, now: float) -> bool:
        self.tokens = min(1.0, self.tokens + (now - self.at) * rate)
        self.at = now
        if rate == 0.0 or self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
