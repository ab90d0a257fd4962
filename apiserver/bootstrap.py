"""Objects that a cluster has from the start: system namespaces, default roles, and made again when they are missing."""

from __future__ import annotations

from typing import Any

from apimachinery import resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver import rbac_defaults
from apiserver.registry.call import system_call
from apiserver.registry.registries import InternalWriter, Registries

Object = dict[str, Any]

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


async def objects(registries: Registries) -> None:
    """Make what is missing. Several servers may do so at one time."""
    for name in NAMESPACES:
        await ensure(registries, resources.get("namespaces"), namespace(name))
    await rbac_defaults.reconcile(registries, InternalWriter(registries))


async def ensure(registries: Registries, resource: Resource, obj: Object) -> None:
    """Create an object unless there is one of its name."""
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
