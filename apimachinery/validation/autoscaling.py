"""Validation of HorizontalPodAutoscalers of both versions."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, required
from apimachinery.quantity import Quantity
from apimachinery.validation.fields import (
    NOT_NEGATIVE,
    Errors,
    checked,
    enum,
    named,
    not_negative,
    positive,
)

Object = dict[str, Any]

_SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}
_STABILIZATION_MAX = 3600
_PERIOD_MAX = 1800


def autoscaler(errs: Errors, obj: Object, old: Object | None = None) -> None:
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if low is not None and low < 1:
        errs.append(invalid_value("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        errs.append(invalid_value("spec.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        text = "must be greater than or equal to `minReplicas`"
        errs.append(invalid_value("spec.maxReplicas", high, text))
    scaled, was = spec.get("scaleTargetRef") or {}, before.get("scaleTargetRef")
    _reference(errs, "spec.scaleTargetRef", scaled)
    if was is None or _kind(was) != _kind(scaled):
        core = scaled.get("kind") == "ReplicationController"
        _api_version(errs, "spec.scaleTargetRef", scaled, core_too=core)
    wrong: Errors = []
    for metric in before.get("metrics") or ():
        _api_version(wrong, "", _described(metric), core_too=True)
    target = spec.get("targetCPUUtilizationPercentage")
    if target is not None and target < 1:
        errs.append(invalid_value("spec.targetCPUUtilizationPercentage", target, "must be greater than 0"))
    for i, metric in enumerate(spec.get("metrics") or ()):
        _metric(errs, f"spec.metrics[{i}]", metric)
        if not wrong:
            _api_version(errs, f"spec.metrics[{i}].object.describedObject", _described(metric), core_too=True)
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            _rules(errs, f"spec.behavior.{direction}", rules)


def update_autoscaler(errs: Errors, new: Object, old: Object) -> None:
    autoscaler(errs, new, old)


def _reference(errs: Errors, path: str, reference: Object) -> None:
    named(errs, f"{path}.kind", reference.get("kind"), names.path_segment)
    named(errs, f"{path}.name", reference.get("name"), names.path_segment)


def _kind(reference: Object) -> tuple[str, str]:
    return reference.get("apiVersion") or "", reference.get("kind") or ""


def _described(metric: Object) -> Object:
    """What an Object metric is about, {} for other metrics."""
    return (metric.get("object") or {}).get("describedObject") or {}


def _api_version(errs: Errors, path: str, reference: Object, core_too: bool) -> None:
    """An apiVersion that can be read; of a group, unless it may be of the core one."""
    version = reference.get("apiVersion") or ""
    if version.count("/") > 1:
        text = f"unexpected GroupVersion string: {version}"
    elif not core_too and version.find("/") < 1:
        text = "apiVersion must specify API group"
    else:
        return
    errs.append(invalid_value(f"{path}.apiVersion", version, text))


def _metric(errs: Errors, path: str, metric: Object) -> None:
    kind = metric.get("type") or ""
    if not kind:
        errs.append(required(f"{path}.type", "must specify a metric source type"))
        return
    if kind not in _SOURCES:
        enum(errs, f"{path}.type", kind, tuple(_SOURCES))
        return
    field = _SOURCES[kind]
    for other in _SOURCES.values():
        if other != field and metric.get(other) is not None:
            text = "must populate the given metric source only"
            errs.append(forbidden_field(f"{path}.{other}", text))
    source = metric.get(field)
    here = f"{path}.{field}"
    if source is None:
        errs.append(required(here, "must populate information for the given metric source"))
        return
    if field in ("resource", "containerResource"):
        if not source.get("name"):
            errs.append(required(f"{here}.name", "must specify a resource name"))
        if field == "containerResource" and not source.get("container"):
            errs.append(required(f"{here}.container", "must specify a container"))
    else:
        identifier = source.get("metric") or {}
        if not identifier.get("name"):
            errs.append(required(f"{here}.metric.name", "must specify a metric name"))
        else:
            checked(errs, f"{here}.metric.name", identifier["name"], names.path_segment)
    if field == "object":
        _reference(errs, f"{here}.describedObject", source.get("describedObject") or {})
    _target(errs, f"{here}.target", source.get("target") or {}, field)


def _target(errs: Errors, path: str, target: Object, source: str) -> None:
    if not target.get("type"):
        errs.append(required(f"{path}.type", "must specify a metric target type"))
    if target.get("type") not in ("AverageValue", "Utilization", "Value"):
        text = "must be either Utilization, Value, or AverageValue"
        errs.append(invalid_value(f"{path}.type", target.get("type") or "", text))
    for field in ("value", "averageValue"):
        if target.get(field) is not None and Quantity.parse(target[field]).nano <= 0:
            errs.append(invalid_value(f"{path}.{field}", target[field], "must be positive"))
    utilization = target.get("averageUtilization")
    positive(errs, f"{path}.averageUtilization", utilization)
    if source in ("resource", "containerResource"):
        if utilization is None and target.get("averageValue") is None:
            text = "must set either a target raw value or a target utilization"
            errs.append(required(f"{path}.averageUtilization", text))
        elif utilization is not None and target.get("averageValue") is not None:
            text = "may not set both a target raw value and a target utilization"
            errs.append(forbidden_field(f"{path}.averageValue", text))
    elif source == "pods":
        if target.get("averageValue") is None:
            errs.append(required(f"{path}.averageValue", "must specify a positive target averageValue"))
    elif target.get("value") is None and target.get("averageValue") is None:
        text = "must set either a target value for metric or a per-pod target"
        errs.append(required(f"{path}.averageValue", text))
    elif source == "external" and target.get("value") is not None and target.get("averageValue") is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errs.append(forbidden_field(f"{path}.value", text))


def update_autoscaler_status(errs: Errors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for field in ("currentReplicas", "desiredReplicas"):
        not_negative(errs, f"status.{field}", status.get(field))


def _rules(errs: Errors, path: str, rules: Object) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        text = "must be greater than or equal to zero"
        errs.append(invalid_value(f"{path}.stabilizationWindowSeconds", window, text))
    if window is not None and window > _STABILIZATION_MAX:
        text = f"must be less than or equal to {_STABILIZATION_MAX}"
        errs.append(invalid_value(f"{path}.stabilizationWindowSeconds", window, text))
    if rules.get("selectPolicy") is not None:
        enum(errs, f"{path}.selectPolicy", rules["selectPolicy"], ("Disabled", "Max", "Min"))
    tolerance = rules.get("tolerance")
    if tolerance is not None and Quantity.parse(str(tolerance)).nano < 0:
        errs.append(invalid_value(f"{path}.tolerance", tolerance, NOT_NEGATIVE))
    if not rules.get("policies"):
        errs.append(required(f"{path}.policies", "must specify at least one Policy"))
    for i, policy in enumerate(rules.get("policies") or ()):
        here = f"{path}.policies[{i}]"
        enum(errs, f"{here}.type", policy.get("type"), ("Percent", "Pods"))
        if (policy.get("value") or 0) <= 0:
            errs.append(invalid_value(f"{here}.value", policy.get("value") or 0, "must be greater than zero"))
        period = policy.get("periodSeconds") or 0
        if period <= 0:
            errs.append(invalid_value(f"{here}.periodSeconds", period, "must be greater than zero"))
        elif period > _PERIOD_MAX:
            text = f"must be less than or equal to {_PERIOD_MAX}"
            errs.append(invalid_value(f"{here}.periodSeconds", period, text))
