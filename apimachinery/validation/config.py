"""Validation of what configures pods: ConfigMaps, Secrets, ServiceAccounts, namespaces and their limits."""

from __future__ import annotations

import binascii
import json
from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required, too_long
from apimachinery.quantity import Quantity
from apimachinery.validation import objectmeta, resourceamounts
from apimachinery.validation.fields import Errors, checked, immutable

Object = dict[str, Any]

#: Of the data of a ConfigMap or Secret together.
MAX_DATA_SIZE = 1024 * 1024
_IMMUTABLE = "field is immutable when `immutable` is set"


def config_map(errs: Errors, obj: Object) -> None:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        path = f"data[{key}]"
        for message in names.config_map_key(key):
            errs.append(invalid_value(path, key, message))
        if key in binary:
            errs.append(invalid_value(path, key, "duplicate of key present in binaryData"))
        size += len(value.encode())
    for key, value in binary.items():
        for message in names.config_map_key(key):
            errs.append(invalid_value(f"binaryData[{key}]", key, message))
        size += _decoded_size(value)
    if size > MAX_DATA_SIZE:
        errs.append(too_long("", MAX_DATA_SIZE))


def _decoded_size(base64: str) -> int:
    return len(base64) // 4 * 3 - base64.count("=")


def update_config_map(errs: Errors, new: Object, old: Object) -> None:
    _frozen(errs, new, old, ("data", "binaryData"))
    config_map(errs, new)


def _frozen(errs: Errors, new: Object, old: Object, fields: tuple[str, ...]) -> None:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errs.append(forbidden_field("immutable", _IMMUTABLE))
    for field in fields:
        if (new.get(field) or None) != (old.get(field) or None):
            errs.append(forbidden_field(field, _IMMUTABLE))


_SECRET_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def secret(errs: Errors, obj: Object) -> None:
    data, kind = obj.get("data") or {}, obj.get("type")
    size = 0
    for key, value in data.items():
        for message in names.config_map_key(key):
            errs.append(invalid_value(f"data[{key}]", key, message))
        size += _decoded_size(value)
    if size > MAX_DATA_SIZE:
        errs.append(too_long("data", MAX_DATA_SIZE))
    if kind == "kubernetes.io/service-account-token":
        annotations = (obj.get("metadata") or {}).get("annotations") or {}
        key = "kubernetes.io/service-account.name"
        if not annotations.get(key):
            errs.append(required(f"metadata.annotations[{key}]"))
    elif kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        errs.append(required("data[username]"))
        errs.append(required("data[password]"))
    for key in _SECRET_KEYS.get(kind or "", ()):
        if key not in data:
            errs.append(required(f"data[{key}]"))
        elif key.startswith(".docker"):
            _docker_config(errs, f"data[{key}]", data[key])


def _docker_config(errs: Errors, path: str, value: str) -> None:
    try:
        json.loads(binascii.a2b_base64(value))
    except ValueError as error:
        errs.append(invalid_value(path, "<secret contents redacted>", str(error)))


def update_secret(errs: Errors, new: Object, old: Object) -> None:
    immutable(errs, "type", new.get("type"), old.get("type"))
    _frozen(errs, new, old, ("data",))
    secret(errs, new)


def namespace(errs: Errors, obj: Object) -> None:
    objectmeta.finalizers(errs, "spec.finalizers", (obj.get("spec") or {}).get("finalizers") or [])


def update_namespace_status(errs: Errors, new: Object, old: Object) -> None:
    phase = (new.get("status") or {}).get("phase")
    deleting = bool((new.get("metadata") or {}).get("deletionTimestamp"))
    if deleting and phase != "Terminating":
        text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        errs.append(invalid_value("status.Phase", phase, text))
    if not deleting and phase != "Active":
        text = "may only be 'Active' if `deletionTimestamp` is empty"
        errs.append(invalid_value("status.Phase", phase, text))


_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_LIMIT_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def limit_range(errs: Errors, obj: Object) -> None:
    seen: set[str] = set()
    for i, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        here = f"spec.limits[{i}]"
        kind = item.get("type") or ""
        if kind not in _LIMIT_TYPES and "/" not in kind:
            text = "must be a standard limit type or fully qualified"
            errs.append(invalid_value(f"{here}.type", kind, text))
        if kind in seen:
            errs.append(duplicate(f"{here}.type", kind))
        seen.add(kind)
        amounts: dict[str, dict[str, Quantity]] = {}
        for field in _LIMIT_FIELDS:
            amounts[field] = {}
            for name, text in (item.get(field) or {}).items():
                resourceamounts.resource_name(errs, f"{here}.{field}[{name}]", name)
                amounts[field][name] = resourceamounts.amount(errs, f"{here}.{field}[{name}]", name, text)
        if kind == "Pod":
            for field in ("default", "defaultRequest"):
                if item.get(field):
                    text = "may not be specified when `type` is 'Pod'"
                    errs.append(forbidden_field(f"{here}.{field}", text))
        if kind == "PersistentVolumeClaim" and not any("storage" in amounts[f] for f in ("min", "max")):
            text = "either minimum or maximum storage value is required, but neither was provided"
            errs.append(required(f"{here}.limits", text))
        for low, high in _ORDERED:
            for name, value in amounts[low].items():
                limit = amounts[high].get(name)
                if limit is not None and value > limit:
                    word = _WORDS[low]
                    text = f"{word} value {value} is greater than {_WORDS[high]} value {limit}"
                    errs.append(invalid_value(f"{here}.{low}[{name}]", str(value), text))


_ORDERED = (
    ("min", "max"),
    ("min", "defaultRequest"),
    ("defaultRequest", "max"),
    ("defaultRequest", "default"),
    ("min", "default"),
    ("default", "max"),
)
_WORDS = {"min": "min", "max": "max", "default": "default", "defaultRequest": "default request"}
_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
    "Terminating", "VolumeAttributesClass",
)  # fmt: skip


def resource_quota(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    resourceamounts.resource_list(errs, "spec.hard", spec.get("hard"))
    for scope in spec.get("scopes") or ():
        if scope not in _SCOPES and "/" not in scope:
            errs.append(invalid_value("spec.scopes", spec["scopes"], "unsupported scope"))
    selector = spec.get("scopeSelector") or {}
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        here = f"spec.scopeSelector.matchExpressions[{i}]"
        operator, values = expression.get("operator") or "", expression.get("values") or ()
        if expression.get("scopeName") not in _SCOPES:
            text = "unsupported scope"
            errs.append(invalid_value(f"{here}.scopeName", expression.get("scopeName") or "", text))
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errs.append(required(f"{here}.values", text))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
                errs.append(invalid_value(f"{here}.values", list(values), text))
        else:
            errs.append(invalid_value(f"{here}.operator", operator, "not a valid selector operator"))


def update_resource_quota(errs: Errors, new: Object, old: Object) -> None:
    resource_quota(errs, new)
    after, before = (new.get("spec") or {}).get("scopes") or [], (old.get("spec") or {}).get("scopes") or []
    if sorted(after) != sorted(before):
        errs.append(invalid_value("spec.scopes", after, "field is immutable"))


def update_resource_quota_status(errs: Errors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for field in ("hard", "used"):
        resourceamounts.resource_list(errs, f"status.{field}", status.get(field))


def event(errs: Errors, obj: Object) -> None:
    """Events of both APIs. The older one asks for little."""
    namespace_ = (obj.get("metadata") or {}).get("namespace") or ""
    if obj.get("apiVersion") == "v1":
        about = (obj.get("involvedObject") or {}).get("namespace") or ""
        if namespace_ != about and not (not about and namespace_ in ("default", "kube-system")):
            text = "does not match event.namespace"
            errs.append(invalid_value("involvedObject.namespace", about, text))
        return
    about = (obj.get("regarding") or {}).get("namespace") or ""
    if namespace_ != about and not (not about and namespace_ == "default"):
        errs.append(invalid_value("involvedObject.namespace", about, "does not match event.namespace"))
    if not obj.get("eventTime"):
        errs.append(required("eventTime"))
    if not obj.get("reportingController"):
        errs.append(required("reportingController"))
    else:
        checked(errs, "reportingController", obj["reportingController"], names.qualified_name)
    for field, limit in (("reportingInstance", 128), ("action", 128), ("reason", 128)):
        value = obj.get(field) or ""
        if not value:
            errs.append(required(field))
        elif len(value) > limit:
            errs.append(too_long(field, limit))
    if len(obj.get("note") or "") > 1024:
        errs.append(too_long("message", 1024))
    if obj.get("type") not in ("Normal", "Warning"):
        errs.append(invalid_value("type", obj.get("type") or "", "has invalid value"))
    _event_series(errs, obj.get("series"))


def _event_series(errs: Errors, series: Object | None) -> None:
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        errs.append(invalid_value("series.count", series.get("count") or 0, "should be at least 2"))
    if not series.get("lastObservedTime"):
        errs.append(required("series.lastObservedTime"))


def update_event(errs: Errors, new: Object, old: Object) -> None:
    """Only the series of an event of the newer API goes on; the older one leaves all open."""
    if new.get("apiVersion") == "v1":
        return
    if new.get("series") != old.get("series"):
        _event_series(errs, new.get("series"))
    for field in (
        "regarding",
        "reason",
        "action",
        "type",
        "eventTime",
        "reportingController",
        "related",
        "note",
        "reportingInstance",
        "deprecatedSource",
        "deprecatedFirstTimestamp",
        "deprecatedLastTimestamp",
        "deprecatedCount",
    ):
        immutable(errs, field, new.get(field), old.get(field))
