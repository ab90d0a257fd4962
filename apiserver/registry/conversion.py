"""Versions of one kind that share a storage location: what is stored is the preferred version, the rest is converted.

`v1` Event ↔ `events.k8s.io/v1` Event (the same object with some fields renamed), and HorizontalPodAutoscaler
`autoscaling/v2` ↔ `autoscaling/v1` (metrics v1 cannot say travel in annotations, as Kubernetes does). Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from apimachinery import decode, schema
from apimachinery.decode_scalars import Mismatch
from apimachinery.resources import Resource

Object = dict[str, Any]
Converter = Callable[[Object], Object]

# events.k8s.io/v1 name → core v1 name
_EVENT_FIELDS = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
)
_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def _renamed(obj: Object, names: dict[str, str], api_version: str) -> Object:
    result = {names.get(key, key): value for key, value in obj.items()}
    result["apiVersion"] = api_version
    return result


def event_to_core(obj: Object) -> Object:
    """events.k8s.io/v1 → v1."""
    return _renamed(obj, dict(_EVENT_FIELDS), "v1")


def event_from_core(obj: Object) -> Object:
    """v1 → events.k8s.io/v1."""
    return _renamed(obj, {core: new for new, core in _EVENT_FIELDS}, "events.k8s.io/v1")


def hpa_to_v2(obj: Object) -> Object:
    """autoscaling/v1 → autoscaling/v2."""
    metadata, spec = dict(obj.get("metadata") or {}), dict(obj.get("spec") or {})
    annotations = dict(metadata.get("annotations") or {})
    metrics = _annotated(annotations, _METRICS, "spec", "metrics") or []
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}, *metrics]
    if metrics:
        spec["metrics"] = metrics
    if behavior := _annotated(annotations, _BEHAVIOR, "spec", "behavior"):
        spec["behavior"] = behavior
    status = dict(obj.get("status") or {})
    current = _annotated(annotations, _CURRENT_METRICS, "status", "currentMetrics") or []
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None:
        current = [_cpu_status({"averageUtilization": used, "averageValue": "0"}), *current]
    if current:
        status["currentMetrics"] = current
    if conditions := _annotated(annotations, _CONDITIONS, "status", "conditions"):
        status["conditions"] = conditions
    return _assembled(obj, "autoscaling/v2", metadata, annotations, spec, status)


def hpa_from_v2(obj: Object) -> Object:
    """autoscaling/v2 → autoscaling/v1; what v1 has no field for goes to annotations."""
    metadata, spec = dict(obj.get("metadata") or {}), dict(obj.get("spec") or {})
    annotations = dict(metadata.get("annotations") or {})
    others = []
    for metric in spec.pop("metrics", None) or ():
        resource = metric.get("resource") or {}
        target = resource.get("target") or {}
        if resource.get("name") == "cpu" and target.get("averageUtilization") is not None:
            spec["targetCPUUtilizationPercentage"] = target["averageUtilization"]
        else:
            others.append(metric)
    _annotate(annotations, _METRICS, others)
    _annotate(annotations, _BEHAVIOR, spec.pop("behavior", None))
    status = dict(obj.get("status") or {})
    current = []
    for metric in status.pop("currentMetrics", None) or ():
        resource = metric.get("resource") or {}
        used = (resource.get("current") or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and used is not None:
            status["currentCPUUtilizationPercentage"] = used
        else:
            current.append(metric)
    _annotate(annotations, _CURRENT_METRICS, current)
    _annotate(annotations, _CONDITIONS, status.pop("conditions", None))
    return _assembled(obj, "autoscaling/v1", metadata, annotations, spec, status)


def _cpu_status(current: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", "current": current}}


def _annotated(annotations: dict[str, str], key: str, part: str, field: str) -> Any:
    """Take a field of v2 out of its annotation; None where it is none, as anybody may write annotations."""
    text = annotations.pop(key, "")
    if not text:
        return None
    node = schema.for_kind("autoscaling/v2", "HorizontalPodAutoscaler")
    assert node is not None
    try:
        found: Object = {part: {field: orjson.loads(text)}}
        decode.normalize(found, node)
    except (orjson.JSONDecodeError, Mismatch):
        return None
    return found[part].get(field)


def _annotate(annotations: dict[str, str], key: str, value: Any) -> None:
    if value:
        annotations[key] = orjson.dumps(value).decode()


def _assembled(
    obj: Object, api_version: str, metadata: Object, annotations: dict[str, str], spec: Object, status: Object
) -> Object:
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    result = {**obj, "apiVersion": api_version, "metadata": metadata, "spec": spec}
    if status or "status" in obj:
        result["status"] = status
    return result


_TO_STORED: dict[tuple[str, str], tuple[Converter, Converter]] = {
    ("events.k8s.io/v1", "Event"): (event_to_core, event_from_core),
    ("autoscaling/v1", "HorizontalPodAutoscaler"): (hpa_to_v2, hpa_from_v2),
}


def converters(resource: Resource) -> tuple[Converter, Converter] | None:
    """(to the storage version, from it) of a resource; None where it is the storage version."""
    return _TO_STORED.get((resource.api_version, resource.kind))
