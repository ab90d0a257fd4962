"""RuntimeClass: a pod's overhead and where it may run come from its RuntimeClass."""

from __future__ import annotations

from apimachinery import resources
from apimachinery.quantity import Quantity
from apimachinery.resources import Resource
from apiserver.admission.plugin import Object, Plugin, Step, forbid
from apiserver.request import AdmissionRequest, Reader

RUNTIME_CLASSES = resources.get("runtimeclasses", "node.k8s.io")


class RuntimeClass(Plugin):
    name = "RuntimeClass"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._admit if (resource.kind, operation, subresource) == ("Pod", "CREATE", "") else None

    def _admit(self, request: AdmissionRequest) -> None:
        assert request.object is not None
        spec = request.object["spec"]
        name = spec.get("runtimeClassName")
        if name is None:
            if spec.get("overhead"):
                raise forbid(
                    request,
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )
            return
        found = self._reader.get(RUNTIME_CLASSES, "", name)
        if found is None:
            raise forbid(request, f'pod rejected: RuntimeClass "{name}" not found')
        self._overhead(request, spec, (found.get("overhead") or {}).get("podFixed") or {})
        scheduling = found.get("scheduling") or {}
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.setdefault(key, value) != value:
                raise forbid(
                    request,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {selector[key]}",
                )
        if selector:
            spec["nodeSelector"] = selector
        tolerations = spec.get("tolerations") or []
        added = [t for t in scheduling.get("tolerations") or () if t not in tolerations]
        if added:
            spec["tolerations"] = [*tolerations, *added]

    @staticmethod
    def _overhead(request: AdmissionRequest, spec: Object, fixed: Object) -> None:
        given = spec.get("overhead")
        if not given:
            if fixed:
                spec["overhead"] = dict(fixed)
            return
        if {k: Quantity.parse(v) for k, v in given.items()} != {
            k: Quantity.parse(v) for k, v in fixed.items()
        }:
            raise forbid(
                request, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            )
