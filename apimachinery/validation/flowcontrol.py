"""Validation of API priority and fairness settings."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, required
from apimachinery.validation.fields import Errors, enum, named, not_negative

Object = dict[str, Any]

_FLOW_TYPES = ("Exempt", "Limited")


def flow_schema(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    if precedence <= 0:
        errs.append(invalid_value("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > 10000:
        text = "must not be greater than 10000"
        errs.append(invalid_value("spec.matchingPrecedence", precedence, text))
    named(
        errs,
        "spec.priorityLevelConfiguration.name",
        (spec.get("priorityLevelConfiguration") or {}).get("name"),
        names.dns1123_subdomain,
    )
    distinguisher = spec.get("distinguisherMethod")
    if distinguisher is not None:
        enum(errs, "spec.distinguisherMethod.type", distinguisher.get("type"), ("ByNamespace", "ByUser"))
    for i, rule in enumerate(spec.get("rules") or ()):
        here = f"spec.rules[{i}]"
        if not rule.get("subjects"):
            errs.append(required(f"{here}.subjects", "subjects must contain at least one value"))
        for j, subject in enumerate(rule.get("subjects") or ()):
            enum(errs, f"{here}.subjects[{j}].kind", subject.get("kind"), ("Group", "ServiceAccount", "User"))
        if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
            text = "at least one of resourceRules and nonResourceRules has to be non-empty"
            errs.append(required(here, text))


def priority_level(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    kind = spec.get("type")
    enum(errs, "spec.type", kind, _FLOW_TYPES)
    if kind == "Limited":
        limited = spec.get("limited")
        if limited is None:
            errs.append(required("spec.limited", "must not be empty when type is Limited"))
            return
        shares = limited.get("nominalConcurrencyShares")
        not_negative(errs, "spec.limited.nominalConcurrencyShares", shares)
        response = limited.get("limitResponse") or {}
        enum(errs, "spec.limited.limitResponse.type", response.get("type"), ("Queue", "Reject"))
        if response.get("type") == "Queue" and response.get("queuing") is None:
            text = "must not be empty if limited.limitResponse.type is Limited"
            errs.append(required("spec.limited.limitResponse.queuing", text))
    elif kind == "Exempt" and spec.get("limited") is not None:
        text = "must be nil if the type is not Limited"
        errs.append(forbidden_field("spec.limited", text))
