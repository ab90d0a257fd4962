"""DefaultTolerationSeconds: pods stay five minutes on a node that is not ready or unreachable, unless they say."""

from __future__ import annotations

from apimachinery.resources import Resource
from apiserver.admission.plugin import Plugin, Step
from apiserver.request import AdmissionRequest

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return (
            self._add
            if resource.kind == "Pod" and operation in ("CREATE", "UPDATE") and not subresource
            else None
        )

    @staticmethod
    def _add(request: AdmissionRequest) -> None:
        assert request.object is not None
        spec = request.object["spec"]
        tolerations = spec.get("tolerations") or []
        tolerated = {t.get("key", "") for t in tolerations if t.get("effect") in (None, "", "NoExecute")}
        if "" in tolerated:
            return
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
            for key in (NOT_READY, UNREACHABLE)
            if key not in tolerated
        ]
        if added:
            spec["tolerations"] = [*tolerations, *added]
