"""Validation of what limits a namespace: LimitRanges and ResourceQuotas."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required
from apimachinery.quantity import Quantity
from apimachinery.validation import resourceamounts
from apimachinery.validation.fields import Errors, checked

Object = dict[str, Any]
Amounts = dict[str, dict[str, Quantity]]

_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_LIMIT_FIELDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def limit_range(errs: Errors, obj: Object) -> None:
    seen: set[str] = set()
    for i, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        here = f"spec.limits[{i}]"
        kind = item.get("type") or ""
        before = len(errs)
        checked(errs, f"{here}.type", kind, names.qualified_name)
        if len(errs) == before and "/" not in kind and kind not in _LIMIT_TYPES:
            text = "must be a standard limit type or fully qualified"
            errs.append(invalid_value(f"{here}.type", kind, text))
        if kind in seen:
            errs.append(duplicate(f"{here}.type", kind))
        seen.add(kind)
        _limits(errs, here, kind, item)


def _limits(errs: Errors, path: str, kind: str, item: Object) -> None:
    of_container = kind in ("Container", "Pod")
    name_check = resourceamounts.container_name if of_container else resourceamounts.resource_name
    amounts: Amounts = {field: {} for field in _LIMIT_FIELDS}
    for field in _LIMIT_FIELDS:
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if item.get(field):
                errs.append(forbidden_field(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
            continue
        for name, text in (item.get(field) or {}).items():
            name_check(errs, f"{path}.{field}[{name}]", name)
            amounts[field][name] = Quantity.parse(text)
    if kind == "PersistentVolumeClaim" and "storage" not in {*amounts["min"], *amounts["max"]}:
        text = "either minimum or maximum storage value is required, but neither was provided"
        errs.append(required(f"{path}.limits", text))
    for name in {name: None for values in amounts.values() for name in values}:
        _consistent(errs, path, name, {field: values.get(name) for field, values in amounts.items()})


#: What must not be above what; where that is said, and with which of the two values.
_ORDERED = (
    ("min", "max", "min", "min", "min", "max"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest", "min", "default request"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest", "default request", "max"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest", "default request", "default limit"),
    ("min", "default", "default", "min", "min", "default"),
    ("default", "max", "default", "max", "default", "max"),
)


def _consistent(errs: Errors, path: str, name: str, amounts: dict[str, Quantity | None]) -> None:
    for low, high, where, shown, low_word, high_word in _ORDERED:
        less, more = amounts[low], amounts[high]
        if less is not None and more is not None and less > more:
            text = f"{low_word} value {less} is greater than {high_word} value {more}"
            errs.append(invalid_value(f"{path}.{where}[{name}]", str(amounts[shown]), text))
    ratio, least, most = amounts["maxLimitRequestRatio"], amounts["min"], amounts["max"]
    here = f"{path}.maxLimitRequestRatio[{name}]"
    if ratio is not None and ratio < Quantity.from_int(1):
        errs.append(invalid_value(here, str(ratio), f"ratio {ratio} is less than 1"))
    if ratio is not None and least is not None and most is not None and least.nano > 0:
        limit = most.milli() / least.milli()
        if ratio.milli() / 1000 > limit:
            text = f"ratio {ratio} is greater than max/min = {limit:f}"
            errs.append(invalid_value(here, str(ratio), text))
    default, request = amounts["default"], amounts["defaultRequest"]
    if default is None or request is None or resourceamounts.overcommit_allowed(name):
        return
    if default.nano != request.nano:
        text = f"default value {default} must equal to defaultRequest value {request} in {name}"
        errs.append(invalid_value(f"{path}.defaultRequest[{name}]", str(request), text))


_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass",
    "Terminating", "VolumeAttributesClass",
)  # fmt: skip
_ONLY_EXISTS = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "Terminating")
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_COMPUTE = frozenset(
    ["pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"]
)


def _scope_fits(scope: str, resource: str) -> bool:
    """Whether a scope can be asked of a resource that quotas know themselves."""
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in ("persistentvolumeclaims", "requests.storage")
    if scope in _SCOPES:
        return resource in _COMPUTE
    return True


def resource_quota(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    hard = spec.get("hard") or {}
    _amounts(errs, "spec.hard", hard)
    known = sorted(name for name in hard if resourceamounts.is_quota(name))
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            errs.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
        for name in known:
            if not _scope_fits(scope, name):
                errs.append(invalid_value("spec.scopes", scopes, "unsupported scope applied to resource"))
    _conflicts(errs, "spec.scopes", scopes, scopes)
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    here = "spec.scopeSelector.matchExpressions"
    for expression in expressions:
        scope = expression.get("scopeName") or ""
        if scope not in _SCOPES:
            errs.append(invalid_value(f"{here}.scopeName", scope, "unsupported scope"))
        for name in known:
            if not _scope_fits(scope, name):
                text = "unsupported scope applied to resource"
                errs.append(invalid_value(here, spec["scopeSelector"], text))
        _expression(errs, here, scope, expression)
    _conflicts(errs, here, [e.get("scopeName") or "" for e in expressions], scopes)


def _expression(errs: Errors, path: str, scope: str, expression: Object) -> None:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    if scope in _ONLY_EXISTS and operator != "Exists":
        text = (
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        errs.append(invalid_value(f"{path}.operator", operator, text))
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errs.append(required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errs.append(invalid_value(f"{path}.values", values, text))
    else:
        errs.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))


def _conflicts(errs: Errors, path: str, scopes: list[str], shown: list[str]) -> None:
    for one, other in _OPPOSITES:
        if one in scopes and other in scopes:
            errs.append(invalid_value(path, shown, "conflicting scopes"))


def _amounts(errs: Errors, path: str, amounts: dict[str, str]) -> None:
    for name, text in amounts.items():
        resourceamounts.quota_name(errs, f"{path}[{name}]", name)
        resourceamounts.amount(errs, f"{path}[{name}]", name, text)


def update_resource_quota(errs: Errors, new: Object, old: Object) -> None:
    resource_quota(errs, new)
    after, before = (new.get("spec") or {}).get("scopes") or [], (old.get("spec") or {}).get("scopes") or []
    if set(after) != set(before):
        errs.append(invalid_value("spec.scopes", after, "field is immutable"))


def update_resource_quota_status(errs: Errors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for field in ("hard", "used"):
        _amounts(errs, f"status.{field}", status.get(field) or {})
