"""DefaultIngressClass: an Ingress that names no class gets the default one."""

from __future__ import annotations

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver.admission.plugin import Plugin, Step, forbid
from apiserver.request import AdmissionRequest, Reader

INGRESS_CLASSES = resources.get("ingressclasses", "networking.k8s.io")
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._admit if (resource.kind, operation, subresource) == ("Ingress", "CREATE", "") else None

    def _admit(self, request: AdmissionRequest) -> None:
        ingress = request.object
        assert ingress is not None
        if ingress["spec"].get("ingressClassName") is not None:
            return
        if CLASS_ANNOTATION in (ingress["metadata"].get("annotations") or {}):
            return
        defaults = [
            c
            for c in self._reader.list(INGRESS_CLASSES)
            if (c["metadata"].get("annotations") or {}).get(DEFAULT_ANNOTATION) == "true"
        ]
        if len(defaults) > 1:
            raise forbid(request, f"{len(defaults)} default IngressClasses were found, only 1 allowed")
        if defaults:
            ingress["spec"]["ingressClassName"] = defaults[0]["metadata"]["name"]
