"""What a pod wants of its node's kernel and engine, and the words for what they do not have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Sysctls that a pod has to itself and that cannot harm its node: no others are set unless the node's operator says so.
SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    )
)  # fmt: skip
_OF_IPC = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
NO_USER_NAMESPACES = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"


def _allowed(name: str, allowed: Iterable[str]) -> bool:
    return name in SAFE_SYSCTLS or any(
        name.startswith(entry[:-1]) if entry.endswith("*") else name == entry for entry in allowed
    )


def sysctl_refusal(pod: Mapping[str, Any], allowed: Iterable[str]) -> str:
    """Why a pod's sysctls are not set; "" if they are. `allowed` are the operator's, perhaps ending in `*`."""
    spec = pod["spec"]
    allowed = [entry.replace("/", ".") for entry in allowed]
    for sysctl in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = sysctl["name"].replace("/", ".")
        if not _allowed(name, allowed):
            return f'forbidden sysctl: "{sysctl["name"]}" not allowlisted'
        if spec.get("hostNetwork") and name.startswith("net."):
            return f'forbidden sysctl: "{sysctl["name"]}" not allowed with host net enabled'
        if spec.get("hostIPC") and name.startswith(_OF_IPC):
            return f'forbidden sysctl: "{sysctl["name"]}" not allowed with host ipc enabled'
    return ""


def needs_apparmor(pod: Mapping[str, Any]) -> bool:
    """Whether any of its containers is to run under a profile."""
    spec = pod["spec"]
    places = [spec]
    for field in ("initContainers", "containers", "ephemeralContainers"):
        places += spec.get(field) or ()
    profiles = ((place.get("securityContext") or {}).get("appArmorProfile") or {} for place in places)
    return any(profile.get("type") in ("RuntimeDefault", "Localhost") for profile in profiles)


def refusal(pod: Mapping[str, Any], *, apparmor: bool, sysctls: Iterable[str]) -> tuple[str, str] | None:
    """(reason, message) if the node's kernel, or its operator, does not let the pod have what it asks for."""
    forbidden = sysctl_refusal(pod, sysctls)
    if forbidden:
        return "SysctlForbidden", f"Pod was rejected: {forbidden}"
    if needs_apparmor(pod) and not apparmor:
        text = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
        return "AppArmor", f"Pod was rejected: {text}"
    return None
