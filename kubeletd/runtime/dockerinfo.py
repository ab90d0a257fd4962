"""What an engine is and can do, from its own answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubeletd.hostneeds import NO_USER_NAMESPACES
from kubeletd.runtime import dockerspec
from kubeletd.runtime.findings import EngineInfo
from kubeletd.runtime.specs import SandboxSpec

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def engine_info(version: Mapping[str, Any], info: Mapping[str, Any], api_version: str) -> EngineInfo:
    """`GET /version` and `GET /info` of an engine that is spoken to by `api_version`."""
    machine = info.get("Architecture") or ""
    return EngineInfo(
        name="docker",
        version=version["Version"],
        api_version=api_version,
        kernel_version=info.get("KernelVersion") or "",
        os_image=info.get("OperatingSystem") or "",
        operating_system=info.get("OSType") or "linux",
        architecture=ARCHITECTURES.get(machine, machine),
        cpus=int(info.get("NCPU") or 0),
        memory=int(info.get("MemTotal") or 0),
        cgroup_version=int(info.get("CgroupVersion") or 1),
        cgroup_driver=info.get("CgroupDriver") or "",
        machine_id=info.get("ID") or "",
        root_dir=info.get("DockerRootDir") or "",
        apparmor=any("name=apparmor" in str(o).split(",") for o in info.get("SecurityOptions") or ()),
        handlers=tuple(sorted(info.get("Runtimes") or ())),
        recursive_read_only=dockerspec.recursive_read_only(api_version, info),
    )


def sandbox_refusal(spec: SandboxSpec, handlers: Sequence[str]) -> str:
    """Why an engine with these runtimes cannot make such a sandbox; "" if it can."""
    if not spec.host_users:
        return NO_USER_NAMESPACES
    if spec.handler and spec.handler not in handlers:
        return f'failed to get sandbox runtime: no runtime for "{spec.handler}" is configured'
    return ""
