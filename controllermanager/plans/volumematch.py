"""Which PersistentVolume a claim may have, and which of several it gets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apimachinery import meta, quantity, resources, selectors

Object = dict[str, Any]

CLAIMS = resources.get("persistentvolumeclaims")
VOLUMES = resources.get("persistentvolumes")
CLASSES = resources.get("storageclasses", "storage.k8s.io")

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def class_of(obj: Object) -> str:
    """The storage class of a claim or volume; "" is none."""
    annotated = meta.annotations(obj).get(CLASS_ANNOTATION)
    return annotated if annotated is not None else (obj["spec"].get("storageClassName") or "")


def has_class_choice(claim: Object) -> bool:
    """Whether the claim says which class it wants, "" included. One that does not gets the default class."""
    return CLASS_ANNOTATION in meta.annotations(claim) or claim["spec"].get("storageClassName") is not None


def default_class(classes: Iterable[Object]) -> str:
    """The default class's name, "" if there is none: of several the newest, then the first by name."""
    found = [
        c for c in classes if any(meta.annotations(c).get(k) == "true" for k in DEFAULT_CLASS_ANNOTATIONS)
    ]
    found.sort(key=lambda c: str(c["metadata"]["name"]))
    found.sort(key=lambda c: str(c["metadata"].get("creationTimestamp", "")), reverse=True)
    return str(found[0]["metadata"]["name"]) if found else ""


def waits_for_pod(storage_class: Object | None) -> bool:
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def requested(claim: Object) -> int:
    """Bytes."""
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.to_int(requests.get("storage", "0"))


def capacity(volume: Object) -> int:
    """Bytes."""
    return quantity.to_int((volume["spec"].get("capacity") or {}).get("storage", "0"))


def claimed_for(volume: Object, claim: Object) -> bool:
    """The volume's claimRef names this very claim, or its name without saying which of that name."""
    ref = volume["spec"].get("claimRef")
    return (
        ref is not None and refers_to(ref, claim) and ref.get("uid") in (None, "", claim["metadata"]["uid"])
    )


def refers_to(ref: Object, claim: Object) -> bool:
    metadata = claim["metadata"]
    return (ref.get("namespace"), ref.get("name")) == (metadata["namespace"], metadata["name"])


def _mode(obj: Object) -> str:
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def mismatch(volume: Object, claim: Object) -> str:
    """Why a claim cannot have the volume that it asks for by name; "" if it can."""
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _attributes(volume) != _attributes(claim):
        return "volumeAttributesClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    if not _modes_offered(volume, claim):
        return "incompatible accessMode"
    return ""


def _attributes(obj: Object) -> str:
    return str(obj["spec"].get("volumeAttributesClassName") or "")


def _modes_offered(volume: Object, claim: Object) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(volume["spec"].get("accessModes") or ())


def best(volumes: Iterable[Object], claim: Object, only_reserved: bool = False) -> Object | None:
    """A volume reserved for the claim by its claimRef, else the smallest available one that satisfies it.

    `only_reserved`: the claim waits for its pod, whose scheduling reserves a volume.
    """
    selector = selectors.from_label_selector(claim["spec"].get("selector") or {})
    fitting = []
    for volume in volumes:
        if volume["metadata"].get("deletionTimestamp") or _mode(volume) != _mode(claim):
            continue
        if capacity(volume) < requested(claim):
            continue
        if claimed_for(volume, claim) and _modes_offered(volume, claim):
            return volume
        if (
            not only_reserved
            and volume["spec"].get("claimRef") is None
            and (volume.get("status") or {}).get("phase") == "Available"
            and not mismatch(volume, claim)
            and selector.matches(meta.labels(volume))
        ):
            fitting.append(volume)
    return min(fitting, key=lambda v: (capacity(v), v["metadata"]["name"]), default=None)
