"""Validation of volume sources that name a driver's own settings: disks of clouds, storage protocols, CSI.

`persistent` tells the source of a PersistentVolume from a pod's own: secrets are then named with a namespace.
"""

from __future__ import annotations

import re
from typing import Any

from apimachinery import names
from apimachinery.errors import invalid_value, not_supported, required
from apimachinery.validation import claims
from apimachinery.validation.fields import Errors, checked, enum, in_range, relative_path

Object = dict[str, Any]

_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$", re.ASCII),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$", re.ASCII),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$", re.ASCII),
}
_ISCSI_TOGETHER = 64


def partition(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    """Whole disks of GCE and AWS: 0 is no partition, which the message does not say."""
    number = settings.get("partition") or 0
    if not 0 <= number <= 255:
        errs.append(invalid_value(f"{path}.partition", number, "must be between 1 and 255, inclusive"))


def nfs(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    where = settings.get("path") or ""
    if not where.startswith("/"):
        errs.append(invalid_value(f"{path}.path", where, "must be an absolute path"))


def git_repo(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    relative_path(errs, f"{path}.directory", settings.get("directory") or "")


def iscsi(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    if settings.get("iqn"):
        text = "must be valid format" if persistent else "must be valid format starting with iqn, eui, or naa"
        _iscsi_name(errs, f"{path}.iqn", settings["iqn"], text)
    in_range(errs, f"{path}.lun", settings.get("lun"), 0, 255)
    reference = settings.get("secretRef")
    if (settings.get("chapAuthDiscovery") or settings.get("chapAuthSession")) and reference is None:
        errs.append(required(f"{path}.secretRef"))
    if persistent and reference is not None and not reference.get("name"):
        errs.append(required(f"{path}.secretRef.name"))
    if settings.get("initiatorName") is not None:
        text = "must be valid format" if persistent else "must be valid format starting with iqn, eui, or naa"
        _iscsi_name(errs, f"{path}.initiatorname", settings["initiatorName"], text)


def _iscsi_name(errs: Errors, path: str, value: str, unknown: str) -> None:
    pattern = _ISCSI_NAMES.get(value[:3])
    if pattern is None:
        errs.append(invalid_value(path, value, unknown))
    elif not pattern.search(value):
        errs.append(invalid_value(path, value, "must be valid format"))


def iscsi_name_length(errs: Errors, path: str, shown: str, name: str, settings: Object) -> None:
    """The volume's name and the portal stand together in a path of limited length."""
    together = f"{name}:{settings.get('targetPortal') or ''}"
    if settings.get("initiatorName") is not None and len(together) > _ISCSI_TOGETHER:
        text = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
            "iscsi.initiatorName is specified."
        )
        errs.append(invalid_value(path, shown, text))


def fibre_channel(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    targets, wwids = settings.get("targetWWNs") or [], settings.get("wwids") or []
    if not targets and not wwids:
        text = "must specify either targetWWNs or wwids, but not both"
        errs.append(required(f"{path}.targetWWNs", text))
    if targets and wwids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        errs.append(invalid_value(f"{path}.targetWWNs", targets, text))
    if targets:
        if settings.get("lun") is None:
            errs.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        else:
            in_range(errs, f"{path}.lun", settings["lun"], 0, 255)


def glusterfs(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    namespace = settings.get("endpointsNamespace")
    if namespace == "":
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        errs.append(invalid_value(f"{path}.endpointsNamespace", namespace, text))
    elif namespace is not None:
        checked(errs, f"{path}.endpointsNamespace", namespace, names.dns1123_label)


def flocker(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    name, uuid = settings.get("datasetName") or "", settings.get("datasetUUID") or ""
    if not name and not uuid:
        errs.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        errs.append(invalid_value(path, "resource", text))
    if "/" in name:
        errs.append(invalid_value(f"{path}.datasetName", name, "must not contain '/'"))


def quobyte(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    registry, text = (
        settings.get("registry") or "",
        "must be a host:port pair or multiple pairs separated by commas",
    )
    if not registry:
        errs.append(required(f"{path}.registry", text))
    elif len(settings.get("tenant") or "") > 64:
        errs.append(required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters"))
    else:
        for pair in registry.split(","):
            host, colon, _ = pair.rpartition(":")
            if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
                errs.append(invalid_value(f"{path}.registry", registry, text))
    if not settings.get("volume"):
        errs.append(required(f"{path}.volume"))


def flex(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    for key in settings.get("options") or ():
        domain = "." + key.partition("/")[0].lower()
        if domain.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            errs.append(invalid_value(f"{path}.options[{key}]", key, text))


def secret_reference(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    """An optional `secretRef`, as Cinder and StorageOS have it."""
    reference = settings.get("secretRef")
    if reference is None:
        return
    if not reference.get("name"):
        errs.append(required(f"{path}.secretRef.name"))
    if persistent and not reference.get("namespace"):
        errs.append(required(f"{path}.secretRef.namespace"))


def storage_os(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    if not settings.get("volumeName"):
        errs.append(required(f"{path}.volumeName"))
    else:
        checked(errs, f"{path}.volumeName", settings["volumeName"], names.dns1123_label)
    if settings.get("volumeNamespace"):
        checked(errs, f"{path}.volumeNamespace", settings["volumeNamespace"], names.dns1123_label)
    secret_reference(errs, path, settings, persistent)


def azure_file(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    if persistent and settings.get("secretNamespace") == "":
        errs.append(required(f"{path}.secretNamespace"))


_MANAGED = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"


def azure_disk(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    kind, address = settings.get("kind"), settings.get("diskURI") or ""
    if settings.get("cachingMode") is not None:
        enum(errs, f"{path}.cachingMode", settings["cachingMode"], ("None", "ReadOnly", "ReadWrite"))
    if kind is not None:
        enum(errs, f"{path}.kind", kind, ("Dedicated", "Managed", "Shared"))
    if kind == "Managed" and not address.startswith("/subscriptions/"):
        errs.append(not_supported(f"{path}.diskURI", address, (_MANAGED,)))
    if kind is not None and kind != "Managed" and not address.startswith("https://"):
        errs.append(not_supported(f"{path}.diskURI", address, (_BLOB,)))


_CSI_SECRETS = (
    "controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef",
)  # fmt: skip


def csi(errs: Errors, path: str, settings: Object, persistent: bool) -> None:
    driver = settings.get("driver") or ""
    if driver:
        claims.driver_name(errs, f"{path}.driver", driver)
    if not persistent:
        reference = settings.get("nodePublishSecretRef")
        if reference is not None and not reference.get("name"):
            errs.append(required(f"{path}.nodePublishSecretRef.name"))
        elif reference is not None:
            checked(errs, f"{path}.name", reference["name"], names.dns1123_subdomain)
        return
    if not settings.get("volumeHandle"):
        errs.append(required(f"{path}.volumeHandle"))
    for field in _CSI_SECRETS:
        reference = settings.get(field)
        if reference is None:
            continue
        for part, check in (("name", names.dns1123_subdomain), ("namespace", names.dns1123_label)):
            if not reference.get(part):
                errs.append(required(f"{path}.{field}.{part}"))
            else:
                checked(errs, f"{path}.{field}.{part}", reference[part], check)
