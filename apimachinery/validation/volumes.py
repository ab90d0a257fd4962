"""Validation of volumes: those of pods, and the sources that persistent volumes share with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, forbidden_field, invalid_value, required
from apimachinery.quantity import Quantity
from apimachinery.validation import claims
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
)

Object = dict[str, Any]

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_TOKEN_SECONDS_MIN = 600
_TOKEN_SECONDS_MAX = 1 << 32


def volumes(errs: Errors, path: str, items: list[Object]) -> None:
    seen: set[str] = set()
    for i, volume in enumerate(items):
        here = f"{path}[{i}]"
        name = volume.get("name")
        named(errs, f"{here}.name", name, names.dns1123_label)
        if name in seen:
            errs.append(duplicate(f"{here}.name", name))
        elif name:
            seen.add(name)
        kinds = [key for key in volume if key != "name" and volume[key] is not None]
        if not kinds:
            errs.append(required(here, "must specify a volume type"))
        for kind in kinds[1:]:
            errs.append(forbidden_field(f"{here}.{kind}", "may not specify more than 1 volume type"))
        if kinds:
            source(errs, f"{here}.{kinds[0]}", kinds[0], volume[kinds[0]])


def source(errs: Errors, path: str, kind: str, settings: Object) -> None:
    """One source of a volume, of the kind named by its field."""
    for field in _REQUIRED.get(kind, ()):
        if not settings.get(field):
            errs.append(required(f"{path}.{field}"))
    check = _CHECKS.get(kind)
    if check is not None:
        check(errs, path, settings)


def _empty_dir(errs: Errors, path: str, settings: Object) -> None:
    limit = settings.get("sizeLimit")
    if limit is not None and Quantity.parse(limit).nano < 0:
        errs.append(forbidden_field(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def host_path(errs: Errors, path: str, settings: Object) -> None:
    if settings.get("path"):
        no_backsteps(errs, f"{path}.path", settings["path"])
    enum(errs, f"{path}.type", settings.get("type") or "", _HOST_PATH_TYPES)


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
    for i, item in enumerate(settings.get("items") or ()):
        here = f"{path}.items[{i}]"
        _item_path(errs, f"{here}.path", item.get("path") or "")
        file_mode(errs, f"{here}.mode", item.get("mode"))
        field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
        if field is not None:
            field_reference(errs, f"{here}.fieldRef", field, VOLUME_FIELD_PATHS)
            if resource is not None:
                errs.append(
                    invalid_value(
                        here, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"
                    )
                )
        elif resource is not None:
            resource_field_reference(errs, f"{here}.resourceFieldRef", resource, volume=True)
        else:
            errs.append(required(here, "one of fieldRef and resourceFieldRef is required"))


_PROJECTIONS = (
    "secret",
    "configMap",
    "downwardAPI",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
)


def _projected(errs: Errors, path: str, settings: Object) -> None:
    file_mode(errs, f"{path}.defaultMode", settings.get("defaultMode"))
    for i, projection in enumerate(settings.get("sources") or ()):
        here = f"{path}.sources[{i}]"
        given = [kind for kind in _PROJECTIONS if projection.get(kind) is not None]
        if not given:
            errs.append(required(here))
            continue
        for kind in given[1:]:
            errs.append(forbidden_field(f"{here}.{kind}", "may not specify more than 1 volume type"))
        kind, value = given[0], projection[given[0]]
        if kind in ("secret", "configMap"):
            if not value.get("name"):
                errs.append(required(f"{here}.{kind}.name"))
            _items(errs, f"{here}.{kind}.items", value.get("items") or [])
        elif kind == "downwardAPI":
            _downward(errs, f"{here}.downwardAPI", value)
        elif kind == "serviceAccountToken":
            _token(errs, f"{here}.serviceAccountToken", value)
        elif kind == "clusterTrustBundle":
            _item_path(errs, f"{here}.clusterTrustBundle.path", value.get("path") or "")
            label_selector(errs, f"{here}.clusterTrustBundle.labelSelector", value.get("labelSelector"))


def _token(errs: Errors, path: str, token: Object) -> None:
    seconds = token.get("expirationSeconds")
    if seconds is not None and seconds < _TOKEN_SECONDS_MIN:
        text = "may not specify a duration less than 10 minutes"
        errs.append(invalid_value(f"{path}.expirationSeconds", seconds, text))
    elif seconds is not None and seconds > _TOKEN_SECONDS_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        errs.append(invalid_value(f"{path}.expirationSeconds", seconds, text))
    _item_path(errs, f"{path}.path", token.get("path") or "")


def _nfs(errs: Errors, path: str, settings: Object) -> None:
    where = settings.get("path") or ""
    if where and not where.startswith("/"):
        errs.append(invalid_value(f"{path}.path", where, "must be an absolute path"))


def _ephemeral(errs: Errors, path: str, settings: Object) -> None:
    template = settings.get("volumeClaimTemplate")
    if template is None:
        errs.append(required(f"{path}.volumeClaimTemplate"))
    else:
        claims.spec(errs, f"{path}.volumeClaimTemplate.spec", template.get("spec") or {})


def _driver(errs: Errors, path: str, settings: Object) -> None:
    name = settings.get("driver") or ""
    if name:
        claims.driver_name(errs, f"{path}.driver", name)


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
    "quobyte": ("registry", "volume"),
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
    "nfs": _nfs,
    "ephemeral": _ephemeral,
    "csi": _driver,
}
