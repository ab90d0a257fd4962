"""What a pod may do with the claim it refers to, and with the PersistentVolume behind it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery import meta
from kubeletd.admission import matches_term
from kubeletd.interfaces import MountError, Pod, PodFacts, WholeMountError

Object = Mapping[str, Any]


def claim_name(pod: Pod, volume: Object) -> str:
    """The claim that a volume of the pod refers to, "" for none."""
    if "ephemeral" in volume:
        return f"{pod['metadata']['name']}-{volume['name']}"
    claim: str = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
    return claim


def bound_volume(pod: Pod, volume: Object, claim: Object | None) -> str:
    """The name of the PersistentVolume that a claim has. Raises MountError where the pod may not use it."""
    name = claim_name(pod, volume)
    if claim is None:
        raise MountError(f'persistentvolumeclaim "{name}" not found')
    if "ephemeral" in volume and not meta.is_controlled_by(dict(claim), dict(pod)):
        place = pod["metadata"]["namespace"]
        raise MountError(
            f'PVC "{place}/{name}" was not created for pod "{place}/{pod["metadata"]["name"]}" (pod is not owner)'
        )
    bound: str = (claim.get("spec") or {}).get("volumeName") or ""
    if not bound or (claim.get("status") or {}).get("phase") != "Bound":
        raise MountError(f'persistentvolumeclaim "{name}" is not bound')
    return bound


def check_use(pod: Pod, volume: Object, persistent: Object, facts: PodFacts) -> None:
    """Raises MountError where the PersistentVolume may not be used so, or not here."""
    spec = persistent["spec"]
    mode = spec.get("volumeMode") or "Filesystem"
    for field, wanted in (("volumeMounts", "Filesystem"), ("volumeDevices", "Block")):
        if mode != wanted and volume["name"] in _names(pod, field):
            raise MountError(f"volume {volume['name']} has volumeMode {mode}, but is specified in {field}")
    if mode == "Block" and "csi" not in spec:
        raise MountError("this node offers volumes of volumeMode Block through CSI drivers only")
    required = (spec.get("nodeAffinity") or {}).get("required")
    if required is not None and facts.node_labels is not None:
        terms = required.get("nodeSelectorTerms") or ()
        if not any(matches_term(term, facts.node_labels, facts.node_name) for term in terms):
            what = f'MountVolume.NodeAffinity check failed for volume "{persistent["metadata"]["name"]}"'
            raise WholeMountError(f"{what} : no matching NodeSelectorTerms")


def _names(pod: Pod, field: str) -> set[str]:
    """The volumes that containers of the pod have under `volumeMounts` or `volumeDevices`."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    return {used["name"] for container in containers for used in container.get(field) or ()}
