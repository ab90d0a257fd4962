"""The end of a namespace: what its status says while content remains, and when it may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery import meta, resources
from apimachinery.resources import Resource
from controllermanager.plans.actions import Action, Update, status_patch

Object = dict[str, Any]

NAMESPACES = resources.get("namespaces")
FINALIZER = "kubernetes"


@dataclass(frozen=True, slots=True)
class Findings:
    """What a round of deleting found: group versions that cannot be discovered and why; errors of deleting, by
    resource; and of each resource what is left, as the finalizers of each object."""

    undiscovered: Sequence[tuple[str, str]] = ()
    errors: Mapping[str, str] = field(default_factory=dict)
    remaining: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)

    @property
    def nothing_left(self) -> bool:
        return not self.undiscovered and not self.errors and not self.remaining


def deletable(found: Sequence[Resource]) -> list[Resource]:
    """The namespaced resources whose objects can be listed and deleted; pods first, since others (their
    configuration, their network policies) are to outlive them."""
    usable = [
        r for r in found if r.namespaced and {"list", "delete"} <= set(r.verbs) and r.group != "events.k8s.io"
    ]
    return sorted(usable, key=lambda r: r.plural != "pods")


def told(resource: Resource) -> str:
    """A resource as the conditions name it: `pods.`, `deployments.apps`."""
    return f"{resource.plural}.{resource.group}"


def needs_finalizing(namespace: Object) -> bool:
    """Being deleted, and ours to empty first."""
    finalizers = (namespace.get("spec") or {}).get("finalizers") or ()
    return bool(namespace["metadata"].get("deletionTimestamp")) and FINALIZER in finalizers


def plan(namespace: Object, findings: Findings, now: datetime) -> list[Action]:
    """Lets the namespace go if nothing is left, else says what is."""
    if findings.nothing_left:
        kept = [f for f in namespace["spec"].get("finalizers") or () if f != FINALIZER]
        body = {
            **namespace,
            "apiVersion": "v1",
            "kind": "Namespace",
            "spec": {**namespace["spec"], "finalizers": kept},
        }
        return [Update(NAMESPACES, body, subresource="finalize")]
    stamp = meta.rfc3339(now)
    conditions = list((namespace.get("status") or {}).get("conditions") or ())
    for condition in _conditions(findings):
        current = next((c for c in conditions if c["type"] == condition["type"]), None)
        same = current is not None and all(current.get(k) == v for k, v in condition.items())
        if not same:
            conditions = meta.set_condition(conditions, condition, stamp)
    status = {**(namespace.get("status") or {}), "conditions": conditions}
    return status_patch(NAMESPACES, namespace, status)


def _conditions(findings: Findings) -> list[Object]:
    undiscovered = ", ".join(f"{version}: {why}" for version, why in findings.undiscovered)
    errors = ", ".join(findings.errors[key] for key in sorted(findings.errors))
    counts = {name: len(objects) for name, objects in findings.remaining.items() if objects}
    finalizers = Counter(f for objects in findings.remaining.values() for held in objects for f in set(held))
    left = ", ".join(f"{name} has {counts[name]} resource instances" for name in sorted(counts))
    held_by = ", ".join(f"{name} in {finalizers[name]} resource instances" for name in sorted(finalizers))
    return [
        _condition(
            "NamespaceDeletionDiscoveryFailure",
            undiscovered
            and f"Discovery failed for some groups, {len(findings.undiscovered)} failing: {undiscovered}",
            "DiscoveryFailed",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            "GroupVersionParsingFailed",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _condition(
            "NamespaceDeletionContentFailure",
            errors and f"Failed to delete all resource types, {len(findings.errors)} remaining: {errors}",
            "ContentDeletionFailed",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _condition(
            "NamespaceContentRemaining",
            left and f"Some resources are remaining: {left}",
            "SomeResourcesRemain",
            "ContentRemoved",
            "All content successfully removed",
        ),
        _condition(
            "NamespaceFinalizersRemaining",
            held_by and f"Some content in the namespace has finalizers remaining: {held_by}",
            "SomeFinalizersRemain",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ]


def _condition(kind: str, problem: str, reason: str, fine: str, message: str) -> Object:
    if problem:
        return {"type": kind, "status": "True", "reason": reason, "message": problem}
    return {"type": kind, "status": "False", "reason": fine, "message": message}
