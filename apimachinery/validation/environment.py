"""Validation of containers' environment, and of the field references it shares with downward API volumes."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import names
from apimachinery.errors import invalid_value, not_found_value, not_supported, required
from apimachinery.quantity import Quantity
from apimachinery.validation.fields import Errors, checked, named, relative_path

Object = dict[str, Any]

MORE_THAN_ONE = "may not have more than one field specified at a time"
FIELD_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
VOLUME_FIELD_PATHS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory",
    "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_SUBSCRIPT = re.compile(r"(.+)\['(.*)'\]")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def variables(errs: Errors, path: str, items: list[Object], volumes: dict[str, Object]) -> None:
    for i, variable in enumerate(items):
        name = variable.get("name")
        if not name:
            errs.append(required(f"{path}[{i}].name"))
        elif not name.isidentifier():
            checked(errs, f"{path}[{i}].name", name, names.env_var_name)
        source = variable.get("valueFrom")
        if source is None:
            continue
        here = f"{path}[{i}].valueFrom"
        given = [kind for kind in _ENV_SOURCES if source.get(kind) is not None]
        if not given:
            text = (
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` "
                "or `fileKeyRef`"
            )
            errs.append(invalid_value(here, "", text))
        elif variable.get("value"):
            errs.append(invalid_value(here, "", "may not be specified when `value` is not empty"))
        elif len(given) > 1:
            errs.append(invalid_value(here, "", MORE_THAN_ONE))
        if source.get("fieldRef") is not None:
            field_reference(errs, f"{here}.fieldRef", source["fieldRef"], FIELD_PATHS)
        if source.get("resourceFieldRef") is not None:
            resource_field_reference(
                errs, f"{here}.resourceFieldRef", source["resourceFieldRef"], volume=False
            )
        for kind in ("configMapKeyRef", "secretKeyRef"):
            if source.get(kind) is not None:
                checked(errs, f"{here}.{kind}.name", source[kind].get("name") or "", names.dns1123_subdomain)
                named(errs, f"{here}.{kind}.key", source[kind].get("key"), names.config_map_key)
        if source.get("fileKeyRef") is not None:
            _file_key(errs, f"{here}.fileKeyRef", source["fileKeyRef"], volumes)


def _file_key(errs: Errors, path: str, reference: Object, volumes: dict[str, Object]) -> None:
    named(errs, f"{path}.key", reference.get("key"), names.env_var_name)
    if not reference.get("path"):
        errs.append(required(f"{path}.path"))
    else:
        relative_path(errs, f"{path}.path", reference["path"])
    name = reference.get("volumeName")
    if not name:
        errs.append(required(f"{path}.volumeName"))
    elif name not in volumes:
        errs.append(not_found_value(f"{path}.volumeName", name))


#: What the downward API knows, wherever it may be asked for.
_KNOWN = frozenset(
    [*FIELD_PATHS, *VOLUME_FIELD_PATHS, "spec.restartPolicy", "spec.schedulerName", "status.phase"]
)


def field_reference(errs: Errors, path: str, reference: Object, supported: tuple[str, ...]) -> None:
    """An ObjectFieldSelector; labels and annotations may be taken one by one."""
    field, version = reference.get("fieldPath") or "", reference.get("apiVersion") or ""
    if not version:
        errs.append(required(f"{path}.apiVersion"))
    elif not field:
        errs.append(required(f"{path}.fieldPath"))
    elif field in supported and version == "v1":
        return
    elif version != "v1":
        text = f"error converting fieldPath: unsupported pod version: {version}"
        errs.append(invalid_value(f"{path}.fieldPath", field, text))
    else:
        _odd_field(errs, path, field, supported)


def _odd_field(errs: Errors, path: str, field: str, supported: tuple[str, ...]) -> None:
    subscripted = _SUBSCRIPT.fullmatch(field)
    if subscripted is not None and subscripted[1] in ("metadata.labels", "metadata.annotations"):
        key = subscripted[2]
        lowered = key.lower() if subscripted[1] == "metadata.annotations" else key
        for message in names.qualified_name(lowered):
            errs.append(invalid_value(path, lowered, message))
    elif field == "spec.host" and "spec.nodeName" in supported:
        return
    elif field in _KNOWN:
        errs.append(not_supported(f"{path}.fieldPath", field, supported))
    elif subscripted is not None:
        text = f"error converting fieldPath: field label does not support subscript: {field}"
        errs.append(invalid_value(f"{path}.fieldPath", field, text))
    else:
        text = f"error converting fieldPath: field label not supported: {field}"
        errs.append(invalid_value(f"{path}.fieldPath", field, text))


_CPU_DIVISORS = frozenset(["0", "1", "1m"])
_SIZE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SIZES = {
    "memory": "memory resource",
    "ephemeral-storage": "local ephemeral storage resource",
    "hugepages": "hugepages resource",
}


def resource_field_reference(errs: Errors, path: str, reference: Object, *, volume: bool) -> None:
    resource = reference.get("resource") or ""
    if volume and not reference.get("containerName"):
        errs.append(required(f"{path}.containerName"))
    elif not resource:
        errs.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        errs.append(not_supported(f"{path}.resource", resource, _RESOURCES))
    if reference.get("divisor") is not None:
        _divisor(errs, f"{path}.divisor", resource, str(Quantity.parse(str(reference["divisor"]))))


def _divisor(errs: Errors, path: str, resource: str, divisor: str) -> None:
    what = resource.partition(".")[2].partition("-2")[0].partition("-1")[0]
    if what == "cpu":
        if divisor not in _CPU_DIVISORS:
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
            errs.append(invalid_value(path, resource, text))
    elif what in _SIZES and divisor != "0" and divisor not in _SIZE_DIVISORS:
        text = f"only divisor's values {', '.join(_SIZE_DIVISORS)} are supported with the {_SIZES[what]}"
        errs.append(invalid_value(path, resource, text))


def env_from(errs: Errors, path: str, sources: list[Object]) -> None:
    for i, source in enumerate(sources):
        here = f"{path}[{i}]"
        if source.get("prefix"):
            checked(errs, f"{here}.prefix", source["prefix"], names.env_var_name)
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in given:
            named(errs, f"{here}.{kind}.name", source[kind].get("name"), names.dns1123_subdomain)
        if not given:
            errs.append(invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errs.append(invalid_value(path, "", MORE_THAN_ONE))
