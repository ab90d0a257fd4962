"""Validation of API priority and fairness settings."""

from __future__ import annotations

from math import log2
from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, not_supported, required
from apimachinery.validation.fields import Errors, checked, enum

Object = dict[str, Any]

_LEVEL_TYPES = ("Exempt", "Limited")
_EXEMPT = "exempt"
_HIGHEST_PRECEDENCE = 10_000
_MOST_QUEUES = 10_000_000
_HASH_BITS = 60
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_SUBJECTS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
_NAMESPACE_TEXT = "each member of this list must be '*' or a DNS-1123 label; "


def flow_schema(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    path = "spec.matchingPrecedence"
    if precedence <= 0:
        errs.append(invalid_value(path, precedence, "must be a positive value"))
    if precedence > _HIGHEST_PRECEDENCE:
        errs.append(invalid_value(path, precedence, f"must not be greater than {_HIGHEST_PRECEDENCE}"))
    if precedence == 1 and (obj.get("metadata") or {}).get("name") != _EXEMPT:
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        errs.append(invalid_value(path, precedence, text))
    distinguisher = spec.get("distinguisherMethod")
    if distinguisher is not None:
        enum(errs, "spec.distinguisherMethod.type", distinguisher.get("type"), ("ByNamespace", "ByUser"))
    level, path = spec.get("priorityLevelConfiguration") or {}, "spec.priorityLevelConfiguration.name"
    if level.get("name"):
        checked(errs, path, level["name"], names.dns1123_subdomain)
    else:
        errs.append(required(path, "must reference a priority level"))
    for i, rule in enumerate(spec.get("rules") or ()):
        _rule(errs, f"spec.rules[{i}]", rule)


def _rule(errs: Errors, here: str, rule: Object) -> None:
    for i, subject in enumerate(rule.get("subjects") or ()):
        _subject(errs, f"{here}.subjects[{i}]", subject)
    if not rule.get("subjects"):
        errs.append(required(f"{here}.subjects", "subjects must contain at least one value"))
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errs.append(required(here, text))
    for i, found in enumerate(rule.get("resourceRules") or ()):
        _resource_rule(errs, f"{here}.resourceRules[{i}]", found)
    for i, found in enumerate(rule.get("nonResourceRules") or ()):
        _path_rule(errs, f"{here}.nonResourceRules[{i}]", found)


def _subject(errs: Errors, here: str, subject: Object) -> None:
    kind = subject.get("kind") or ""
    own = _SUBJECTS.get(kind)
    if own is None:
        errs.append(not_supported(f"{here}.kind", kind, sorted(_SUBJECTS)))
        return
    described = subject.get(own)
    if described is None:
        errs.append(required(f"{here}.{own}", f"{own} is required when subject kind is '{kind}'"))
    else:
        name = described.get("name")
        if not name:
            errs.append(required(f"{here}.{own}.name"))
        elif kind == "ServiceAccount" and name != "*":
            checked(errs, f"{here}.{own}.name", name, names.dns1123_subdomain)
        if kind == "ServiceAccount":
            if described.get("namespace"):
                checked(errs, f"{here}.{own}.namespace", described["namespace"], names.dns1123_label)
            else:
                text = "must specify namespace for service account"
                errs.append(required(f"{here}.{own}.namespace", text))
    for other, key in _SUBJECTS.items():
        if key != own and subject.get(key) is not None:
            text = f"{key} is forbidden when subject kind is not '{other}'"
            errs.append(forbidden_field(f"{here}.{key}", text))


def _verbs(errs: Errors, here: str, rule: Object) -> None:
    verbs = rule.get("verbs") or []
    if not verbs:
        errs.append(required(f"{here}.verbs", "verbs must contain at least one value"))
    elif "*" in verbs:
        _alone(errs, f"{here}.verbs", verbs, "verbs")
    elif not set(verbs) <= set(_VERBS):
        errs.append(not_supported(f"{here}.verbs", verbs, _VERBS))


def _alone(errs: Errors, path: str, values: list[str], what: str) -> None:
    if "*" in values and len(values) > 1:
        errs.append(invalid_value(path, values, f"if '*' is present, must not specify other {what}"))


def _resource_rule(errs: Errors, here: str, rule: Object) -> None:
    _verbs(errs, here, rule)
    for key, what in (("apiGroups", "api group"), ("resources", "resource")):
        values = rule.get(key) or []
        if not values:
            errs.append(required(f"{here}.{key}", f"resource rules must supply at least one {what}"))
        _alone(errs, f"{here}.{key}", values, f"{what}s")
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        errs.append(required(f"{here}.namespaces", text))
    elif "*" in namespaces:
        _alone(errs, f"{here}.namespaces", namespaces, "namespaces")
    else:
        for i, namespace in enumerate(namespaces):
            for message in names.dns1123_label(namespace):
                path = f"{here}.namespaces[{i}]"
                errs.append(invalid_value(path, namespace, _NAMESPACE_TEXT + message))


def _path_rule(errs: Errors, here: str, rule: Object) -> None:
    _verbs(errs, here, rule)
    urls = rule.get("nonResourceURLs") or []
    if not urls:
        text = "nonResourceURLs must contain at least one value"
        errs.append(required(f"{here}.nonResourceURLs", text))
    elif "*" in urls:
        _alone(errs, f"{here}.nonResourceURLs", urls, "non-resource URLs")
    else:
        for i, url in enumerate(urls):
            problem = _url_problem(url)
            if problem:
                errs.append(invalid_value(f"{here}.nonResourceURLs[{i}]", url, problem))


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    if url.count("*") > 1 or ("*" in url and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def update_status(errs: Errors, new: Object, old: Object) -> None:
    """Of FlowSchemas and PriorityLevelConfigurations."""
    seen = set()
    for i, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        kind, path = condition.get("type") or "", f"status.conditions[{i}].type"
        if kind in seen:
            errs.append(duplicate(path, kind))
        seen.add(kind)
        if not kind:
            errs.append(required(path, "must not be empty"))


def priority_level(errs: Errors, obj: Object) -> None:
    spec = obj.get("spec") or {}
    kind = spec.get("type") or ""
    if ((obj.get("metadata") or {}).get("name") == _EXEMPT) != (kind == "Exempt"):
        text = "type must be 'Exempt' if and only if name is 'exempt'"
        errs.append(invalid_value("spec.type", kind, text))
    if kind == "Exempt":
        if spec.get("limited") is not None:
            errs.append(forbidden_field("spec.limited", "must be nil if the type is not Limited"))
        if spec.get("exempt") is not None:
            _shares(errs, "spec.exempt", spec["exempt"])
    elif kind == "Limited":
        if spec.get("exempt") is not None:
            errs.append(forbidden_field("spec.exempt", "must be nil if the type is Limited"))
        if spec.get("limited") is None:
            errs.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            _limited(errs, spec["limited"])
    else:
        errs.append(not_supported("spec.type", kind, _LEVEL_TYPES))


def _shares(errs: Errors, here: str, level: Object) -> None:
    shares = level.get("nominalConcurrencyShares")
    if shares is not None and shares < 0:
        text = "must be a non-negative integer"
        errs.append(invalid_value(f"{here}.nominalConcurrencyShares", shares, text))
    lendable = level.get("lendablePercent")
    if lendable is not None and not 0 <= lendable <= 100:
        text = "must be between 0 and 100, inclusive"
        errs.append(invalid_value(f"{here}.lendablePercent", lendable, text))


def _limited(errs: Errors, limited: Object) -> None:
    _shares(errs, "spec.limited", limited)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        errs.append(invalid_value("spec.limited.borrowingLimitPercent", borrowing, text))
    here = "spec.limited.limitResponse"
    response = limited.get("limitResponse") or {}
    queuing = response.get("queuing")
    match response.get("type"):
        case "Reject":
            if queuing is not None:
                text = "must be nil if limited.limitResponse.type is not Limited"
                errs.append(forbidden_field(f"{here}.queuing", text))
        case "Queue":
            if queuing is None:
                text = "must not be empty if limited.limitResponse.type is Limited"
                errs.append(required(f"{here}.queuing", text))
            else:
                _queuing(errs, f"{here}.queuing", queuing)
        case other:
            errs.append(not_supported(f"{here}.type", other or "", ("Queue", "Reject")))


def _queuing(errs: Errors, here: str, queuing: Object) -> None:
    queues, hand = queuing.get("queues") or 0, queuing.get("handSize") or 0
    if (queuing.get("queueLengthLimit") or 0) <= 0:
        length = queuing.get("queueLengthLimit") or 0
        errs.append(invalid_value(f"{here}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errs.append(invalid_value(f"{here}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        errs.append(invalid_value(f"{here}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    path = f"{here}.handSize"
    if hand <= 0:
        errs.append(invalid_value(path, hand, "must be positive"))
    elif hand > queues:
        errs.append(invalid_value(path, hand, f"should not be greater than queues ({queues})"))
    elif sum(log2(queues - i) for i in range(hand)) > _HASH_BITS:
        text = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than"
        errs.append(invalid_value(path, hand, f"{text} {_HASH_BITS}"))
