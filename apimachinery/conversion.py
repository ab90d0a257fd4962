"""Conversion between versions that share storage: HorizontalPodAutoscaler v1 and v2, events of both APIs.

Objects are stored in the version of `storage_version`; the wire version is asked for by the request's path.
`convert` never changes its input.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from apimachinery.resources import Resource

Object = dict[str, Any]

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def storage_version(resource: Resource) -> str:
    """The apiVersion that a resource's objects are stored in."""
    return _STORED.get((resource.api_version, resource.kind), resource.api_version)


_STORED = {
    ("autoscaling/v1", "HorizontalPodAutoscaler"): "autoscaling/v2",
    ("events.k8s.io/v1", "Event"): "v1",
}


def convert(obj: Object, api_version: str) -> Object:
    """The object in another version of its kind; itself where it is in that version or nothing converts."""
    current = obj.get("apiVersion", "")
    if current == api_version:
        return obj
    function = _CONVERSIONS.get((obj.get("kind", ""), current, api_version))
    return obj if function is None else function(obj)


def _renamed(obj: Object, names: dict[str, str], api_version: str) -> Object:
    result = {names.get(key, key): value for key, value in obj.items()}
    result["apiVersion"] = api_version
    return result


_EVENT_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_OLD_EVENT_NAMES = {new: old for old, new in _EVENT_NAMES.items()}


def _event_to_new(obj: Object) -> Object:
    return _renamed(obj, _EVENT_NAMES, "events.k8s.io/v1")


def _event_to_old(obj: Object) -> Object:
    return _renamed(obj, _OLD_EVENT_NAMES, "v1")


def _is_cpu_target(metric: Object) -> bool:
    resource = metric.get("resource") or {}
    target = resource.get("target") or {}
    return (
        metric.get("type") == "Resource"
        and resource.get("name") == "cpu"
        and target.get("type") == "Utilization"
        and target.get("averageUtilization") is not None
    )


def _autoscaler_to_v2(obj: Object) -> Object:
    """v1 keeps what it cannot say in annotations, which become fields again."""
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = _unpacked(annotations, _METRICS) or []
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        utilization = {"type": "Utilization", "averageUtilization": target}
        metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}, *metrics]
    if metrics:
        spec["metrics"] = metrics
    behavior = _unpacked(annotations, _BEHAVIOR)
    if behavior:
        spec["behavior"] = behavior
    current = _unpacked(annotations, _CURRENT) or []
    used = status.pop("currentCPUUtilizationPercentage", None)
    if used is not None:
        value = {"averageUtilization": used}
        current = [{"type": "Resource", "resource": {"name": "cpu", "current": value}}, *current]
    if current:
        status["currentMetrics"] = current
    conditions = _unpacked(annotations, _CONDITIONS)
    if conditions:
        status["conditions"] = conditions
    if "annotations" in metadata:
        metadata["annotations"] = annotations
        if not annotations:
            del metadata["annotations"]
    return _assembled(obj, "autoscaling/v2", metadata, spec, status)


def _unpacked(annotations: dict[str, str], key: str) -> Any:
    """The JSON in an annotation, which is taken out. One that is not JSON stays where it is."""
    text = annotations.get(key)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    del annotations[key]
    return value


def _autoscaler_to_v1(obj: Object) -> Object:
    metadata = dict(obj.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = list(spec.pop("metrics", None) or ())
    cpu = next((m for m in metrics if _is_cpu_target(m)), None)
    if cpu is not None:
        spec["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"]
        metrics.remove(cpu)
    current = list(status.pop("currentMetrics", None) or ())
    for metric in current:
        resource = metric.get("resource") or {}
        used = (resource.get("current") or {}).get("averageUtilization")
        if resource.get("name") == "cpu" and used is not None:
            status["currentCPUUtilizationPercentage"] = used
            current.remove(metric)
            break
    packed = (
        (_METRICS, metrics),
        (_BEHAVIOR, spec.pop("behavior", None)),
        (_CURRENT, current),
        (_CONDITIONS, status.pop("conditions", None)),
    )
    for key, value in packed:
        if value:
            annotations[key] = json.dumps(value, separators=(",", ":"))
    if annotations:
        metadata["annotations"] = annotations
    return _assembled(obj, "autoscaling/v1", metadata, spec, status)


def _assembled(obj: Object, api_version: str, metadata: Object, spec: Object, status: Object) -> Object:
    result = {**obj, "apiVersion": api_version, "metadata": metadata, "spec": spec}
    if "status" in obj:
        result["status"] = status
    return result


_CONVERSIONS: dict[tuple[str, str, str], Callable[[Object], Object]] = {
    ("Event", "v1", "events.k8s.io/v1"): _event_to_new,
    ("Event", "events.k8s.io/v1", "v1"): _event_to_old,
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): _autoscaler_to_v2,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): _autoscaler_to_v1,
}
