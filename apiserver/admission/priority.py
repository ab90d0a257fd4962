"""Priority: a pod's number comes from its PriorityClass, and there is one default class at most."""

from __future__ import annotations

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver.admission.plugin import Object, Plugin, Step, forbid
from apiserver.request import AdmissionRequest, Reader

PRIORITY_CLASSES = resources.get("priorityclasses", "scheduling.k8s.io")
SYSTEM_CLASSES = {
    "system-cluster-critical": (2_000_000_000, "Used for system critical pods that must run in the cluster, but can "
                                "be moved to another node if necessary."),
    "system-node-critical": (2_000_001_000, "Used for system critical pods that must not be moved from their "
                             "current node."),
}  # fmt: skip
DEFAULT_PREEMPTION = "PreemptLowerPriority"


def system_class(name: str) -> Object:
    """One of the two PriorityClasses every cluster has."""
    value, description = SYSTEM_CLASSES[name]
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": description,
        "preemptionPolicy": DEFAULT_PREEMPTION,
    }


class Priority(Plugin):
    name = "Priority"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if resource.kind != "Pod" or subresource:
            return None
        return {"CREATE": self._pod, "UPDATE": self._keep}.get(operation)

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if resource.kind == "PriorityClass" and operation in ("CREATE", "UPDATE"):
            return self._one_default
        return None

    def _pod(self, request: AdmissionRequest) -> None:
        assert request.object is not None
        spec = request.object["spec"]
        name = spec.get("priorityClassName") or ""
        chosen = self._class(name) if name else self._default()
        if name and chosen is None:
            raise forbid(request, f"no PriorityClass with name {name} was found")
        value, policy = 0, DEFAULT_PREEMPTION
        if chosen is not None:
            value = chosen.get("value", 0)
            policy = chosen.get("preemptionPolicy") or DEFAULT_PREEMPTION
            spec["priorityClassName"] = chosen["metadata"]["name"]
        computed = "computed {} from the given PriorityClass name"
        given = spec.get("priority")
        if given is not None and given != value:
            why = f"the integer value of priority ({given}) must not be provided in pod spec; "
            raise forbid(request, why + "priority admission controller " + computed.format(value))
        given_policy = spec.get("preemptionPolicy")
        if given_policy is not None and given_policy != policy:
            why = f"the string value of PreemptionPolicy ({given_policy}) must not be provided in pod spec; "
            raise forbid(request, why + "priority admission controller " + computed.format(policy))
        spec["priority"] = value
        spec["preemptionPolicy"] = policy

    @staticmethod
    def _keep(request: AdmissionRequest) -> None:
        """A client that sends back a pod as it first wrote it does not take its priority away."""
        new, old = (request.object or {}).get("spec") or {}, (request.old_object or {}).get("spec") or {}
        for key in ("priority", "preemptionPolicy"):
            if new.get(key) is None and old.get(key) is not None:
                new[key] = old[key]

    def _class(self, name: str) -> Object | None:
        found = self._reader.get(PRIORITY_CLASSES, "", name)
        if found is None and name in SYSTEM_CLASSES:
            return system_class(name)
        return found

    def _default(self) -> Object | None:
        """The default class; of several, which a race can make, the one with the lowest value."""
        defaults = [c for c in self._reader.list(PRIORITY_CLASSES) if c.get("globalDefault")]
        return min(defaults, key=lambda c: (c.get("value", 0), c["metadata"]["name"]), default=None)

    def _one_default(self, request: AdmissionRequest) -> None:
        new, old = request.object or {}, request.old_object or {}
        if not new.get("globalDefault") or old.get("globalDefault"):
            return
        current = self._default()
        if current is not None and current["metadata"]["name"] != request.name:
            name = current["metadata"]["name"]
            raise forbid(
                request, f"PriorityClass {name} is already marked as default. Only one default can exist"
            )
