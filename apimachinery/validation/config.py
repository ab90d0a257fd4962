"""Validation of what configures pods: ConfigMaps, Secrets, namespaces, and events about them all."""

from __future__ import annotations

import binascii
import json
from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, required, too_long
from apimachinery.validation import objectmeta
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
        if key not in data or (key == "ssh-privatekey" and not data[key]):
            errs.append(required(f"data[{key}]"))
        elif key.startswith(".docker"):
            _docker_config(errs, f"data[{key}]", data[key])


def _docker_config(errs: Errors, path: str, value: str) -> None:
    problem = ""
    try:
        found = json.loads(binascii.a2b_base64(value))
    except (ValueError, RecursionError) as error:
        problem = str(error)
    else:
        if found is not None and not isinstance(found, dict):
            problem = "json: cannot unmarshal into Go value of type map[string]interface {}"
    if problem:
        errs.append(invalid_value(path, "<secret contents redacted>", problem))


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


#: How many characters these fields of an event may have.
_EVENT_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128}


def event(errs: Errors, obj: Object) -> None:
    """A new event, as the API it is written by sees it. The older one asks for little."""
    _any_event(errs, obj)
    if obj.get("apiVersion") == "v1":
        return
    _event_series(errs, obj.get("series"))
    if not obj.get("eventTime"):
        errs.append(required("eventTime"))
    if obj.get("type") not in ("Normal", "Warning"):
        errs.append(invalid_value("type", "", f"has invalid value: {obj.get('type') or ''}"))
    for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if obj.get(f"deprecated{field[0].upper()}{field[1:]}"):
            errs.append(invalid_value(field, "", "needs to be unset"))


def update_event(errs: Errors, new: Object, old: Object) -> None:
    """Only the series of an event goes on by the newer API; the older one leaves all open."""
    _any_event(errs, new)
    if new.get("apiVersion") == "v1":
        return
    if new.get("series") != old.get("series"):
        _event_series(errs, new.get("series"))
    for field, shown in (
        ("regarding", "involvedObject"),
        ("reason", ""),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("type", ""),
        ("eventTime", ""),
        ("action", ""),
        ("related", ""),
        ("reportingController", ""),
        ("reportingInstance", ""),
    ):
        immutable(errs, shown or field, new.get(field), old.get(field))


def _any_event(errs: Errors, obj: Object) -> None:
    """What holds of events of both APIs. Those with an eventTime are of the newer kind, whoever writes them."""
    namespace_ = (obj.get("metadata") or {}).get("namespace") or ""
    core = obj.get("apiVersion") == "v1"
    about = (obj.get("involvedObject" if core else "regarding") or {}).get("namespace") or ""
    timed = bool(obj.get("eventTime"))
    alone = ("default", "kube-system") if timed else ("default",)
    if namespace_ not in alone if not about else not timed and namespace_ != about:
        errs.append(invalid_value("involvedObject.namespace", about, "does not match event.namespace"))
    if not timed:
        return
    controller = obj.get("reportingComponent" if core else "reportingController") or ""
    if not controller:
        errs.append(required("reportingController"))
    checked(errs, "reportingController", controller, names.qualified_name)
    for field, limit in _EVENT_LIMITS.items():
        value = obj.get(field) or ""
        if not value:
            errs.append(required(field))
        elif len(value) > limit:
            errs.append(invalid_value(field, "", f"can have at most {limit} characters"))
    if len(obj.get("message" if core else "note") or "") > 1024:
        errs.append(invalid_value("message", "", "can have at most 1024 characters"))


def _event_series(errs: Errors, series: Object | None) -> None:
    if series is None:
        return
    if (series.get("count") or 0) < 2:
        errs.append(invalid_value("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errs.append(required("series.lastObservedTime"))
