"""Validation of containers' environment, and of the field references it shares with downward API volumes."""

from __future__ import annotations

import re
from typing import Any

from apimachinery import names
from apimachinery.errors import invalid_value, not_found_value, not_supported, required
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
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")
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


def field_reference(errs: Errors, path: str, reference: Object, supported: tuple[str, ...]) -> None:
    """An ObjectFieldSelector; labels and annotations may be taken one by one."""
    field = reference.get("fieldPath") or ""
    if not reference.get("apiVersion"):
        errs.append(required(f"{path}.apiVersion"))
        return
    if not field:
        errs.append(required(f"{path}.fieldPath"))
        return
    subscripted = _SUBSCRIPT.fullmatch(field)
    if subscripted is not None:
        check = names.qualified_name
        checked(errs, f"{path}.fieldPath", subscripted[2].lower(), check)
    elif field not in supported:
        errs.append(not_supported(f"{path}.fieldPath", field, supported))


def resource_field_reference(errs: Errors, path: str, reference: Object, *, volume: bool) -> None:
    if volume and not reference.get("containerName"):
        errs.append(required(f"{path}.containerName"))
    resource = reference.get("resource") or ""
    if not resource:
        errs.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not re.fullmatch(r"(limits|requests)\.hugepages-.+", resource):
        errs.append(not_supported(f"{path}.resource", resource, _RESOURCES))


def env_from(errs: Errors, path: str, sources: list[Object]) -> None:
    for i, source in enumerate(sources):
        here = f"{path}[{i}]"
        if source.get("prefix"):
            checked(errs, f"{here}.prefix", source["prefix"], names.env_var_name)
        given = [kind for kind in ("configMapRef", "secretRef") if source.get(kind) is not None]
        for kind in given:
            named(errs, f"{here}.{kind}.name", source[kind].get("name"), names.dns1123_subdomain)
        if not given:
            errs.append(invalid_value(here, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            errs.append(invalid_value(here, "", MORE_THAN_ONE))
