"""Objects that a cluster has from the start: system namespaces, default roles, and made again when they are missing."""

from __future__ import annotations

import asyncio
from typing import Any

from apimachinery import meta, resources
from apimachinery.errors import StatusError
from apiserver import rbac_defaults
from apiserver.registry.call import system_call
from apiserver.registry.registries import InternalWriter, Registries

Object = dict[str, Any]

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def priority_class(name: str, value: int, description: str) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": description,
    }


PRIORITY_CLASSES = (
    priority_class(
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    priority_class(
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
)


def service_cidr(cidr: str) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [cidr]},
    }


async def objects(registries: Registries) -> None:
    """Make what is missing. Several servers may do so at one time."""
    wanted = [namespace(name) for name in NAMESPACES]
    wanted += [*PRIORITY_CLASSES, service_cidr(registries.backend.service_cidr)]
    async with asyncio.TaskGroup() as group:
        for obj in wanted:
            group.create_task(ensure(registries, obj))
    await service_cidr_ready(registries)
    await rbac_defaults.reconcile(registries, InternalWriter(registries))


async def service_cidr_ready(registries: Registries) -> None:
    """Say of the cluster's own range that addresses may be taken from it: this server does that itself."""
    registry = registries.registry("servicecidrs", "networking.k8s.io")
    now = registries.backend.identity.timestamp()

    def ready(obj: Object) -> Object:
        status = obj.setdefault("status", {})
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "",
            "message": "Kubernetes default Service CIDR is ready",
        }
        conditions = status.get("conditions") or []
        if not any(known["type"] == "Ready" and known["status"] == "True" for known in conditions):
            status["conditions"] = meta.set_condition(conditions, condition, now)
        return obj

    await registry.update(system_call(), "", "kubernetes", ready, subresource="status")


async def ensure(registries: Registries, obj: Object) -> None:
    """Create an object unless there is one of its name."""
    resource = resources.by_kind(obj["apiVersion"], obj["kind"])
    assert resource is not None
    metadata = obj["metadata"]
    space, name = metadata.get("namespace", ""), metadata["name"]
    registry = registries.registry(resource.plural, resource.group)
    if registry.cacher.get(space, name) is not None:
        return
    try:
        await registry.create(system_call(), space, obj)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
