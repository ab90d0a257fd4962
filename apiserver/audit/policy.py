"""The audit policy (audit.k8s.io/v1): what is recorded of a request. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from apimachinery import errors, names
from apimachinery.errors import FieldError
from apiserver.request import User
from apiserver.requestinfo import RequestInfo

Object = dict[str, Any]

LEVELS = ("None", "Metadata", "Request", "RequestResponse")
STAGES = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")
NONE, METADATA, REQUEST, REQUEST_RESPONSE = range(4)
_VERSION = "audit.k8s.io/v1"
#: The lists of strings in a rule.
_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
_RULE_FIELDS = frozenset((*_LISTS, "level", "resources", "omitManagedFields"))
_POLICY_FIELDS = frozenset(("apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"))
_RESOURCE_FIELDS = frozenset(("group", "resources", "resourceNames"))


class PolicyError(ValueError):
    """A policy that cannot be used; the text names the field."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`level` indexes LEVELS."""

    level: int
    omit_stages: frozenset[str]
    omit_managed_fields: bool


@dataclass(frozen=True, slots=True)
class GroupResources:
    group: str
    resources: tuple[str, ...]
    names: frozenset[str]

    def matches(self, info: RequestInfo) -> bool:
        if self.group != info.group:
            return False
        if not self.resources:
            return True
        if self.names and info.name not in self.names:
            return False
        subresource = info.subresource
        combined = f"{info.plural}/{subresource}" if subresource else info.plural
        return any(
            wanted in ("*", combined, f"{info.plural}/*") or (subresource and wanted == f"*/{subresource}")
            for wanted in self.resources
        )


@dataclass(frozen=True, slots=True)
class Rule:
    decision: Decision
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: tuple[GroupResources, ...] = ()
    paths: tuple[str, ...] = ()

    def matches(self, user: User | None, info: RequestInfo) -> bool:
        """Whether the rule is about a request. `user` is None where nobody could be authenticated."""
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not info.plural or (self.namespaces and info.namespace not in self.namespaces):
                return False
            return not self.resources or any(found.matches(info) for found in self.resources)
        if self.paths:
            return not info.plural and any(
                path in ("*", info.path) or (path.endswith("*") and info.path.startswith(path.rstrip("*")))
                for path in self.paths
            )
        return True


@dataclass(frozen=True, slots=True)
class Policy:
    """`warnings` are about fields that mean nothing."""

    rules: tuple[Rule, ...]
    otherwise: Decision
    warnings: tuple[str, ...] = ()

    def decide(self, user: User | None, info: RequestInfo) -> Decision:
        """By the first rule that matches; where none does, nothing is recorded."""
        for rule in self.rules:
            if rule.matches(user, info):
                return rule.decision
        return self.otherwise


def parse(document: Any) -> Policy:
    """A policy from its decoded file. Raises PolicyError with every problem found."""
    if not isinstance(document, dict) or document.get("kind") != "Policy":
        kind = document.get("kind", "") if isinstance(document, dict) else type(document).__name__
        raise PolicyError(f'failed decoding: kind: expected "Policy", got "{kind}"')
    if document.get("apiVersion") != _VERSION:
        raise PolicyError(
            f'unknown group version field apiVersion: "{document.get("apiVersion", "")}" in policy, '
            f'expected "{_VERSION}"'
        )
    problems: list[FieldError] = []
    warnings = _unknown(document, _POLICY_FIELDS, "")
    _strings(problems, document, "omitStages", "omitStages")
    _flag(problems, document, "omitManagedFields", "omitManagedFields")
    given = document.get("rules")
    if given is not None and not isinstance(given, list):
        problems.append(errors.invalid_value("rules", given, "must be a list"))
    rules = given if isinstance(given, list) else []
    for i, rule in enumerate(rules):
        here = f"rules[{i}]"
        if not isinstance(rule, dict):
            problems.append(errors.invalid_value(here, rule, "must be a mapping"))
            continue
        warnings += _unknown(rule, _RULE_FIELDS, f"{here}.")
        problems += _rule_problems(rule, here)
        for j, listed in enumerate(rule.get("resources") or ()):
            if isinstance(listed, dict):
                warnings += _unknown(listed, _RESOURCE_FIELDS, f"{here}.resources[{j}].")
    _stages(problems, document, "omitStages")
    if problems:
        raise PolicyError("; ".join(f"{p.field}: {p.message}" for p in problems))
    if not rules:
        raise PolicyError("rules: loaded illegal policy with 0 rules")
    otherwise = Decision(
        NONE, frozenset(document.get("omitStages") or ()), bool(document.get("omitManagedFields"))
    )
    return Policy(tuple(_rule(rule, otherwise) for rule in rules), otherwise, tuple(warnings))


def _rule(rule: Object, defaults: Decision) -> Rule:
    managed = rule.get("omitManagedFields")
    decision = replace(
        defaults,
        level=LEVELS.index(rule["level"]),
        omit_stages=defaults.omit_stages | frozenset(rule.get("omitStages") or ()),
        omit_managed_fields=defaults.omit_managed_fields if managed is None else managed,
    )
    return Rule(
        decision,
        frozenset(rule.get("users") or ()),
        frozenset(rule.get("userGroups") or ()),
        frozenset(rule.get("verbs") or ()),
        frozenset(rule.get("namespaces") or ()),
        tuple(
            GroupResources(
                found.get("group") or "",
                tuple(found.get("resources") or ()),
                frozenset(found.get("resourceNames") or ()),
            )
            for found in rule.get("resources") or ()
        ),
        tuple(rule.get("nonResourceURLs") or ()),
    )


def _unknown(obj: Object, known: frozenset[str], prefix: str) -> list[str]:
    return [f'unknown field "{prefix}{key}"' for key in obj if key not in known]


def _strings(problems: list[FieldError], obj: Object, key: str, path: str) -> bool:
    value = obj.get(key)
    if value is None or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return True
    problems.append(errors.invalid_value(path, value, "must be a list of strings"))
    return False


def _flag(problems: list[FieldError], obj: Object, key: str, path: str) -> None:
    if not isinstance(obj.get(key), (bool, type(None))):
        problems.append(errors.invalid_value(path, obj[key], "must be true or false"))


def _stages(problems: list[FieldError], obj: Object, path: str) -> None:
    for i, stage in enumerate(_listed(obj, "omitStages")):
        if stage not in STAGES:
            text = f"allowed stages are {','.join(STAGES)}"
            problems.append(errors.invalid_value(f"{path}[{i}]", stage, text))


def _listed(obj: Object, key: str) -> list[Any]:
    value = obj.get(key)
    return value if isinstance(value, list) else []


def _rule_problems(rule: Object, here: str) -> Iterator[FieldError]:
    problems: list[FieldError] = []
    level = rule.get("level")
    if not level:
        problems.append(errors.required(f"{here}.level"))
    elif level not in LEVELS:
        problems.append(errors.not_supported(f"{here}.level", level, LEVELS))
    for key in _LISTS:
        _strings(problems, rule, key, f"{here}.{key}")
    _flag(problems, rule, "omitManagedFields", f"{here}.omitManagedFields")
    for i, url in enumerate(_listed(rule, "nonResourceURLs")):
        path = f"{here}.nonResourceURLs[{i}]"
        if url == "*":
            continue
        if not str(url).startswith("/"):
            text = "non-resource URL rules must begin with a '/' character"
            problems.append(errors.invalid_value(path, url, text))
        if "*" in str(url)[:-1]:
            text = "non-resource URL wildcards '*' must be the final character of the rule"
            problems.append(errors.invalid_value(path, url, text))
    given = rule.get("resources")
    if given is not None and not isinstance(given, list):
        problems.append(errors.invalid_value(f"{here}.resources", given, "must be a list"))
    for i, found in enumerate(_listed(rule, "resources")):
        _resource_problems(problems, found, f"{here}.resources[{i}]")
    _stages(problems, rule, f"{here}.omitStages")
    if rule.get("nonResourceURLs") and (rule.get("resources") or rule.get("namespaces")):
        text = "rules cannot apply to both regular resources and non-resource URLs"
        problems.append(errors.invalid_value(f"{here}.nonResourceURLs", rule["nonResourceURLs"], text))
    yield from problems


def _resource_problems(problems: list[FieldError], found: Any, here: str) -> None:
    if not isinstance(found, dict):
        problems.append(errors.invalid_value(here, found, "must be a mapping"))
        return
    _strings(problems, found, "resources", f"{here}.resources")
    _strings(problems, found, "resourceNames", f"{here}.resourceNames")
    group = found.get("group") or ""
    if not isinstance(group, str):
        problems.append(errors.invalid_value(f"{here}.group", group, "must be a string"))
    elif group and (messages := names.dns1123_subdomain(group)):
        problems.append(errors.invalid_value(f"{here}.group", group, ",".join(messages)))
    if found.get("resourceNames") and not found.get("resources"):
        text = "using resourceNames requires at least one resource"
        problems.append(errors.invalid_value(f"{here}.resourceNames", found["resourceNames"], text))
