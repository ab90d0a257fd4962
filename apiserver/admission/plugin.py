"""What an admission plugin is, and what plugins share.

A plugin says once, for an operation on a resource, which function it wants to see such requests with (or None); the
chain remembers the answer, so a request costs nothing in the plugins that it does not concern.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apimachinery import errors, resources
from apimachinery.errors import StatusError
from apimachinery.resources import Resource
from apiserver.request import AdmissionRequest

Object = dict[str, Any]
Step = Callable[[AdmissionRequest], Awaitable[None] | None]
Fresh = Callable[[Resource], Awaitable[None]]
"""Waits until reads of a resource see everything written before the call, by whichever apiserver."""

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
NAMESPACES = resources.get("namespaces")
PODS = resources.get("pods")


class Plugin:
    """Base of the plugins. For DELETE and CONNECT only validators are called."""

    name = ""

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        """The function that changes such requests' objects, if any."""
        return None

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        """The function that checks such requests, if any."""
        return None


def forbid(request: AdmissionRequest, why: str) -> StatusError:
    """403 as Kubernetes's admission words it: `pods "x" is forbidden: <why>`."""
    resource = request.resource
    return errors.forbidden(resource.plural, object_name(request), why, resource.group)


def object_name(request: AdmissionRequest) -> str:
    """The object's name, or the base of the name that will be generated."""
    if request.name:
        return request.name
    meta = (request.object or {}).get("metadata") or {}
    return str(meta.get("name") or meta.get("generateName") or "Unknown")


def is_mirror(pod: Object) -> bool:
    """Whether a pod mirrors a static pod of a node's agent."""
    return MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})


def containers(spec: Object) -> list[Object]:
    """Every container of a pod spec: init, regular, ephemeral."""
    found: list[Object] = []
    for field in ("initContainers", "containers", "ephemeralContainers"):
        found += spec.get(field) or ()
    return found
