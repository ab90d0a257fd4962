"""What controllers keep of an object: of pods a small fixed record, of anything its metadata.

A cluster has many more pods than anything else, so their record is what this process's memory goes to.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apimachinery import meta

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """An ownerReference."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool
    block: bool


def owners(metadata: Object) -> tuple[Owner, ...]:
    return tuple(
        Owner(
            ref["apiVersion"],
            ref["kind"],
            ref["name"],
            ref["uid"],
            bool(ref.get("controller")),
            bool(ref.get("blockOwnerDeletion")),
        )
        for ref in metadata.get("ownerReferences") or ()
    )


@dataclass(frozen=True, slots=True)
class MetaView:
    """An object's metadata, as ownership and garbage collection need it."""

    namespace: str
    name: str
    uid: str
    revision: str
    labels: dict[str, str]
    owners: tuple[Owner, ...]
    finalizers: tuple[str, ...]
    deleting: str

    @classmethod
    def of(cls, obj: Object) -> MetaView:
        metadata = obj["metadata"]
        return cls(
            metadata.get("namespace", ""),
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            metadata.get("labels") or {},
            owners(metadata),
            tuple(metadata.get("finalizers") or ()),
            metadata.get("deletionTimestamp") or "",
        )

    @property
    def controller(self) -> Owner | None:
        return next((owner for owner in self.owners if owner.controller), None)


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod. Times are RFC 3339 texts; `ports` are (name, port, protocol) of containers and sidecars; `claims` names
    PersistentVolumeClaims, those of ephemeral volumes too; `ended_at` is when the last container of a pod that is over
    ended; `exit_codes` and `conditions` (type, status) are kept of failed pods."""

    namespace: str
    name: str
    uid: str
    revision: str
    labels: dict[str, str]
    owners: tuple[Owner, ...]
    finalizers: tuple[str, ...]
    created: str
    deleting: str
    deletion_cost: int
    node: str
    phase: str
    reason: str
    ready: bool
    ready_since: str
    started: bool
    restarts: int
    ips: tuple[str, ...]
    hostname: str
    subdomain: str
    host_network: bool
    ports: tuple[tuple[str, int, str], ...]
    tolerations: tuple[Object, ...]
    exit_codes: tuple[tuple[str, int], ...]
    conditions: tuple[tuple[str, str], ...]
    ended_at: str
    pinned_node: str
    annotations: dict[str, str]
    scheduling_gated: bool
    claims: tuple[str, ...]
    has_ephemeral: bool

    @property
    def controller(self) -> Owner | None:
        return next((owner for owner in self.owners if owner.controller), None)

    @property
    def active(self) -> bool:
        """Neither finished nor on its way out."""
        return not self.deleting and self.phase not in ("Succeeded", "Failed")

    @property
    def finished(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    def available(self, min_ready_seconds: int, now: datetime) -> bool:
        """Ready for at least `min_ready_seconds`."""
        if not self.ready:
            return False
        if min_ready_seconds == 0:
            return True
        return bool(self.ready_since) and (
            (now - meta.parse_time(self.ready_since)).total_seconds() >= min_ready_seconds
        )


# Annotations a controller reads on pods; the others are not kept.
_KEPT_ANNOTATIONS = (
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-index-failure-count",
    "batch.kubernetes.io/job-index-ignored-failure-count",
)


def _pinned_node(spec: Object) -> str:
    """The node a DaemonSet pod is bound for, which its affinity says before it is scheduled."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name" and field.get("operator") == "In" and field.get("values"):
                return str(field["values"][0])
    return ""


def pod_view(obj: Object) -> PodView:
    metadata = obj["metadata"]
    spec = obj.get("spec") or {}
    status = obj.get("status") or {}
    annotations = metadata.get("annotations") or {}
    ready, ready_since = False, ""
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready":
            ready = condition.get("status") == "True"
            ready_since = condition.get("lastTransitionTime") or ""
    containers = spec.get("containers") or ()
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    cost = annotations.get("controller.kubernetes.io/pod-deletion-cost", "0")
    statuses = status.get("containerStatuses") or ()
    exits, ended_at, failed = [], "", status.get("phase") == "Failed"
    if failed or status.get("phase") == "Succeeded":
        for container in (*statuses, *(status.get("initContainerStatuses") or ())):
            terminated = (container.get("state") or {}).get("terminated")
            if terminated:
                exits.append((container["name"], int(terminated.get("exitCode") or 0)))
                ended_at = max(ended_at, terminated.get("finishedAt") or "")
    return PodView(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        revision=metadata["resourceVersion"],
        labels=metadata.get("labels") or {},
        owners=owners(metadata),
        finalizers=tuple(metadata.get("finalizers") or ()),
        created=metadata.get("creationTimestamp") or "",
        deleting=metadata.get("deletionTimestamp") or "",
        deletion_cost=int(cost) if cost.lstrip("+-").isdigit() else 0,
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "Pending",
        reason=status.get("reason") or "",
        ready=ready,
        ready_since=ready_since,
        started=bool(status.get("startTime")),
        restarts=sum(int(c.get("restartCount") or 0) for c in statuses),
        ips=tuple(entry["ip"] for entry in status.get("podIPs") or ())
        or ((status["podIP"],) if status.get("podIP") else ()),
        hostname=spec.get("hostname") or "",
        subdomain=spec.get("subdomain") or "",
        host_network=bool(spec.get("hostNetwork")),
        ports=tuple(
            (port.get("name") or "", port["containerPort"], port.get("protocol") or "TCP")
            for container in (*containers, *sidecars)
            for port in container.get("ports") or ()
        ),
        tolerations=tuple(spec.get("tolerations") or ()),
        exit_codes=tuple(exits) if failed else (),
        conditions=tuple((c["type"], c.get("status") or "") for c in status.get("conditions") or ())
        if failed
        else (),
        ended_at=ended_at,
        pinned_node=_pinned_node(spec) if spec.get("affinity") else "",
        annotations={key: annotations[key] for key in _KEPT_ANNOTATIONS if key in annotations},
        scheduling_gated=bool(spec.get("schedulingGates")),
        claims=_claims(metadata["name"], spec),
        has_ephemeral=any("ephemeral" in volume for volume in spec.get("volumes") or ()),
    )


def _claims(pod: str, spec: Object) -> tuple[str, ...]:
    """The PersistentVolumeClaims of a pod's volumes."""
    found = []
    for volume in spec.get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            found.append(f"{pod}-{volume['name']}")
    return tuple(found)


def by_controller(view: MetaView | PodView) -> Iterable[Hashable]:
    """Index: the controlling owner's uid, or ("", namespace) for what nobody controls."""
    owner = view.controller
    return (owner.uid if owner is not None else ("", view.namespace),)


def by_namespace(view: MetaView | PodView) -> Iterable[Hashable]:
    return (view.namespace,)


def by_node(pod: PodView) -> Iterable[Hashable]:
    return (pod.node,)


def object_by_controller(obj: Object) -> Iterable[Hashable]:
    """`by_controller` for plain objects."""
    owner = meta.controller_of(obj)
    return (owner["uid"] if owner is not None else ("", obj["metadata"].get("namespace", "")),)


def object_by_namespace(obj: Object) -> Iterable[Hashable]:
    return (obj["metadata"].get("namespace", ""),)
