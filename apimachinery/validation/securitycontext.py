"""Validation of security contexts of pods and containers."""

from __future__ import annotations

import re
from typing import Any

from apimachinery.errors import duplicate, forbidden_field, invalid_value, required
from apimachinery.validation.fields import INT32_MAX, Errors, enum, in_range, relative_path, required_enum

Object = dict[str, Any]

_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(r"^(" + _SEGMENT + r"[\./])*" + _SEGMENT + "$", re.ASCII)
_SYSCTL_MAX = 253


def container(errs: Errors, path: str, context: Object) -> None:
    in_range(errs, f"{path}.runAsUser", context.get("runAsUser"), 0, INT32_MAX)
    in_range(errs, f"{path}.runAsGroup", context.get("runAsGroup"), 0, INT32_MAX)
    _profiles(errs, path, context)
    if context.get("procMount") is not None:
        enum(errs, f"{path}.procMount", context["procMount"], ("Default", "Unmasked"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errs.append(invalid_value(path, context, text))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errs.append(invalid_value(path, context, text))
    _windows(errs, path, context)


def pod(errs: Errors, path: str, spec: Object) -> None:
    """A pod's security context at `path`.securityContext, and the host settings beside it."""
    context = spec.get("securityContext") or {}
    here = f"{path}.securityContext"
    for field in ("runAsUser", "runAsGroup", "fsGroup"):
        in_range(errs, f"{here}.{field}", context.get(field), 0, INT32_MAX)
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        in_range(errs, f"{here}.supplementalGroups[{i}]", group, 0, INT32_MAX)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errs.append(invalid_value(f"{path}.shareProcessNamespace", True, text))
    if spec.get("hostUsers") is False:
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(field):
                errs.append(forbidden_field(f"{path}.{field}", "when `hostUsers` is false"))
    if context.get("fsGroupChangePolicy") is not None:
        enum(
            errs, f"{here}.fsGroupChangePolicy", context["fsGroupChangePolicy"], ("Always", "OnRootMismatch")
        )
    if context.get("supplementalGroupsPolicy") is not None:
        policy = context["supplementalGroupsPolicy"]
        enum(errs, f"{here}.supplementalGroupsPolicy", policy, ("Merge", "Strict"))
    names: set[str] = set()
    for i, sysctl in enumerate(context.get("sysctls") or ()):
        name = sysctl.get("name") or ""
        place = f"{here}.sysctls[{i}].name"
        if not name:
            errs.append(required(place))
        elif len(name) > _SYSCTL_MAX or not _SYSCTL.fullmatch(name):
            text = f"must have at most {_SYSCTL_MAX} characters and match regex {_SYSCTL.pattern}"
            errs.append(invalid_value(place, name, text))
        elif name in names:
            errs.append(duplicate(place, name))
        names.add(name)
    _profiles(errs, here, context)
    _windows(errs, here, context)


def _profiles(errs: Errors, path: str, context: Object) -> None:
    seccomp = context.get("seccompProfile")
    if seccomp is not None:
        kind, local = seccomp.get("type"), seccomp.get("localhostProfile")
        place = f"{path}.seccompProfile"
        required_enum(errs, f"{place}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
        if kind == "Localhost":
            if not local:
                errs.append(
                    required(f"{place}.localhostProfile", "must be set when seccomp type is Localhost")
                )
            else:
                relative_path(errs, f"{place}.localhostProfile", local)
        elif local is not None:
            text = "can only be set when seccomp type is Localhost"
            errs.append(invalid_value(f"{place}.localhostProfile", local, text))
    armor = context.get("appArmorProfile")
    if armor is not None:
        kind, local = armor.get("type"), armor.get("localhostProfile")
        place = f"{path}.appArmorProfile"
        required_enum(errs, f"{place}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
        if kind == "Localhost" and not (local or "").strip():
            errs.append(required(f"{place}.localhostProfile", "must be set when AppArmor type is Localhost"))
        elif kind != "Localhost" and local is not None:
            text = "can only be set when AppArmor type is Localhost"
            errs.append(invalid_value(f"{place}.localhostProfile", local, text))


def _windows(errs: Errors, path: str, context: Object) -> None:
    windows = context.get("windowsOptions")
    if windows is None:
        return
    spec, name = windows.get("gmsaCredentialSpec"), windows.get("gmsaCredentialSpecName")
    place = f"{path}.windowsOptions"
    if name == "":
        errs.append(
            invalid_value(
                f"{place}.gmsaCredentialSpecName", name, "gmsaCredentialSpec cannot be an empty string"
            )
        )
    if spec == "":
        errs.append(
            invalid_value(f"{place}.gmsaCredentialSpec", spec, "gmsaCredentialSpec cannot be an empty string")
        )
    if windows.get("runAsUserName") == "":
        errs.append(invalid_value(f"{place}.runAsUserName", "", "runAsUserName cannot be an empty string"))
