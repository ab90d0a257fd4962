"""Warnings about what is accepted. Kubernetes's storage strategies give them; here a plugin does."""

from __future__ import annotations

from apimachinery import warnings
from apimachinery.resources import Resource
from apiserver.admission.plugin import Plugin, Step
from apiserver.request import AdmissionRequest


class ObjectWarnings(Plugin):
    name = "ObjectWarnings"

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        kind = (resource.group, resource.plural)
        if subresource:
            return None
        if operation == "CREATE" and kind in warnings.KINDS:
            return self._created
        if operation == "UPDATE" and kind in warnings.TEMPLATES:
            return self._changed
        return None

    @staticmethod
    def _created(request: AdmissionRequest) -> None:
        assert request.object is not None
        _add(request, warnings.of_new(request.resource.group, request.resource.plural, request.object))

    @staticmethod
    def _changed(request: AdmissionRequest) -> None:
        new, old = request.object, request.old_object
        assert new is not None and old is not None
        # The generation grows with the spec: what only changes metadata need not hear of the rest again.
        if new["metadata"].get("generation") != old["metadata"].get("generation"):
            _add(request, warnings.of_change(request.resource.group, request.resource.plural, new))


def _add(request: AdmissionRequest, found: list[str]) -> None:
    """A write that lost a race is checked again, and its client told once."""
    request.warnings.extend(text for text in found if text not in request.warnings)
