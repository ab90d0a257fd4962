"""Claims that pods use, volumes that are bound and classes that are named stay until they are used no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery import meta, resources
from controllermanager.plans.actions import Action, Create, Event, Patch
from controllermanager.plans.localpath import drop_finalizer
from controllermanager.plans.views import PodView
from controllermanager.plans.volumematch import CLAIMS, VOLUMES

Object = dict[str, Any]

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"
ATTRIBUTES_CLASSES = resources.get("volumeattributesclasses", "storage.k8s.io")


def in_use(claim: str, pods: Iterable[PodView]) -> bool:
    """Whether a pod that was scheduled uses the claim of that name: one that was not will not be started."""
    return any(pod.node and claim in pod.claims for pod in pods)


def plan_claim(claim: Object, used: bool) -> list[Action]:
    """`used`: a look at the API server found a pod that uses the claim."""
    return _plan(CLAIMS, claim, CLAIM_FINALIZER, used)


def plan_volume(volume: Object) -> list[Action]:
    return _plan(VOLUMES, volume, VOLUME_FINALIZER, (volume.get("status") or {}).get("phase") == "Bound")


def attributes_classes(obj: Object | None) -> set[str]:
    """The VolumeAttributesClasses that a claim or a volume names: what it shall have, and what it has."""
    if obj is None:
        return set()
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    names = spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName")
    return {name for name in names if name}


def plan_attributes_class(attributes: Object, used: bool) -> list[Action]:
    """`used`: a look at the API server found a claim or a volume that names the class (KEP-3751)."""
    return _plan(ATTRIBUTES_CLASSES, attributes, ATTRIBUTES_FINALIZER, used)


def _plan(resource: Any, obj: Object, finalizer: str, used: bool) -> list[Action]:
    metadata = obj["metadata"]
    present = finalizer in meta.finalizers(obj)
    if metadata.get("deletionTimestamp"):
        return [drop_finalizer(resource, obj, finalizer)] if present and not used else []
    if present:
        return []
    patch = {
        "metadata": {
            "resourceVersion": metadata["resourceVersion"],
            "finalizers": [*meta.finalizers(obj), finalizer],
        }
    }
    return [Patch(resource, metadata.get("namespace", ""), metadata["name"], patch, missing_ok=True)]


def plan_ephemeral(pod: Object, claims: dict[str, Object]) -> list[Action]:
    """The claims of a pod's ephemeral volumes (KEP-1698). `claims` are those of its namespace by name."""
    metadata = pod["metadata"]
    owner = {**pod, "apiVersion": "v1", "kind": "Pod"}
    actions: list[Action] = []
    for volume in pod["spec"].get("volumes") or ():
        if "ephemeral" not in volume:
            continue
        name = f"{metadata['name']}-{volume['name']}"
        found = claims.get(name)
        if found is not None:
            if not meta.is_controlled_by(found, pod):
                place = metadata["namespace"]
                text = f'PVC "{place}/{name}" was not created for pod "{place}/{metadata["name"]}" (pod is not owner)'
                actions.append(Event(owner, "Warning", "ClaimMisbound", text))
            continue
        template = volume["ephemeral"].get("volumeClaimTemplate") or {}
        given = template.get("metadata") or {}
        claim = {
            "metadata": {
                "namespace": metadata["namespace"],
                "name": name,
                "ownerReferences": [meta.owner_reference(owner)],
                **{key: given[key] for key in ("annotations", "labels") if given.get(key)},
            },
            "spec": template.get("spec") or {},
        }
        actions.append(Create(CLAIMS, claim))
    return actions
