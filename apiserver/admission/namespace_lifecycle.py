"""NamespaceLifecycle: nothing new in a namespace that is not there or is going, and three namespaces never go."""

from __future__ import annotations

from collections.abc import Awaitable

from apimachinery import errors
from apimachinery.resources import Resource
from apiserver.admission.plugin import NAMESPACES, Fresh, Object, Plugin, Step, forbid
from apiserver.request import AdmissionRequest, Reader

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def __init__(self, reader: Reader, fresh: Fresh | None = None) -> None:
        self._reader = reader
        self._fresh = fresh

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if not resource.namespaced or resource.kind == "LocalSubjectAccessReview":
            return None
        return self._check if operation in ("CREATE", "UPDATE") else None

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if resource.plural == "namespaces" and not resource.group and operation == "DELETE":
            return self._check_deletion
        return None

    @staticmethod
    def _check_deletion(request: AdmissionRequest) -> None:
        if request.name in IMMORTAL:
            raise forbid(request, "this namespace may not be deleted")

    def _check(self, request: AdmissionRequest) -> Awaitable[None] | None:
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            return self._check_again(request)
        self._refuse_terminating(request, namespace)
        return None

    async def _check_again(self, request: AdmissionRequest) -> None:
        """Another apiserver may have created the namespace a moment ago."""
        if self._fresh is not None:
            await self._fresh(NAMESPACES)
        namespace = self._reader.get(NAMESPACES, "", request.namespace)
        if namespace is None:
            raise errors.not_found("namespaces", request.namespace)
        self._refuse_terminating(request, namespace)

    @staticmethod
    def _refuse_terminating(request: AdmissionRequest, namespace: Object) -> None:
        if request.operation != "CREATE" or (namespace.get("status") or {}).get("phase") != "Terminating":
            return
        name = request.namespace
        error = forbid(
            request, f"unable to create new content in namespace {name} because it is being terminated"
        )
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
        error.details = {**(error.details or {}), "causes": [cause]}
        raise error
