"""Storage plugins: the default class of claims, growing of claims, and finalizers on what is in use."""

from __future__ import annotations

from apimachinery import resources
from apimachinery.quantity import Quantity
from apimachinery.resources import Resource
from apiserver.admission.plugin import Object, Plugin, Step, forbid
from apiserver.request import AdmissionRequest, Reader

STORAGE_CLASSES = resources.get("storageclasses", "storage.k8s.io")
DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
PROTECTION = {
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "PersistentVolume": "kubernetes.io/pv-protection",
    "VolumeAttributesClass": "kubernetes.io/vac-protection",
}


def _request_of(claim: Object) -> Quantity:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return Quantity.parse(requests.get("storage", "0"))


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if (resource.kind, operation, subresource) == ("PersistentVolumeClaim", "CREATE", ""):
            return self._admit
        return None

    def _admit(self, request: AdmissionRequest) -> None:
        claim = request.object
        assert claim is not None
        if claim["spec"].get("storageClassName") is not None:
            return
        if CLASS_ANNOTATION in (claim["metadata"].get("annotations") or {}):
            return
        chosen = default_class(self._reader.list(STORAGE_CLASSES))
        if chosen is not None:
            claim["spec"]["storageClassName"] = chosen["metadata"]["name"]


def default_class(classes: list[Object]) -> Object | None:
    """The default StorageClass: of several the newest, then the first by name."""

    def is_default(candidate: Object) -> bool:
        annotations = candidate["metadata"].get("annotations") or {}
        return any(annotations.get(key) == "true" for key in DEFAULT_ANNOTATIONS)

    by_name = sorted(filter(is_default, classes), key=lambda c: str(c["metadata"]["name"]))
    by_age = sorted(by_name, key=lambda c: str(c["metadata"].get("creationTimestamp", "")), reverse=True)
    return by_age[0] if by_age else None


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if (resource.kind, operation, subresource) == ("PersistentVolumeClaim", "UPDATE", ""):
            return self._check
        return None

    def _check(self, request: AdmissionRequest) -> None:
        new, old = request.object, request.old_object
        assert new is not None and old is not None
        if _request_of(new) <= _request_of(old):
            return
        name = (old["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION) or old["spec"].get(
            "storageClassName"
        )
        found = self._reader.get(STORAGE_CLASSES, "", name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise forbid(
                request,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc "
                "must support resize",
            )


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._admit if resource.kind in PROTECTION and operation == "CREATE" else None

    @staticmethod
    def _admit(request: AdmissionRequest) -> None:
        assert request.object is not None
        meta = request.object["metadata"]
        finalizers = meta.get("finalizers") or []
        wanted = PROTECTION[request.resource.kind]
        if wanted not in finalizers:
            meta["finalizers"] = [*finalizers, wanted]
