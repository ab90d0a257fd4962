"""Validation of resource names and amounts: requests and limits of containers, quotas, capacities."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, required
from apimachinery.quantity import Quantity
from apimachinery.validation.fields import NOT_NEGATIVE, Errors

Object = dict[str, Any]

_CONTAINER = frozenset(["cpu", "memory", "ephemeral-storage"])
_STANDARD = _CONTAINER | {
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "storage",
    "persistentvolumeclaims", "services.nodeports", "services.loadbalancers", "requests.cpu", "requests.memory",
    "requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
}  # fmt: skip
_INTEGER = frozenset(
    ["pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps",
     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"]
)  # fmt: skip


def is_native(name: str) -> bool:
    """Whether the name is Kubernetes's own rather than an extended resource's."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    return not is_native(name) and not name.startswith("requests.")


def is_hugepage(name: str) -> bool:
    return name.startswith("hugepages-")


def is_standard(name: str) -> bool:
    return (
        name in _STANDARD
        or is_hugepage(name)
        or name.startswith(("requests.hugepages-", "count/"))
        or ".storageclass.storage.k8s.io/" in name
    )


def overcommit_allowed(name: str) -> bool:
    return is_native(name) and not is_hugepage(name)


def amount(errs: Errors, path: str, name: str, text: str) -> Quantity:
    """One amount: not negative, and whole where only whole makes sense."""
    value = Quantity.parse(text)
    if value.nano < 0:
        errs.append(invalid_value(path, text, NOT_NEGATIVE))
    if value.nano % 10**9 and (name in _INTEGER or is_extended(name)):
        errs.append(invalid_value(path, text, "must be an integer"))
    return value


def container_name(errs: Errors, path: str, name: str) -> None:
    if name in _CONTAINER or is_hugepage(name):
        return
    for message in names.qualified_name(name):
        errs.append(invalid_value(path, name, message))
    if "/" not in name:
        errs.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif is_native(name):
        errs.append(invalid_value(path, name, "doesn't follow extended resource name standard"))


def resource_name(errs: Errors, path: str, name: str) -> None:
    """A resource of a node, a quota or a limit range."""
    for message in names.qualified_name(name):
        errs.append(invalid_value(path, name, message))
    if "/" not in name and not is_standard(name):
        errs.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))


def requirements(errs: Errors, path: str, resources: Object) -> None:
    """ResourceRequirements of a container (or, with the same rules, of a pod)."""
    limits: dict[str, Quantity] = {}
    for name, text in (resources.get("limits") or {}).items():
        here = f"{path}.limits[{name}]"
        container_name(errs, here, name)
        limits[name] = amount(errs, here, name, text)
    requests = resources.get("requests") or {}
    for name, text in requests.items():
        here = f"{path}.requests[{name}]"
        container_name(errs, here, name)
        value = amount(errs, here, name, text)
        limit = limits.get(name)
        if limit is None:
            if not overcommit_allowed(name):
                text = "Limit must be set for non overcommitable resources"
                errs.append(required(f"{path}.limits", text))
        elif value.nano != limit.nano and not overcommit_allowed(name):
            detail = f"must be equal to {name} limit of {limit}"
            errs.append(invalid_value(f"{path}.requests", text, detail))
        elif value.nano > limit.nano:
            detail = f"must be less than or equal to {name} limit of {limit}"
            errs.append(invalid_value(f"{path}.requests", text, detail))
    used = {*limits, *requests}
    if any(is_hugepage(name) for name in used) and not used & {"cpu", "memory"}:
        errs.append(forbidden_field(path, "HugePages require cpu or memory"))
    claims = set()
    for i, claim in enumerate(resources.get("claims") or ()):
        name = claim.get("name") or ""
        key = (name, claim.get("request") or "")
        if not name:
            errs.append(required(f"{path}.claims[{i}]"))
        elif key in claims:
            errs.append(invalid_value(f"{path}.claims[{i}]", name, "must be unique"))
        claims.add(key)


def resource_list(errs: Errors, path: str, amounts: dict[str, str] | None) -> None:
    """A list of amounts of any resources, such as a node's capacity or a quota's hard limits."""
    for name, text in (amounts or {}).items():
        here = f"{path}[{name}]"
        resource_name(errs, here, name)
        amount(errs, here, name, text)
