"""Which requests a webhook or an admission policy wants to see: rules, scopes, selectors. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery import selectors
from apimachinery.resources import Resource
from apiserver.request import AdmissionRequest

Object = dict[str, Any]

#: Configurations of admission are not subject to it: nobody may lock themselves out.
EXEMPT = frozenset(
    ("admissionregistration.k8s.io", plural)
    for plural in (
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    )
)


def foreign(resource: Resource, request: AdmissionRequest) -> bool:
    """Whether a request's objects have to be converted to be seen in a version; a Scale is the same in all."""
    if resource == request.resource:
        return False
    sub = request.resource.subresource(request.subresource) if request.subresource else None
    return sub is None or not sub.kind


def matches_rule(
    rule: Object, operation: str, resource: Resource, subresource: str, *, namespaced: bool
) -> bool:
    """Whether a RuleWithOperations is about such requests."""
    return (
        _has(rule.get("operations"), operation)
        and _has(rule.get("apiGroups"), resource.group)
        and _has(rule.get("apiVersions"), resource.version)
        and _has_resource(rule.get("resources") or (), resource.plural, subresource)
        and _in_scope(rule.get("scope") or "*", namespaced)
    )


def _has(values: Iterable[str] | None, wanted: str) -> bool:
    values = values or ()
    return wanted in values or "*" in values


def _has_resource(values: Iterable[str], plural: str, subresource: str) -> bool:
    for value in values:
        name, _, part = value.partition("/")
        if name in ("*", plural) and (part == subresource or part == "*"):
            return True
    return False


def _in_scope(scope: str, namespaced: bool) -> bool:
    return scope == "*" or (scope == "Namespaced") == namespaced


def selects(selector: Object | None, labels: dict[str, str] | None) -> bool:
    """Whether a label selector takes these labels; an empty one takes all."""
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return True
    return bool(selectors.from_label_selector(selector).matches(labels or {}))


def selects_object(selector: Object | None, *objects: Object | None) -> bool:
    """Whether a selector takes the new or the old object."""
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        return True
    return any(
        obj is not None and selects(selector, (obj.get("metadata") or {}).get("labels")) for obj in objects
    )
