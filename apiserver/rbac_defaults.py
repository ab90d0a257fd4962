"""The roles and bindings every cluster has, and how they are kept: Kubernetes's own set, as compact tables.

Objects with the annotation `rbac.authorization.kubernetes.io/autoupdate: "true"` get missing rules and subjects
back at each start; what an administrator added stays, and setting the annotation to "false" stops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver.authz import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from apiserver.authz_node import NODE_RULES
from apiserver.rbac import GROUP, Rule, covers, rules_of
from apiserver.rbac_defaults_controllers import CONTROLLERS
from apiserver.rbac_defaults_roles import (
    AGGREGATES,
    CLUSTER_BINDINGS,
    NAMESPACED_ROLES,
    SYSTEM_ROLES,
    TableRule,
)
from apiserver.request import Object, Reader, Writer

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
CONTROLLER_MANAGER = "system:kube-controller-manager"


@dataclass(frozen=True, slots=True)
class Change:
    """One write that `plan` asks for. `create` is false for an update of what is there."""

    resource: Resource
    object: Object
    create: bool


def _meta(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    meta: Object = {
        "name": name,
        "labels": BOOTSTRAPPING | (labels or {}),
        "annotations": {AUTOUPDATE: "true"},
    }
    if namespace:
        meta["namespace"] = namespace
    return meta


def _expand(rules: Iterable[TableRule]) -> list[Object]:
    expanded = []
    for verbs, groups, resources, *names in rules:
        rule: dict[str, Any] = {"verbs": verbs.split()}
        if groups == "url":
            rule["nonResourceURLs"] = resources.split()
        else:
            rule["apiGroups"] = ["" if g == "core" else g for g in groups.split()]
            rule["resources"] = resources.split()
        if names:
            rule["resourceNames"] = names[0].split()
        expanded.append(rule)
    return expanded


def _role(
    name: str, rules: list[Object], namespace: str = "", labels: dict[str, str] | None = None
) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Role" if namespace else "ClusterRole",
        "metadata": _meta(name, namespace, labels),
        "rules": rules,
    }


def _subject(text: str) -> Object:
    """`User:x`, `Group:x` or `ServiceAccount:namespace:x`."""
    kind, _, name = text.partition(":")
    if kind == "ServiceAccount":
        namespace, _, name = name.partition(":")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind, "name": name}


def _binding(
    name: str, role: str, subjects: Iterable[str], namespace: str = "", cluster: bool = True
) -> Object:
    binding: Object = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": _meta(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole" if cluster else "Role", "name": role},
    }
    shown = [_subject(s) for s in subjects]
    if shown:
        binding["subjects"] = shown
    return binding


def defaults() -> Iterator[tuple[Resource, Object]]:
    """Every default role and binding."""
    for name, rules in SYSTEM_ROLES.items():
        yield CLUSTER_ROLES, _role(name, _expand(rules))
    yield CLUSTER_ROLES, _role("system:node", [rule.to_object() for rule in NODE_RULES])
    yield from _aggregated()
    for name, subjects in CLUSTER_BINDINGS.items():
        yield CLUSTER_ROLE_BINDINGS, _binding(name, name, subjects)
    for name, rules in CONTROLLERS.items():
        full = f"system:controller:{name}"
        yield CLUSTER_ROLES, _role(full, _expand(rules))
        # The controller manager runs its controllers under its own name as well as under their accounts'.
        subjects = (f"ServiceAccount:kube-system:{name}", f"User:{CONTROLLER_MANAGER}")
        yield CLUSTER_ROLE_BINDINGS, _binding(full, full, subjects)
    for (namespace, name), (rules, subjects) in NAMESPACED_ROLES.items():
        yield ROLES, _role(name, _expand(rules), namespace)
        if subjects:
            yield ROLE_BINDINGS, _binding(name, name, subjects, namespace, cluster=False)


def _aggregated() -> Iterator[tuple[Resource, Object]]:
    """admin, edit and view, each from the roles that carry its label. Their rules are filled in from the start."""
    label = "rbac.authorization.k8s.io/aggregate-to-"
    rules: list[Object] = []
    above = {"view": {f"{label}edit": "true"}, "edit": {f"{label}admin": "true"}, "admin": {}}
    for name in ("view", "edit", "admin"):
        own = _expand(AGGREGATES[name])
        yield CLUSTER_ROLES, _role(f"system:aggregate-to-{name}", own, labels={f"{label}{name}": "true"})
        rules = own + rules
        role = _role(name, rules, labels=above[name])
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"{label}{name}": "true"}}]}
        yield CLUSTER_ROLES, role


def plan(reader: Reader) -> list[Change]:
    """The writes that bring the default roles and bindings to what they must hold. Pure."""
    changes = []
    for resource, wanted in defaults():
        meta = wanted["metadata"]
        current = reader.get(resource, meta.get("namespace", ""), meta["name"])
        if current is None:
            changes.append(Change(resource, wanted, create=True))
        elif (updated := _reconciled(current, wanted)) is not None:
            changes.append(Change(resource, updated, create=False))
    return changes


def _reconciled(current: Object, wanted: Object) -> Object | None:
    """`current` with what it lacks of `wanted`; None when it lacks nothing or must be left alone."""
    annotations = current["metadata"].get("annotations") or {}
    if annotations.get(AUTOUPDATE) != "true":
        return None
    labels = current["metadata"].get("labels") or {}
    changed: Object = {}
    if "roleRef" in wanted:
        have = current.get("subjects") or []
        lacking = [s for s in wanted.get("subjects") or () if s not in have]
        if lacking:
            changed["subjects"] = [*have, *lacking]
    elif "aggregationRule" not in wanted:  # an aggregated role's rules belong to the aggregation
        missing: list[Rule] = covers(rules_of(current), rules_of(wanted))
        if missing:
            changed["rules"] = [*(current.get("rules") or ()), *(rule.to_object() for rule in missing)]
    if wanted["metadata"]["labels"].items() - labels.items():
        changed["metadata"] = current["metadata"] | {"labels": labels | wanted["metadata"]["labels"]}
    return current | changed if changed else None


async def reconcile(reader: Reader, writer: Writer) -> int:
    """Write what `plan` asks for, all at once, so that the store can commit it as one group. Returns how many writes.

    Another apiserver doing the same at the same time is fine: what it wrote first is as good as ours.
    """

    async def write(change: Change) -> None:
        try:
            if change.create:
                await writer.create(change.resource, change.object)
            else:
                await writer.update(change.resource, change.object)
        except StatusError as err:
            if err.code != 409:
                raise

    changes = plan(reader)
    async with asyncio.TaskGroup() as group:
        for change in changes:
            group.create_task(write(change))
    return len(changes)
