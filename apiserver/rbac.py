"""Role-based access control: who may do what, by the Roles and bindings that exist. Pure.

`RoleIndex` turns the four RBAC resources into rules by subject; it is built anew when one of them changes and
answers a decision in a few dictionary look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery import selectors
from apiserver.request import Attributes, User

Object = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
ALL = "*"
_REMEMBERED_DECISIONS = 20_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A PolicyRule. Resource rules have `resources` (with subresources as `pods/log`), the others `paths`."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        return cls(
            frozenset(rule.get("verbs") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("resources") or ()),
            frozenset(rule.get("resourceNames") or ()),
            frozenset(rule.get("nonResourceURLs") or ()),
        )

    def to_object(self) -> Object:
        """The PolicyRule as the API shows it."""
        shown = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {key: sorted(values) for key, values in shown.items() if values}

    def matches_resource(self, verb: str, group: str, resource: str, subresource: str) -> bool:
        """Whether the rule is about this, leaving names aside."""
        if not ((ALL in self.verbs or verb in self.verbs) and (ALL in self.groups or group in self.groups)):
            return False
        if ALL in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def matches_path(self, verb: str, path: str) -> bool:
        if not (ALL in self.verbs or verb in self.verbs):
            return False
        return any(path == p or (p.endswith(ALL) and path.startswith(p[:-1])) for p in self.paths)

    def allows(self, attributes: Attributes) -> bool:
        if attributes.path:
            return self.matches_path(attributes.verb, attributes.path)
        a = attributes
        if not self.matches_resource(a.verb, a.group, a.resource, a.subresource):
            return False
        return not self.names or a.name in self.names


def rules_of(role: Mapping[str, Any]) -> tuple[Rule, ...]:
    return tuple(Rule.of(rule) for rule in role.get("rules") or ())


def service_account_user(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


@dataclass(slots=True)
class _Grant:
    """What one binding gives, and which one it is. `missing` names the role when there is none."""

    rules: tuple[Rule, ...]
    origin: str
    missing: str = ""


@dataclass(slots=True)
class _Subjects:
    """Grants of one scope by subject."""

    users: dict[str, list[_Grant]] = field(default_factory=dict)
    groups: dict[str, list[_Grant]] = field(default_factory=dict)

    def add(self, subjects: Iterable[Mapping[str, Any]], namespace: str, grant: _Grant) -> None:
        for subject in subjects:
            name = subject.get("name", "")
            match subject.get("kind"):
                case "User":
                    self.users.setdefault(name, []).append(grant)
                case "Group":
                    self.groups.setdefault(name, []).append(grant)
                case "ServiceAccount" if subject.get("namespace") or namespace:
                    user = service_account_user(subject.get("namespace") or namespace, name)
                    self.users.setdefault(user, []).append(grant)

    def of(self, user: User) -> Iterator[_Grant]:
        yield from self.users.get(user.name, ())
        for group in user.groups:
            yield from self.groups.get(group, ())

    def described(self, user: User) -> Iterator[tuple[str, _Grant]]:
        """Grants with the subject that has them, as reasons name it."""
        account = user.name.removeprefix("system:serviceaccount:")
        if account != user.name:
            namespace, _, name = account.partition(":")
            subject = f'ServiceAccount "{name}/{namespace}"'
        else:
            subject = f'User "{user.name}"'
        for grant in self.users.get(user.name, ()):
            yield subject, grant
        for group in user.groups:
            for grant in self.groups.get(group, ()):
                yield f'Group "{group}"', grant


class RoleIndex:
    """The rules every subject has, cluster-wide and in each namespace, at one moment."""

    def __init__(
        self,
        cluster_roles: Iterable[Object],
        roles: Iterable[Object],
        cluster_role_bindings: Iterable[Object],
        role_bindings: Iterable[Object],
    ) -> None:
        self._cluster_roles = _aggregated(list(cluster_roles))
        self._roles = {(r["metadata"]["namespace"], r["metadata"]["name"]): rules_of(r) for r in roles}
        self._cluster = _Subjects()
        self._namespaced: dict[str, _Subjects] = {}
        self._decisions: dict[tuple[Any, ...], bool | frozenset[str]] = {}
        for binding in cluster_role_bindings:
            grant = self._grant("", binding)
            self._cluster.add(binding.get("subjects") or (), "", grant)
        for binding in role_bindings:
            namespace = binding["metadata"]["namespace"]
            grant = self._grant(namespace, binding)
            scope = self._namespaced.setdefault(namespace, _Subjects())
            scope.add(binding.get("subjects") or (), namespace, grant)

    def rules_of_ref(self, namespace: str, ref: Mapping[str, Any]) -> tuple[Rule, ...] | None:
        """The rules of the role a binding in `namespace` refers to; None when there is none."""
        if ref.get("kind") == "ClusterRole":
            return self._cluster_roles.get(ref.get("name", ""))
        return self._roles.get((namespace, ref.get("name", "")))

    def _grant(self, namespace: str, binding: Mapping[str, Any]) -> _Grant:
        ref, name = binding.get("roleRef") or {}, binding["metadata"]["name"]
        kind, role = str(ref.get("kind", "")), ref.get("name", "")
        shown = f'RoleBinding "{name}/{namespace}"' if namespace else f'ClusterRoleBinding "{name}"'
        origin = f'{shown} of {kind} "{role}"'
        rules = self.rules_of_ref(namespace, ref)
        if rules is not None:
            return _Grant(rules, origin)
        return _Grant((), origin, f'{kind.lower()}.{GROUP} "{role}" not found')

    def _grants(self, user: User, namespace: str) -> Iterator[_Grant]:
        yield from self._cluster.of(user)
        scope = self._namespaced.get(namespace) if namespace else None
        if scope is not None:
            yield from scope.of(user)

    def rules(self, user: User, namespace: str = "") -> Iterator[Rule]:
        """The rules a user has in a namespace (empty: cluster-wide only). Rules from several bindings may repeat."""
        for grant in self._grants(user, namespace):
            yield from grant.rules

    def missing(self, user: User, namespace: str) -> str:
        """The roles that the user's bindings refer to and that do not exist, as a denial's reason. "" if none."""
        texts = list(dict.fromkeys(g.missing for g in self._grants(user, namespace) if g.missing))
        if not texts:
            return ""
        return "RBAC: " + (texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")

    def reason(self, a: Attributes) -> str:
        """Which binding allows this to whom; "" where none does."""
        scope = self._namespaced.get(a.namespace) if a.namespace else None
        for subjects in (self._cluster, scope):
            for subject, grant in subjects.described(a.user) if subjects is not None else ():
                if any(rule.allows(a) for rule in grant.rules):
                    return f"RBAC: allowed by {grant.origin} to {subject}"
        return ""

    def allows(self, a: Attributes) -> bool:
        user = a.user
        if a.path:
            key: tuple[Any, ...] = (user.name, user.groups, a.verb, a.path)
        else:
            key = (user.name, user.groups, a.verb, a.group, a.resource, a.subresource, a.namespace)
        decision = self._decisions.get(key)
        if decision is None:
            if len(self._decisions) >= _REMEMBERED_DECISIONS:
                self._decisions.clear()
            decision = self._decisions[key] = self._decide(a)
        return decision if isinstance(decision, bool) else a.name in decision

    def _decide(self, a: Attributes) -> bool | frozenset[str]:
        """Allowed whatever the name, or for these names alone."""
        if a.path:
            return any(rule.matches_path(a.verb, a.path) for rule in self.rules(a.user))
        names: set[str] = set()
        for rule in self.rules(a.user, a.namespace):
            if rule.matches_resource(a.verb, a.group, a.resource, a.subresource):
                if not rule.names:
                    return True
                names |= rule.names
        return frozenset(names) if names else False


def _aggregated(cluster_roles: list[Object]) -> dict[str, tuple[Rule, ...]]:
    """Rules of each ClusterRole; an aggregating one has its own and, at once, those of the roles it selects."""
    result = {role["metadata"]["name"]: rules_of(role) for role in cluster_roles}
    aggregating = {r["metadata"]["name"]: r for r in cluster_roles if r.get("aggregationRule")}

    def collect(name: str, above: frozenset[str]) -> dict[Rule, None]:
        rules = dict.fromkeys(result[name])
        role = aggregating.get(name)
        for selector in (role["aggregationRule"].get("clusterRoleSelectors") or ()) if role else ():
            chosen = selectors.from_label_selector(selector)
            for other in cluster_roles:
                other_name = other["metadata"]["name"]
                if other_name not in above and chosen.matches(other["metadata"].get("labels") or {}):
                    rules |= collect(other_name, above | {other_name})
        return rules

    collected = {name: tuple(collect(name, frozenset({name}))) for name in aggregating}
    return result | collected


def covers(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of `wanted` that `owned` does not allow (empty: no escalation), one verb and resource each."""
    owned = list(owned)
    return [
        part for rule in wanted for part in _parts(rule) if not any(_contains(own, part) for own in owned)
    ]


def _parts(rule: Rule) -> Iterator[Rule]:
    """The rule cut into rules of one verb and one resource, name or path."""
    one = frozenset
    for verb in sorted(rule.verbs):
        for group in sorted(rule.groups):
            for resource in sorted(rule.resources):
                if not rule.names:
                    yield Rule(one((verb,)), one((group,)), one((resource,)))
                for name in sorted(rule.names):
                    yield Rule(one((verb,)), one((group,)), one((resource,)), one((name,)))
        for path in sorted(rule.paths):
            yield Rule(one((verb,)), paths=one((path,)))


def _contains(own: Rule, part: Rule) -> bool:
    """Whether one rule allows all that a part (as `_parts` gives it) allows."""
    if not (ALL in own.verbs or part.verbs <= own.verbs):
        return False
    if part.paths:
        (path,) = part.paths
        return any(path == p or (p.endswith(ALL) and path.startswith(p[:-1])) for p in own.paths)
    if not (ALL in own.groups or part.groups <= own.groups):
        return False
    (resource,) = part.resources
    subresource = resource.partition("/")[2]
    if not (
        ALL in own.resources
        or resource in own.resources
        or (subresource and f"*/{subresource}" in own.resources)
    ):
        return False
    return not own.names or (bool(part.names) and part.names <= own.names)


def compact(rules: Iterable[Rule]) -> str:
    """Rules as an escalation error lists them, one a line, in the notation Kubernetes uses."""
    merged: dict[Rule, set[str]] = {}
    for rule in rules:
        key = Rule(frozenset(), rule.groups, rule.resources, rule.names, rule.paths)
        merged.setdefault(key, set()).update(rule.verbs)

    def listed(values: Iterable[str]) -> str:
        return "[" + " ".join(f'"{v}"' for v in sorted(values)) + "]"

    lines = set()
    for key, verbs in merged.items():
        parts = (
            ("APIGroups", key.groups),
            ("Resources", key.resources),
            ("NonResourceURLs", key.paths),
            ("ResourceNames", key.names),
            ("Verbs", verbs),
        )
        lines.add("{" + ", ".join(f"{label}:{listed(values)}" for label, values in parts if values) + "}")
    return "\n".join(sorted(lines))
