"""Validation of what is about operating systems: options for Windows, and what pods of either system may not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from apimachinery import names
from apimachinery.errors import forbidden_field, invalid_value, not_supported, required
from apimachinery.validation.fields import Errors, checked

Object = dict[str, Any]

_SPEC_KIB = 64
_DOMAIN_MAX = 256
_USER_MAX = 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NET_BIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_NOT_IN_NAMES = re.compile(r'["/\\:;|=,+*?<>@\[\]]')


def options(errs: Errors, path: str, windows: Object) -> None:
    """WindowsSecurityContextOptions."""
    name, spec = windows.get("gmsaCredentialSpecName"), windows.get("gmsaCredentialSpec")
    if name is not None:
        checked(errs, f"{path}.gmsaCredentialSpecName", name, names.dns1123_subdomain)
    if spec == "":
        text = "gmsaCredentialSpec cannot be an empty string"
        errs.append(invalid_value(f"{path}.gmsaCredentialSpec", spec, text))
    elif spec is not None and len(spec.encode()) > _SPEC_KIB * 1024:
        text = f"gmsaCredentialSpec size must be under {_SPEC_KIB} KiB"
        errs.append(invalid_value(f"{path}.gmsaCredentialSpec", spec, text))
    user = windows.get("runAsUserName")
    if user is not None:
        for problem in _user_problems(user):
            errs.append(invalid_value(f"{path}.runAsUserName", user, problem))


def _user_problems(value: str) -> Iterator[str]:
    domain, backslash, user = value.rpartition("\\")
    if not value:
        yield "runAsUserName cannot be an empty string"
    elif _CONTROL.search(value):
        yield "runAsUserName cannot contain control characters"
    elif "\\" in domain:
        yield "runAsUserName cannot contain more than one backslash"
    else:
        if len(domain) >= _DOMAIN_MAX:
            yield f"runAsUserName's Domain length must be under {_DOMAIN_MAX} characters"
        if backslash and not _NET_BIOS.fullmatch(domain) and not _DNS.fullmatch(domain):
            yield "runAsUserName's Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "runAsUserName's User cannot be empty"
        elif len(user) > _USER_MAX:
            yield f"runAsUserName's User length must not be longer than {_USER_MAX} characters"
        if user and not user.strip(". "):
            yield "runAsUserName's User cannot contain only periods or spaces"
        if _NOT_IN_NAMES.search(user):
            yield "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"


def _all_containers(path: str, spec: Object) -> Iterator[tuple[str, Object]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for i, item in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{i}]", item


def host_process(errs: Errors, path: str, spec: Object) -> None:
    """Host process containers: all of a pod or none, on the host's network."""
    of_pod = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    everyone = using = 0
    for place, item in _all_containers(path, spec):
        everyone += 1
        own = ((item.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
        if of_pod is not None and own is not None and of_pod != own:
            shown = "true" if of_pod else "false"
            text = f"pod hostProcess value must be identical if both are specified, was {shown}"
            errs.append(invalid_value(f"{place}.securityContext.windowsOptions.hostProcess", own, text))
        using += bool(own if own is not None else of_pod)
    if using and using != everyone:
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        errs.append(invalid_value(path, "", text))
    if using and not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        errs.append(invalid_value(f"{path}.hostNetwork", False, text))


_POD_FIELDS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy",
)  # fmt: skip
_CONTAINER_FIELDS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def system(errs: Errors, path: str, spec: Object) -> None:
    """The `os` of a pod, and what belongs to the other system."""
    name = spec["os"].get("name") or ""
    context = spec.get("securityContext") or {}
    if not name:
        errs.append(required(f"{path}.os.name", "cannot be empty"))
    elif name == "linux":
        text = "windows options cannot be set for a linux pod"
        if context.get("windowsOptions") is not None:
            errs.append(forbidden_field(f"{path}.securityContext.windowsOptions", text))
        for place, item in _all_containers(path, spec):
            if (item.get("securityContext") or {}).get("windowsOptions") is not None:
                errs.append(forbidden_field(f"{place}.securityContext.windowsOptions", text))
    elif name == "windows":
        text = "cannot be set for a windows pod"
        for field in _POD_FIELDS:
            if context.get(field) not in (None, []):
                errs.append(forbidden_field(f"{path}.securityContext.{field}", text))
        for field in ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"):
            value = spec.get(field)
            if value or (value is not None and field in ("hostUsers", "shareProcessNamespace")):
                errs.append(forbidden_field(f"{path}.{field}", text))
        for place, item in _all_containers(path, spec):
            for field in _CONTAINER_FIELDS:
                if (item.get("securityContext") or {}).get(field) is not None:
                    errs.append(forbidden_field(f"{place}.securityContext.{field}", text))
    else:
        errs.append(not_supported(f"{path}.os", name, ("linux", "windows")))
