"""FlowSchemas: which flow of which priority level a request belongs to. Pure.

The first schema that matches decides, by its precedence and then its name. Schemas whose priority level does not
exist are left out by whoever makes the list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from apiserver.request import User

Object = dict[str, Any]

ALL = "*"
GROUP = "flowcontrol.apiserver.k8s.io"
EXEMPT = "exempt"
CATCH_ALL = "catch-all"
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Digest:
    """What matching looks at. `resource` has its subresource, as in `pods/log`; it is empty where `path` is set."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """A ResourcePolicyRule."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    namespaces: frozenset[str]
    cluster_scope: bool

    def matches(self, digest: Digest) -> bool:
        if not (
            _in(digest.verb, self.verbs)
            and _in(digest.resource, self.resources)
            and _in(digest.group, self.groups)
        ):
            return False
        return _in(digest.namespace, self.namespaces) if digest.namespace else self.cluster_scope


@dataclass(frozen=True, slots=True)
class PathRule:
    """A NonResourcePolicyRule; a path may end in `*`."""

    verbs: frozenset[str]
    paths: tuple[str, ...]

    def matches(self, digest: Digest) -> bool:
        if not _in(digest.verb, self.verbs):
            return False
        path = digest.path
        return any(path == p or (p.endswith(ALL) and path.startswith(p[:-1])) for p in self.paths)


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRulesWithSubjects. `accounts` are whole user names; `account_prefixes` stand for a namespace's all."""

    users: frozenset[str]
    groups: frozenset[str]
    accounts: frozenset[str]
    account_prefixes: tuple[str, ...]
    resources: tuple[ResourceRule, ...]
    paths: tuple[PathRule, ...]

    @classmethod
    def of(cls, rule: Object) -> Rule:
        users, groups, accounts, prefixes = set(), set(), set(), []
        for subject in rule.get("subjects") or ():
            match subject.get("kind"):
                case "User":
                    users.add((subject.get("user") or {}).get("name", ""))
                case "Group":
                    groups.add((subject.get("group") or {}).get("name", ""))
                case "ServiceAccount":
                    account = subject.get("serviceAccount") or {}
                    prefix = f"{_ACCOUNT}{account.get('namespace', '')}:"
                    if account.get("name") == ALL:
                        prefixes.append(prefix)
                    else:
                        accounts.add(prefix + account.get("name", ""))
        resources = tuple(
            ResourceRule(
                frozenset(r.get("verbs") or ()),
                frozenset(r.get("apiGroups") or ()),
                frozenset(r.get("resources") or ()),
                frozenset(r.get("namespaces") or ()),
                bool(r.get("clusterScope")),
            )
            for r in rule.get("resourceRules") or ()
        )
        paths = tuple(
            PathRule(frozenset(r.get("verbs") or ()), tuple(r.get("nonResourceURLs") or ()))
            for r in rule.get("nonResourceRules") or ()
        )
        return cls(
            frozenset(users), frozenset(groups), frozenset(accounts), tuple(prefixes), resources, paths
        )

    def matches(self, digest: Digest) -> bool:
        rules: tuple[ResourceRule, ...] | tuple[PathRule, ...]
        rules = self.paths if digest.path else self.resources
        return self._has(digest.user) and any(rule.matches(digest) for rule in rules)

    def _has(self, user: User) -> bool:
        return (
            _in(user.name, self.users)
            or ALL in self.groups
            or not self.groups.isdisjoint(user.groups)
            or user.name in self.accounts
            or user.name.startswith(self.account_prefixes)
        )


@dataclass(frozen=True, slots=True)
class FlowSchema:
    """`distinguisher` is ByUser, ByNamespace or empty: what tells the flows of the schema apart."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, obj: Object) -> FlowSchema:
        spec = obj.get("spec") or {}
        return cls(
            obj["metadata"]["name"],
            obj["metadata"].get("uid", ""),
            (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
            spec.get("matchingPrecedence") or 1000,
            (spec.get("distinguisherMethod") or {}).get("type", ""),
            tuple(Rule.of(rule) for rule in spec.get("rules") or ()),
        )

    def matches(self, digest: Digest) -> bool:
        return any(rule.matches(digest) for rule in self.rules)

    def flow(self, digest: Digest) -> str:
        """The key of the request's flow, among all flows of all schemas."""
        match self.distinguisher:
            case "ByUser":
                return f"{self.name}\0{digest.user.name}"
            case "ByNamespace":
                return f"{self.name}\0{digest.namespace}"
        return self.name


def in_order(schemas: Iterable[FlowSchema]) -> list[FlowSchema]:
    """The schemas as they are tried."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))


def choose(schemas: Iterable[FlowSchema], digest: Digest) -> FlowSchema | None:
    """The first of the schemas (in order) that matches."""
    return next((schema for schema in schemas if schema.matches(digest)), None)


def _in(value: str, allowed: frozenset[str]) -> bool:
    return value in allowed or ALL in allowed
