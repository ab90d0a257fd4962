"""Tables of storage, scheduling, nodes' classes, leases and devices."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apiserver.tables_format import NONE, UNSET, Printer, created, name, printer

Object = dict[str, Any]

_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def _storage_class(obj: Object, now: datetime) -> list[Any]:
    annotations = obj["metadata"].get("annotations") or {}
    default = any(annotations.get(key) == "true" for key in _DEFAULT_CLASS)
    return [
        name(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        created(obj, now),
    ]


def _attributes_class(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), obj.get("driverName", ""), created(obj, now)]


def _attachment(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        name(obj),
        spec.get("attacher", ""),
        (spec.get("source") or {}).get("persistentVolumeName") or "",
        spec.get("nodeName", ""),
        bool((obj.get("status") or {}).get("attached")),
        created(obj, now),
    ]


def _csi_node(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), len((obj.get("spec") or {}).get("drivers") or ()), created(obj, now)]


def _csi_driver(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    audiences = ",".join(request.get("audience", "") for request in spec.get("tokenRequests") or ())
    return [
        name(obj),
        bool(spec.get("attachRequired", True)),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        audiences or UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        created(obj, now),
    ]


def _csi_capacity(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), obj.get("storageClassName", ""), obj.get("capacity") or NONE]


def _priority_class(obj: Object, now: datetime) -> list[Any]:
    return [
        name(obj),
        obj.get("value", 0),
        bool(obj.get("globalDefault")),
        created(obj, now),
        obj.get("preemptionPolicy") or "PreemptLowerPriority",
    ]


def _runtime_class(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), obj.get("handler", ""), created(obj, now)]


def _lease(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), (obj.get("spec") or {}).get("holderIdentity") or "", created(obj, now)]


def _named(obj: Object, now: datetime) -> list[Any]:
    return [name(obj), created(obj, now)]


def _claim(obj: Object, now: datetime) -> list[Any]:
    status = obj.get("status") or {}
    states = ["deleted"] if obj["metadata"].get("deletionTimestamp") else []
    if status.get("allocation") is None:
        states += [] if states else ["pending"]
    else:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    return [name(obj), ",".join(states), created(obj, now)]


def _slice(obj: Object, now: datetime) -> list[Any]:
    spec = obj.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name", "")
    return [name(obj), spec.get("nodeName") or UNSET, spec.get("driver", ""), pool, created(obj, now)]


_STORAGE, _DEVICES = "storage.k8s.io", "resource.k8s.io"
PRINTERS: dict[tuple[str, str], Printer] = {
    (_STORAGE, "storageclasses"): printer(
        "Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age", _storage_class
    ),
    (_STORAGE, "volumeattributesclasses"): printer("Name|DriverName|Age", _attributes_class),
    (_STORAGE, "volumeattachments"): printer("Name|Attacher|PV|Node|Attached?|Age", _attachment),
    (_STORAGE, "csinodes"): printer("Name|Drivers#|Age", _csi_node),
    (_STORAGE, "csidrivers"): printer(
        "Name|AttachRequired?|PodInfoOnMount?|StorageCapacity?|TokenRequests|RequiresRepublish?|Modes|Age",
        _csi_driver,
    ),
    (_STORAGE, "csistoragecapacities"): printer("Name|StorageClassName|Capacity", _csi_capacity),
    ("scheduling.k8s.io", "priorityclasses"): printer(
        "Name|Value#|Global-Default?|Age|PreemptionPolicy", _priority_class
    ),
    ("node.k8s.io", "runtimeclasses"): printer("Name|Handler|Age", _runtime_class),
    ("coordination.k8s.io", "leases"): printer("Name|Holder|Age", _lease),
    (_DEVICES, "deviceclasses"): printer("Name|Age", _named),
    (_DEVICES, "resourceclaims"): printer("Name|State|Age", _claim),
    (_DEVICES, "resourceclaimtemplates"): printer("Name|Age", _named),
    (_DEVICES, "resourceslices"): printer("Name|Node|Driver|Pool|Age", _slice),
}
