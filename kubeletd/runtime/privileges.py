"""What `privileged` means where the engine itself may not do everything: on nested machines and in containers.

There the engine refuses a privileged container, because it cannot hand on capabilities it has not. It gets all that
there are instead, by name, and the host's devices.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

# By number, as the kernel counts them. Those after them are parts of SYS_ADMIN, and not every engine knows them.
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
    "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
)  # fmt: skip
# A container has its own of these.
_OWN_DEVICES = ("pts", "shm", "mqueue", "fd", "console")


def named(bits: int) -> tuple[str, ...]:
    """The capabilities of a set as /proc shows it. Pure."""
    return tuple(name for number, name in enumerate(CAPABILITIES) if bits >> number & 1)


def of_engine() -> tuple[str, ...]:
    """What an engine that is as privileged as we are can give; () for everything."""
    with open("/proc/self/status") as status:
        bounding = next(line for line in status if line.startswith("CapBnd:"))
    bits = int(bounding.split()[1], 16)
    with open("/proc/sys/kernel/cap_last_cap") as last:
        everything = (1 << int(last.read()) + 1) - 1
    return named(bits) if bits & everything != everything else ()


def oom_floor() -> int:
    """The lowest oom_score_adj the engine can give: without CAP_SYS_RESOURCE (nested machines) none below its own.

    The engine is taken to be as privileged as we are.
    """
    with open("/proc/self/status") as status:
        effective = next(line for line in status if line.startswith("CapEff:"))
    if int(effective.split()[1], 16) >> 24 & 1:
        return -1000
    with open("/proc/self/oom_score_adj") as own:
        return int(own.read())


def devices(root: str = "/dev") -> Iterator[str]:
    """The device files of the host."""
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _OWN_DEVICES:
                yield from devices(entry.path)
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        if (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) and entry.name not in _OWN_DEVICES:
            yield entry.path


def within(
    host_config: Mapping[str, Any],
    capabilities: Sequence[str],
    device_files: Callable[[], Iterable[str]],
) -> Mapping[str, Any]:
    """A container's host configuration that asks for no more than `capabilities`."""
    if not host_config.get("Privileged"):
        if "ALL" not in (host_config.get("CapAdd") or ()):
            return host_config
        dropped = {name.removeprefix("CAP_") for name in host_config.get("CapDrop") or ()}
        return {**host_config, "CapAdd": [name for name in capabilities if name not in dropped]}
    given = host_config.get("Devices") or ()
    taken = {device["PathInContainer"] for device in given}
    more = [
        {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rwm"}
        for path in device_files()
        if path not in taken
    ]
    return {
        **host_config,
        "Privileged": False,
        "CapAdd": list(capabilities),
        "CapDrop": [],
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "Devices": [*given, *more],
        "DeviceCgroupRules": ["a *:* rwm"],
    }
