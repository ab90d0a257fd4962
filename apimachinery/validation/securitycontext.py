"""Validation of security contexts of pods and containers."""

from __future__ import annotations

import re
from typing import Any

from apimachinery.errors import duplicate, forbidden_field, invalid_value, required, too_long
from apimachinery.validation import windows
from apimachinery.validation.fields import INT32_MAX, Errors, enum, in_range, relative_path

Object = dict[str, Any]

_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(r"^(" + _SEGMENT + r"[\./])*" + _SEGMENT + "$", re.ASCII)
_SYSCTL_MAX = 253


def container(errs: Errors, path: str, context: Object, host_users: bool = True) -> None:
    """A container's security context; `host_users` tells whether its pod's users are the node's."""
    in_range(errs, f"{path}.runAsUser", context.get("runAsUser"), 0, INT32_MAX)
    in_range(errs, f"{path}.runAsGroup", context.get("runAsGroup"), 0, INT32_MAX)
    _profiles(errs, path, context)
    if context.get("procMount") is not None:
        enum(errs, f"{path}.procMount", context["procMount"], ("Default", "Unmasked"))
        if host_users and context["procMount"] == "Unmasked":
            text = "`hostUsers` must be false to use `Unmasked`"
            errs.append(invalid_value(f"{path}.procMount", "Unmasked", text))
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
        errs.append(invalid_value(f"{here}.shareProcessNamespace", True, text))
    if spec.get("hostUsers") is False:
        for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(field):
                errs.append(forbidden_field(f"{path}.{shown}", "when `pod.Spec.HostUsers` is false"))
    if context.get("fsGroupChangePolicy") is not None:
        enum(
            errs, f"{here}.fsGroupChangePolicy", context["fsGroupChangePolicy"], ("Always", "OnRootMismatch")
        )
    if context.get("supplementalGroupsPolicy") is not None:
        policy = context["supplementalGroupsPolicy"]
        enum(errs, f"{here}.supplementalGroupsPolicy", policy, ("Merge", "Strict"))
    if context.get("seLinuxChangePolicy") is not None:
        policy = context["seLinuxChangePolicy"]
        enum(errs, f"{here}.seLinuxChangePolicy", policy, ("MountOption", "Recursive"))
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
        _host_sysctl(errs, place, name, spec)
    _profiles(errs, here, context)
    _windows(errs, here, context)


_IPC_SYSCTLS = ("kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue.")


def _host_sysctl(errs: Errors, path: str, name: str, spec: Object) -> None:
    """Settings of a namespace that the pod shares with its node are the node's."""
    plain = name.replace("/", ".")
    if spec.get("hostNetwork") and plain.startswith("net."):
        errs.append(invalid_value(path, name, "may not be specified when 'hostNetwork' is true"))
    elif spec.get("hostIPC") and plain.startswith(_IPC_SYSCTLS):
        errs.append(invalid_value(path, name, "may not be specified when 'hostIPC' is true"))


_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_LONGEST_PATH = 4095


def _profiles(errs: Errors, path: str, context: Object) -> None:
    seccomp = context.get("seccompProfile")
    if seccomp is not None:
        kind, local = seccomp.get("type"), seccomp.get("localhostProfile")
        place = f"{path}.seccompProfile"
        if not kind:
            errs.append(required(f"{place}.type", "type is required when seccompProfile is set"))
        else:
            enum(errs, f"{place}.type", kind, _PROFILE_TYPES)
        if kind == "Localhost":
            if local is None:
                errs.append(
                    required(f"{place}.localhostProfile", "must be set when seccomp type is Localhost")
                )
            else:
                relative_path(errs, f"{place}.localhostProfile", local)
        elif local is not None:
            text = "can only be set when seccomp type is Localhost"
            errs.append(invalid_value(f"{place}.localhostProfile", seccomp, text))
    if context.get("appArmorProfile") is not None:
        _app_armor(errs, f"{path}.appArmorProfile", context["appArmorProfile"])


def _app_armor(errs: Errors, path: str, profile: Object) -> None:
    kind, local = profile.get("type"), profile.get("localhostProfile")
    if not kind:
        errs.append(required(f"{path}.type", "type is required when appArmorProfile is set"))
    elif kind not in _PROFILE_TYPES:
        enum(errs, f"{path}.type", kind, _PROFILE_TYPES)
    elif kind != "Localhost":
        if local is not None:
            text = "can only be set when AppArmor type is Localhost"
            errs.append(invalid_value(f"{path}.localhostProfile", local, text))
    elif not local:
        errs.append(required(f"{path}.localhostProfile", "must be set when AppArmor type is Localhost"))
    else:
        if local != local.strip():
            text = "must not be padded with whitespace"
            errs.append(invalid_value(f"{path}.localhostProfile", local, text))
        if len(local.encode()) > _LONGEST_PATH:
            errs.append(too_long(f"{path}.localhostProfile", _LONGEST_PATH))


def _windows(errs: Errors, path: str, context: Object) -> None:
    if context.get("windowsOptions") is not None:
        windows.options(errs, f"{path}.windowsOptions", context["windowsOptions"])
