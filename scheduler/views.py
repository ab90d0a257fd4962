"""Small frozen views of the objects the scheduler watches, made once per change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apimachinery import selectors
from scheduler.requirements import NodeTerm, Requirements, amounts, node_terms, requirements

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Node:
    """What scheduling reads of a Node. Equal views need no work: a heartbeat changes nothing here.

    `images`: (name, size in bytes).
    """

    name: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, int]
    taints: tuple[Taint, ...]
    unschedulable: bool
    images: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, obj: Object) -> Node:
        metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
        images = {
            name: image.get("sizeBytes", 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }
        return cls(
            name=metadata["name"],
            labels=metadata.get("labels") or {},
            allocatable=amounts(status.get("allocatable") or status.get("capacity")),
            taints=tuple(Taint(t["key"], t.get("value", ""), t["effect"]) for t in spec.get("taints") or ()),
            unschedulable=bool(spec.get("unschedulable")),
            images=tuple(sorted(images.items())),
        )


@dataclass(frozen=True, slots=True)
class Pod:
    """What scheduling reads of a Pod; `wants` is shared with all identical pods.

    `created` and `started` are RFC 3339 texts (they sort as times do). `condition` is the message of a false
    PodScheduled condition. `victim` says the pod is being deleted because the scheduler preempted it.
    """

    uid: str
    namespace: str
    name: str
    resource_version: str
    wants: Requirements
    node: str
    scheduler: str
    gated: bool
    finished: bool
    terminating: bool
    victim: bool
    nominated: str
    created: str
    started: str
    condition: str

    @classmethod
    def of(cls, obj: Object) -> Pod:
        metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        scheduled, disruption = conditions.get("PodScheduled", {}), conditions.get("DisruptionTarget", {})
        return cls(
            uid=metadata["uid"],
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            resource_version=metadata.get("resourceVersion", ""),
            wants=requirements(obj),
            node=spec.get("nodeName") or "",
            scheduler=spec.get("schedulerName") or "default-scheduler",
            gated=bool(spec.get("schedulingGates")),
            finished=status.get("phase") in ("Succeeded", "Failed"),
            terminating="deletionTimestamp" in metadata,
            victim=disruption.get("status") == "True" and disruption.get("reason") == "PreemptionByScheduler",
            nominated=status.get("nominatedNodeName") or "",
            created=metadata.get("creationTimestamp") or "",
            started=status.get("startTime") or "",
            condition=scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        )

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def reference(self) -> dict[str, Any]:
        """The object an Event about this pod is about."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": self.namespace,
                "name": self.name,
                "uid": self.uid,
                "resourceVersion": self.resource_version,
            },
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """What scheduling reads of a PersistentVolumeClaim. `volume` is "" until it is bound."""

    namespace: str
    name: str
    volume: str
    bound: bool
    storage_class: str
    access_modes: tuple[str, ...]
    storage: int
    selected_node: str
    deleted: bool

    @classmethod
    def of(cls, obj: Object) -> Claim:
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        annotations = metadata.get("annotations") or {}
        requested = (spec.get("resources") or {}).get("requests")
        return cls(
            namespace=metadata["namespace"],
            name=metadata["name"],
            volume=spec.get("volumeName") or "",
            bound=bool(spec.get("volumeName")) and (obj.get("status") or {}).get("phase") == "Bound",
            storage_class=spec.get("storageClassName") or "",
            access_modes=tuple(spec.get("accessModes") or ()),
            storage=amounts(requested).get("storage", 0),
            selected_node=annotations.get("volume.kubernetes.io/selected-node", ""),
            deleted="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True)
class Volume:
    """What scheduling reads of a PersistentVolume. `terms` is None where any node will do."""

    name: str
    terms: tuple[NodeTerm, ...] | None
    storage_class: str
    access_modes: tuple[str, ...]
    storage: int
    claimed_by: tuple[str, str] | None
    available: bool
    zones: tuple[tuple[str, frozenset[str]], ...]
    driver: str = ""  # of a CSI volume
    handle: str = ""

    @classmethod
    def of(cls, obj: Object) -> Volume:
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        required = (spec.get("nodeAffinity") or {}).get("required")
        claim = spec.get("claimRef")
        labels = metadata.get("labels") or {}
        csi = spec.get("csi") or {}
        return cls(
            name=metadata["name"],
            terms=None if required is None else node_terms(required),
            storage_class=spec.get("storageClassName") or "",
            access_modes=tuple(spec.get("accessModes") or ()),
            storage=amounts(spec.get("capacity")).get("storage", 0),
            claimed_by=(claim.get("namespace", ""), claim.get("name", "")) if claim else None,
            available=(obj.get("status") or {}).get("phase", "Available") in ("Available", "Pending"),
            zones=tuple((k, frozenset(labels[k].split("__"))) for k in ZONE_LABELS if k in labels),
            driver=csi.get("driver", ""),
            handle=csi.get("volumeHandle", ""),
        )


ZONE_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


@dataclass(frozen=True, slots=True)
class StorageClass:
    """What scheduling reads of a StorageClass."""

    name: str
    provisioner: str
    waits: bool
    topologies: tuple[tuple[tuple[str, frozenset[str]], ...], ...]

    @classmethod
    def of(cls, obj: Object) -> StorageClass:
        return cls(
            name=obj["metadata"]["name"],
            provisioner=obj.get("provisioner", ""),
            waits=obj.get("volumeBindingMode") == "WaitForFirstConsumer",
            topologies=tuple(
                tuple((e["key"], frozenset(e["values"])) for e in t.get("matchLabelExpressions") or ())
                for t in obj.get("allowedTopologies") or ()
            ),
        )


@dataclass(frozen=True, slots=True)
class VolumeLimits:
    """How many volumes of each driver a node takes: what scheduling reads of a CSINode."""

    name: str
    counts: dict[str, int]

    @classmethod
    def of(cls, obj: Object) -> VolumeLimits:
        drivers = (obj.get("spec") or {}).get("drivers") or ()
        counts = {one["name"]: (one.get("allocatable") or {}).get("count") for one in drivers}
        return cls(obj["metadata"]["name"], {name: n for name, n in counts.items() if n is not None})


@dataclass(frozen=True, slots=True)
class Budget:
    """What preemption reads of a PodDisruptionBudget."""

    namespace: str
    name: str
    selector: Any
    allowed: int
    disrupted: frozenset[str]

    @classmethod
    def of(cls, obj: Object) -> Budget:
        status, selector = obj.get("status") or {}, (obj.get("spec") or {}).get("selector")
        return cls(
            namespace=obj["metadata"]["namespace"],
            name=obj["metadata"]["name"],
            selector=None if selector is None else selectors.from_label_selector(selector),
            allowed=status.get("disruptionsAllowed", 0),
            disrupted=frozenset(status.get("disruptedPods") or ()),
        )

    def covers(self, pod: Pod) -> bool:
        return (
            self.namespace == pod.namespace
            and self.selector is not None
            and pod.name not in self.disrupted
            and bool(self.selector.matches(pod.wants.labels))
        )
