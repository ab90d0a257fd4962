"""Validation of resource names and amounts: requests and limits of containers, quotas, capacities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import names
from apimachinery.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    not_supported,
    required,
)
from apimachinery.quantity import Quantity
from apimachinery.validation.fields import NOT_NEGATIVE, Errors

Object = dict[str, Any]

_CONTAINER = frozenset(["cpu", "memory", "ephemeral-storage"])
_COMPUTE = frozenset(["cpu", "memory"])
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


def _in_pages(errs: Errors, path: str, name: str, text: str) -> Quantity:
    """An amount that a container asks for: huge pages come whole."""
    value = amount(errs, path, name, text)
    if is_hugepage(name) and not _divisible(name, value):
        errs.append(invalid_value(path, text, f"{value} is not positive integer multiple of {name}"))
    return value


def _divisible(name: str, value: Quantity) -> bool:
    try:
        size = Quantity.parse(name.removeprefix("hugepages-")).nano
    except ValueError:
        return False
    return size > 0 and value.nano % size == 0


def container_name(errs: Errors, path: str, name: str) -> None:
    if name in _CONTAINER or is_hugepage(name):
        return
    for message in names.qualified_name(name):
        errs.append(invalid_value(path, name, message))
    if "/" not in name:
        errs.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif is_native(name):
        errs.append(invalid_value(path, name, "doesn't follow extended resource name standard"))


def pod_name(errs: Errors, path: str, name: str) -> None:
    """A resource that a pod as a whole may ask for."""
    before = len(errs)
    resource_name(errs, path, name)
    if len(errs) == before and name not in _COMPUTE and not is_hugepage(name):
        errs.append(not_supported(path, name, ("cpu", "hugepages-", "memory")))


def resource_name(errs: Errors, path: str, name: str) -> None:
    """A resource of a node, a quota or a limit range."""
    before = len(errs)
    for message in names.qualified_name(name):
        errs.append(invalid_value(path, name, message))
    if len(errs) == before and "/" not in name and not is_standard(name):
        errs.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))


def requirements(
    errs: Errors,
    path: str,
    resources: Object,
    claims: frozenset[str] = frozenset(),
    name_check: Callable[[Errors, str, str], None] = container_name,
) -> None:
    """ResourceRequirements of a container, or of a pod by another `name_check`. `claims` are the pod's, by name."""
    limits: dict[str, Quantity] = {}
    for name, text in (resources.get("limits") or {}).items():
        here = f"{path}.limits[{name}]"
        if name not in _COMPUTE:
            name_check(errs, here, name)
        limits[name] = _in_pages(errs, here, name, text)
    requests = resources.get("requests") or {}
    for name, text in requests.items():
        here = f"{path}.requests[{name}]"
        if name not in _COMPUTE:
            name_check(errs, here, name)
        value = _in_pages(errs, here, name, text)
        limit = limits.get(name)
        if limit is None:
            if not overcommit_allowed(name):
                detail = "Limit must be set for non overcommitable resources"
                errs.append(required(f"{path}.limits", detail))
        elif value.nano != limit.nano and not overcommit_allowed(name):
            detail = f"must be equal to {name} limit of {limit}"
            errs.append(invalid_value(f"{path}.requests", text, detail))
        elif value.nano > limit.nano:
            detail = f"must be less than or equal to {name} limit of {limit}"
            errs.append(invalid_value(f"{path}.requests", text, detail))
    computing = _COMPUTE & limits.keys() or _COMPUTE & requests.keys()
    if not computing and any(is_hugepage(name) for name in (*limits, *requests)):
        errs.append(forbidden_field(path, "HugePages require cpu or memory"))
    if resources.get("claims"):
        _claims(errs, f"{path}.claims", resources["claims"], claims)


def _claims(errs: Errors, path: str, items: list[Object], known: frozenset[str]) -> None:
    """Each claim of the pod once, whole or request by request."""
    seen: set[str] = set()
    for i, claim in enumerate(items):
        here, name, request = f"{path}[{i}]", claim.get("name") or "", claim.get("request") or ""
        if not name:
            errs.append(required(here))
            continue
        if name in seen:
            errs.append(duplicate(here, name))
        else:
            key = name
            if request:
                for message in names.dns1123_label(request):
                    errs.append(invalid_value(f"{here}.request", request, message))
                key = f"{name}/{request}"
            if key in seen:
                errs.append(duplicate(here, key))
            elif not request and any(other.startswith(f"{name}/") for other in seen):
                errs.append(duplicate(here, name))
            seen.add(key)
        if name not in known:
            listed = ": " + ", ".join(sorted(known)) if known else " which is empty"
            text = f"must be one of the names in pod.spec.resourceClaims{listed}"
            found = not_found_value(here, name)
            errs.append(FieldError(found.field, found.reason, f"{found.message}: {text}"))


_QUOTA = _STANDARD | {"cpu", "memory", "ephemeral-storage"}


def is_quota(name: str) -> bool:
    """Whether quotas know the resource by itself, rather than count objects or extended resources."""
    return name in _QUOTA or name.startswith(("requests.hugepages-", "hugepages-"))


def quota_name(errs: Errors, path: str, name: str) -> None:
    """A resource that a quota may limit."""
    before = len(errs)
    resource_name(errs, path, name)
    counted = ".storageclass.storage.k8s.io/" in name or ".volumeattributesclass.storage.k8s.io/" in name
    if len(errs) == before and "/" not in name and not counted and not is_quota(name):
        errs.append(invalid_value(path, name, "must be a standard resource for quota"))
