"""Validation of volumes: those of pods, and the sources that persistent volumes share with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required
from apimachinery.quantity import Quantity
from apimachinery.validation import claims, objectmeta, volumedrivers
from apimachinery.validation.environment import (
    VOLUME_FIELD_PATHS,
    field_reference,
    resource_field_reference,
)
from apimachinery.validation.fields import (
    Errors,
    enum,
    file_mode,
    label_selector,
    named,
    no_backsteps,
    relative_path,
    required_enum,
)

Object = dict[str, Any]

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_TOKEN_SECONDS_MIN = 600
_TOKEN_SECONDS_MAX = 1 << 32


def volumes(errs: Errors, path: str, items: list[Object], pod_name: str = "") -> dict[str, Object]:
    """A pod's volumes; returns those in order, by name. `pod_name` is empty in templates."""
    found: dict[str, Object] = {}
    made = (
        {f"{pod_name}-{v.get('name')}" for v in items if v.get("ephemeral") is not None}
        if pod_name
        else set()
    )
    for i, volume in enumerate(items):
        here = f"{path}[{i}]"
        name = volume.get("name") or ""
        before = len(errs)
        kinds = [key for key in volume if key != "name" and volume[key] is not None]
        if not kinds:
            errs.append(required(here, "must specify a volume type"))
        elif len(kinds) > 1:
            kinds.sort(key=_order)
            for kind in kinds[1:]:
                errs.append(forbidden_field(f"{here}.{kind}", "may not specify more than 1 volume type"))
        if kinds:
            source(errs, f"{here}.{_PATHS.get(kinds[0], kinds[0])}", kinds[0], volume[kinds[0]])
            if kinds[0] == "iscsi":
                volumedrivers.iscsi_name_length(errs, f"{here}.name", name, name, volume["iscsi"])
            elif kinds[0] == "ephemeral" and pod_name and name:
                claim = f"{pod_name}-{name}"
                for message in names.dns1123_subdomain(claim):
                    errs.append(invalid_value(f"{here}.name", name, f'PVC name "{claim}": {message}'))
            elif kinds[0] == "image" and pod_name and not volume["image"].get("reference"):
                errs.append(required(f"{here}.image.reference"))
        named(errs, f"{here}.name", name, names.dns1123_label)
        if name in found:
            errs.append(duplicate(f"{here}.name", name))
        if len(errs) == before:
            found[name] = volume
        if made and (volume.get("persistentVolumeClaim") or {}).get("claimName") in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            claim = volume["persistentVolumeClaim"]["claimName"]
            errs.append(invalid_value(f"{here}.persistentVolumeClaim.claimName", claim, text))
    return found


def source(errs: Errors, path: str, kind: str, settings: Object, *, persistent: bool = False) -> None:
    """One source of a volume, of the kind named by its field."""
    missing = False
    for field in _REQUIRED.get(kind, ()):
        if not settings.get(field):
            missing = True
            errs.append(required(f"{path}.{field}"))
    check = _CHECKS.get(kind)
    if check is not None and not (missing and kind in ("hostPath", "local")):
        check(errs, path, settings)
        return
    driver = _DRIVERS.get(kind)
    if driver is not None:
        driver(errs, path, settings, persistent)


def _empty_dir(errs: Errors, path: str, settings: Object) -> None:
    limit = settings.get("sizeLimit")
    if limit is not None and Quantity.parse(limit).nano < 0:
        errs.append(forbidden_field(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def host_path(errs: Errors, path: str, settings: Object) -> None:
    no_backsteps(errs, f"{path}.path", settings["path"])
    if settings.get("type") is not None:
        enum(errs, f"{path}.type", settings["type"], _HOST_PATH_TYPES)


def _local(errs: Errors, path: str, settings: Object) -> None:
    no_backsteps(errs, f"{path}.path", settings["path"])


def _image(errs: Errors, path: str, settings: Object) -> None:
    required_enum(errs, f"{path}.pullPolicy", settings.get("pullPolicy"), ("Always", "IfNotPresent", "Never"))


def _keys(errs: Errors, path: str, settings: Object) -> None:
    file_mode(errs, f"{path}.defaultMode", settings.get("defaultMode"))
    _items(errs, f"{path}.items", settings.get("items") or [])


def _items(errs: Errors, path: str, items: list[Object]) -> None:
    for i, item in enumerate(items):
        here = f"{path}[{i}]"
        if not item.get("key"):
            errs.append(required(f"{here}.key"))
        _item_path(errs, f"{here}.path", item.get("path") or "")
        file_mode(errs, f"{here}.mode", item.get("mode"))


def _item_path(errs: Errors, path: str, value: str) -> None:
    if not value:
        errs.append(required(path))
        return
    relative_path(errs, path, value)
    if value.startswith("..") and not value.startswith("../") and value != "..":
        errs.append(invalid_value(path, value, "must not start with '..'"))


def _downward(errs: Errors, path: str, settings: Object) -> None:
    file_mode(errs, f"{path}.defaultMode", settings.get("defaultMode"))
    _downward_items(errs, path, settings.get("items") or [])


def _downward_items(errs: Errors, path: str, items: list[Object]) -> None:
    """Files of a downward API volume; Kubernetes does not say which of the items is meant."""
    for item in items:
        _item_path(errs, f"{path}.path", item.get("path") or "")
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            field_reference(errs, f"{path}.fieldRef", field, VOLUME_FIELD_PATHS)
            if resource is not None:
                text = "fieldRef and resourceFieldRef can not be specified simultaneously"
                errs.append(invalid_value(path, "resource", text))
        elif resource is not None:
            resource_field_reference(errs, f"{path}.resourceFieldRef", resource, volume=True)
        else:
            errs.append(required(path, "one of fieldRef and resourceFieldRef is required"))
        file_mode(errs, f"{path}.mode", item.get("mode"))


_PROJECTIONS = (
    "secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate",
)  # fmt: skip
_DUPLICATE_PATHS = "conflicting duplicate paths"


def _projected(errs: Errors, path: str, settings: Object) -> None:
    file_mode(errs, f"{path}.defaultMode", settings.get("defaultMode"))
    paths: set[str] = set()
    for i, projection in enumerate(settings.get("sources") or ()):
        here = f"{path}.sources[{i}]"
        count = 0
        for kind in _PROJECTIONS:
            value = projection.get(kind)
            if value is None:
                continue
            count += 1
            if kind == "serviceAccountToken":
                _token(errs, f"{here}.{kind}", path, value)
                continue
            if kind in ("secret", "configMap"):
                if not value.get("name"):
                    errs.append(required(f"{here}.{kind}.name"))
                _items(errs, f"{here}.{kind}.items", value.get("items") or [])
                items, shown = value.get("items") or (), value.get("name") or ""
            elif kind == "downwardAPI":
                _downward_items(errs, f"{here}.{kind}", value.get("items") or [])
                items, shown = value.get("items") or (), ""
            elif kind == "clusterTrustBundle":
                _trust_bundle(errs, f"{here}.{kind}", value)
                items, shown = (value,), ""
            else:
                _certificate(errs, f"{here}.{kind}", value)
                continue
            for item in items:
                place = item.get("path") or ""
                if place in paths:
                    errs.append(invalid_value(path, shown or place, _DUPLICATE_PATHS))
                elif place:
                    paths.add(place)
        if count > 1:
            errs.append(forbidden_field(here, "may not specify more than 1 volume type per source"))


def _token(errs: Errors, path: str, volume: str, token: Object) -> None:
    seconds = token.get("expirationSeconds") or 0
    if seconds < _TOKEN_SECONDS_MIN:
        text = "may not specify a duration less than 10 minutes"
        errs.append(invalid_value(f"{path}.expirationSeconds", seconds, text))
    elif seconds > _TOKEN_SECONDS_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        errs.append(invalid_value(f"{path}.expirationSeconds", seconds, text))
    _item_path(errs, f"{volume}.path", token.get("path") or "")


def _trust_bundle(errs: Errors, path: str, bundle: Object) -> None:
    name, signer = bundle.get("name"), bundle.get("signerName")
    if name is not None and signer is not None:
        errs.append(invalid_value(path, bundle, "only one of name and signerName may be used"))
    elif name is not None:
        if not name:
            errs.append(required(f"{path}.name", "must be a valid object name"))
        if bundle.get("labelSelector") is not None:
            text = "labelSelector must be unset if name is specified"
            errs.append(invalid_value(f"{path}.labelSelector", bundle["labelSelector"], text))
    elif signer is not None:
        if not signer:
            errs.append(required(f"{path}.signerName", "must be a valid signer name"))
        label_selector(errs, f"{path}.labelSelector", bundle.get("labelSelector"))
    else:
        errs.append(required(path, "either name or signerName must be specified"))
    _item_path(errs, f"{path}.path", bundle.get("path") or "")


_KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")


def _certificate(errs: Errors, path: str, settings: Object) -> None:
    if not settings.get("signerName"):
        errs.append(required(f"{path}.signerName"))
    required_enum(errs, f"{path}.keyType", settings.get("keyType"), _KEY_TYPES)
    given = [field for field in _CERTIFICATE_PATHS if settings.get(field)]
    if not given:
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        errs.append(required(path, text))
    for field in given:
        _item_path(errs, f"{path}.{field}", settings[field])


def _ephemeral(errs: Errors, path: str, settings: Object) -> None:
    template = settings.get("volumeClaimTemplate")
    if template is None:
        errs.append(required(f"{path}.volumeClaimTemplate"))
        return
    here = f"{path}.volumeClaimTemplate"
    metadata = template.get("metadata") or {}
    errs += objectmeta.template(metadata, f"{here}.metadata")
    for field in metadata:
        if field not in ("annotations", "labels") and metadata[field]:
            errs.append(forbidden_field(f"{here}.metadata.{field}", "cannot be set"))
    claims.spec(errs, f"{here}.spec", template.get("spec") or {})


#: Fields each kind of source must have.
_REQUIRED: dict[str, tuple[str, ...]] = {
    "hostPath": ("path",),
    "secret": ("secretName",),
    "configMap": ("name",),
    "persistentVolumeClaim": ("claimName",),
    "nfs": ("server", "path"),
    "csi": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "gitRepo": ("repository",),
    "iscsi": ("targetPortal", "iqn"),
    "glusterfs": ("endpoints", "path"),
    "flexVolume": ("driver",),
    "rbd": ("monitors", "image"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "local": ("path",),
}
_CHECKS: dict[str, Callable[[Errors, str, Object], None]] = {
    "emptyDir": _empty_dir,
    "hostPath": host_path,
    "secret": _keys,
    "configMap": _keys,
    "downwardAPI": _downward,
    "projected": _projected,
    "ephemeral": _ephemeral,
    "local": _local,
    "image": _image,
}
_DRIVERS: dict[str, Callable[[Errors, str, Object, bool], None]] = {
    "gcePersistentDisk": volumedrivers.partition,
    "awsElasticBlockStore": volumedrivers.partition,
    "nfs": volumedrivers.nfs,
    "gitRepo": volumedrivers.git_repo,
    "iscsi": volumedrivers.iscsi,
    "fc": volumedrivers.fibre_channel,
    "glusterfs": volumedrivers.glusterfs,
    "flocker": volumedrivers.flocker,
    "quobyte": volumedrivers.quobyte,
    "flexVolume": volumedrivers.flex,
    "cinder": volumedrivers.secret_reference,
    "storageos": volumedrivers.storage_os,
    "azureFile": volumedrivers.azure_file,
    "azureDisk": volumedrivers.azure_disk,
    "csi": volumedrivers.csi,
}
#: Where errors of a kind are said to be, where it is not its field.
_PATHS = {"gcePersistentDisk": "persistentDisk"}
#: The first of several kinds in this order is checked, the others are too many.
_ORDER = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI", "fc",
    "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk",
    "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip


def _order(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)
