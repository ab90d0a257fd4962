"""Validation of annotations that mean something on pods: mirror pods, deletion cost, old security profiles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.errors import forbidden_field, invalid_value
from apimachinery.validation.fields import Errors, relative_path

Object = dict[str, Any]
Annotations = Mapping[str, str]

MIRROR = "kubernetes.io/config.mirror"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_LOCALHOST = "localhost/"
_INT32 = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)


def check(errs: Errors, path: str, values: Annotations, spec: Object) -> None:
    """The annotations of a pod or of a template, at `path`."""
    for key, value in values.items():
        if key == MIRROR:
            if not spec.get("nodeName"):
                text = "must set spec.nodeName if mirror pod annotation is set"
                errs.append(invalid_value(f"{path}[{key}]", value, text))
        elif key == _DELETION_COST:
            if not _INT32.fullmatch(value) or not -(2**31) <= int(value) < 2**31:
                errs.append(invalid_value(f"{path}[{key}]", value, "must be a 32bit integer"))
        elif key == _SECCOMP_POD or key.startswith(_SECCOMP):
            _seccomp(errs, f"{path}.{key}", value)
        elif key.startswith(_APP_ARMOR):
            name = key.removeprefix(_APP_ARMOR)
            if all(item.get("name") != name for _, item in _containers("", spec)):
                errs.append(invalid_value(f"{path}[{key}]", name, "container not found"))
            if value not in ("", "runtime/default", "unconfined") and not value.startswith(_LOCALHOST):
                text = f'invalid AppArmor profile name: "{value}"'
                errs.append(invalid_value(f"{path}[{key}]", value, text))


def _seccomp(errs: Errors, path: str, value: str) -> None:
    if value.startswith(_LOCALHOST):
        relative_path(errs, path, value.removeprefix(_LOCALHOST))
    elif value not in ("runtime/default", "docker/default", "unconfined"):
        errs.append(invalid_value(path, value, "must be a valid seccomp profile"))


def _containers(path: str, spec: Object) -> Iterator[tuple[str, Object]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for i, item in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{i}]", item


def match_fields(errs: Errors, path: str, metadata: Object, spec: Object) -> None:
    """Security profiles said twice, by annotation and by field, must be the same."""
    values = metadata.get("annotations")
    if not values or not any(key.startswith((_SECCOMP_POD, _SECCOMP, _APP_ARMOR)) for key in values):
        return
    context = spec.get("securityContext") or {}
    _match(errs, f"{path}.securityContext.seccompProfile", "seccomp", values.get(_SECCOMP_POD), context)
    for place, item in _containers(path, spec):
        own, name = item.get("securityContext") or {}, item.get("name") or ""
        _match(errs, f"{place}.securityContext.seccompProfile", "seccomp", values.get(_SECCOMP + name), own)
        if (spec.get("os") or {}).get("name") != "windows":
            inherited = own if own.get("appArmorProfile") is not None else context
            here = f"{place}.securityContext.appArmorProfile"
            _match(errs, here, "apparmor", values.get(_APP_ARMOR + name), inherited)


def _match(errs: Errors, path: str, what: str, value: str | None, context: Object) -> None:
    profile = context.get("seccompProfile" if what == "seccomp" else "appArmorProfile")
    if value is None or profile is None:
        return
    kind = profile.get("type")
    default = ("runtime/default", "docker/default") if what == "seccomp" else ("runtime/default",)
    wrong_type = (
        (kind == "Unconfined" and value != "unconfined")
        or (kind == "RuntimeDefault" and value not in default)
        or (kind == "Localhost" and not value.startswith(_LOCALHOST))
    )
    if wrong_type:
        errs.append(forbidden_field(f"{path}.type", f"{what} type in annotation and field must match"))
    elif kind == "Localhost" and value.removeprefix(_LOCALHOST) != profile.get("localhostProfile"):
        text = f"{what} profile in annotation and field must match"
        errs.append(forbidden_field(f"{path}.localhostProfile", text))


def updated(errs: Errors, path: str, new: Annotations, old: Annotations) -> None:
    """Annotations that stay as they were on create."""
    if new == old:
        return
    for key in {*old, *new}:
        app_armor = key.startswith(_APP_ARMOR)
        if (not app_armor and key != MIRROR) or new.get(key) == old.get(key):
            continue
        what = "AppArmor annotations" if app_armor else "mirror pod annotation"
        deed = "remove or update" if key in old else "add"
        errs.append(forbidden_field(f"{path}[{key}]", f"may not {deed} {what}"))
