"""Specs of containers as the Docker Engine API wants them, and back. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kubeletd.runtime.interface import (
    ContainerSpec,
    ContainerState,
    Identity,
    Image,
    Kind,
    Mount,
    Resources,
    SandboxSpec,
    Security,
)
from kubeletd.runtime.pause import OWN_NETWORK

PREFIX = "io.pybernetes."
ADDRESS_LABEL = PREFIX + "ip"  # a sandbox's
MIN_SHARES = 2
SANDBOX_OOM_SCORE = -998
MIN_QUOTA = 1000
PERIOD = 100_000
NO_HEALTHCHECK = {"Test": ["NONE"]}
_RECURSIVE_API = (1, 44)
_RECURSIVE_KERNEL = (5, 12)  # mount_setattr(2) with AT_RECURSIVE
_FEATURES = "org.opencontainers.runtime-spec.features"
_STATUS = {"created": "created", "running": "running", "paused": "running", "restarting": "running"}

_TIME = re.compile(r"^([^.]*?\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$")


def labels(identity: Identity, cluster: str, node: str) -> dict[str, str]:
    """What makes a container ours, and adoptable."""
    return {
        PREFIX + "cluster": cluster,
        PREFIX + "node": node,
        PREFIX + "namespace": identity.namespace,
        PREFIX + "pod": identity.pod,
        PREFIX + "uid": identity.uid,
        PREFIX + "container": identity.container,
        PREFIX + "attempt": str(identity.attempt),
        PREFIX + "kind": identity.kind,
        PREFIX + "spec-hash": identity.spec_hash,
    }


def identity_of(given: Mapping[str, str]) -> Identity | None:
    """Whose container it is by its labels, None where they are not all there."""
    try:
        kind: Kind = given[PREFIX + "kind"]  # type: ignore[assignment]
        return Identity(
            namespace=given[PREFIX + "namespace"],
            pod=given[PREFIX + "pod"],
            uid=given[PREFIX + "uid"],
            container=given[PREFIX + "container"],
            kind=kind,
            attempt=int(given[PREFIX + "attempt"]),
            spec_hash=given[PREFIX + "spec-hash"],
        )
    except (KeyError, ValueError):
        return None


def name(identity: Identity, node: str) -> str:
    container = identity.container or "sandbox"
    return "_".join(
        ("pyb", node, identity.namespace, identity.pod, container, identity.uid[:8], str(identity.attempt))
    )


def network_config(network: str, subnet: str, gateway: str, bridge: str, cluster: str) -> dict[str, Any]:
    return {
        "Name": network,
        "CheckDuplicate": True,
        "Driver": "bridge",
        "IPAM": {"Driver": "default", "Config": [{"Subnet": subnet, "Gateway": gateway}]},
        "Options": {"com.docker.network.bridge.name": bridge},
        "Labels": {PREFIX + "cluster": cluster},
    }


def address_to_connect(entry: Mapping[str, Any]) -> str:
    """The address of a listed sandbox that runs and is for us to connect, "" for any other container."""
    given = entry.get("Labels") or {}
    ours = given.get(PREFIX + "kind") == "sandbox" and entry.get("State") == "running"
    mode = (entry.get("HostConfig") or {}).get("NetworkMode")
    return str(given.get(ADDRESS_LABEL) or "") if ours and mode in ("host", "none") else ""


def makes_own_network(spec: SandboxSpec) -> bool:
    """Whether the sandbox's program makes its network namespace, rather than the engine."""
    return not (spec.host_network or spec.ports or any(name.startswith("net.") for name in spec.sysctls))


def sandbox(
    spec: SandboxSpec, image: str, network: str, cluster: str, node: str, oom_floor: int = -1000
) -> dict[str, Any]:
    """The body of the sandbox's create request.

    The engine makes the network namespace only where it has to do more with it (host ports, network sysctls); else
    the sandbox makes its own (pause.OWN_NETWORK), which costs half as much. `oom_floor`: the lowest oom_score_adj
    that may be asked for.
    """
    own_network = makes_own_network(spec)
    host: dict[str, Any] = {
        "NetworkMode": "host" if spec.host_network or own_network else network if spec.ports else "none",
        "IpcMode": "host" if spec.host_ipc else "shareable",
        "PidMode": "host" if spec.host_pid else "",
        "OomScoreAdj": max(SANDBOX_OOM_SCORE, oom_floor),
        "CpuShares": MIN_SHARES,
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "no"},
    }
    if own_network:
        # For one system call; the program becomes nobody right after.
        host["CapAdd"] = ["SYS_ADMIN"]
    if spec.host_network:
        host["UTSMode"] = "host"
    if spec.handler:
        host["Runtime"] = spec.handler
    if spec.dns_servers:
        host["Dns"] = list(spec.dns_servers)
    if spec.dns_searches:
        host["DnsSearch"] = list(spec.dns_searches)
    if spec.dns_options:
        host["DnsOptions"] = list(spec.dns_options)
    if spec.host_aliases:
        host["ExtraHosts"] = [f"{alias}:{address}" for alias, address in spec.host_aliases]
    if spec.sysctls:
        host["Sysctls"] = dict(spec.sysctls)
    body: dict[str, Any] = {
        "Image": image,
        "Labels": {**labels(spec.identity, cluster, node), ADDRESS_LABEL: spec.ip},
        "HostConfig": host,
        "Healthcheck": NO_HEALTHCHECK,
    }
    if own_network:
        body["Cmd"], body["User"] = [OWN_NETWORK], "0:0"
    if spec.hostname and not spec.host_network:
        body["Hostname"] = spec.hostname
    if spec.ports and not spec.host_network:
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in spec.ports:
            key = f"{port.container_port}/{port.protocol.lower()}"
            bindings.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": str(port.host_port)})
        host["PortBindings"] = bindings
        body["ExposedPorts"] = {key: {} for key in bindings}
    if spec.ip and spec.ports and not spec.host_network:
        body["NetworkingConfig"] = {"EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": spec.ip}}}}
    return body


def _mount(mount: Mount, recursive_known: bool) -> dict[str, Any]:
    """`recursive_known`: the engine makes all below a read-only mount read-only unless told otherwise."""
    options: dict[str, Any] = {"Propagation": mount.propagation}
    if mount.read_only and recursive_known:
        options["ReadOnlyForceRecursive" if mount.recursive_read_only else "ReadOnlyNonRecursive"] = True
    return {
        "Type": "bind",
        "Source": mount.host_path,
        "Target": mount.container_path,
        "ReadOnly": mount.read_only,
        "BindOptions": options,
    }


def recursive_read_only_known(api_version: str) -> bool:
    """Whether the engine's API can say what becomes of mounts below a read-only one."""
    return tuple(int(part) for part in api_version.split(".")) >= _RECURSIVE_API


def recursive_read_only(api_version: str, info: Mapping[str, Any]) -> bool:
    """Whether the engine can make all below a mount read-only: its API (of Engine 25), the kernel, its runtime."""
    kernel = re.match(r"(\d+)\.(\d+)", info.get("KernelVersion") or "")
    if not recursive_read_only_known(api_version) or kernel is None:
        return False
    runtime = (info.get("Runtimes") or {}).get(info.get("DefaultRuntime") or "runc") or {}
    features = (runtime.get("status") or {}).get(_FEATURES)
    if features and "rro" not in (json.loads(features).get("mountOptions") or ()):
        return False
    return (int(kernel[1]), int(kernel[2])) >= _RECURSIVE_KERNEL


def _resources(resources: Resources, oom_floor: int) -> dict[str, Any]:
    """cgroup limits. Shares follow the request, quota and memory the limit; swap is never allowed on top."""
    request = resources.cpu_request_milli or resources.cpu_limit_milli
    result: dict[str, Any] = {
        "CpuShares": max(MIN_SHARES, request * 1024 // 1000),
        "OomScoreAdj": max(resources.oom_score_adj, oom_floor),
    }
    if resources.cpu_limit_milli:
        result["CpuPeriod"] = PERIOD
        result["CpuQuota"] = max(MIN_QUOTA, resources.cpu_limit_milli * PERIOD // 1000)
    if resources.memory_limit:
        result["Memory"] = result["MemorySwap"] = resources.memory_limit
    if resources.pids_limit:
        result["PidsLimit"] = resources.pids_limit
    if resources.devices:
        result["Devices"] = [
            {
                "PathOnHost": device.host_path,
                "PathInContainer": device.container_path,
                "CgroupPermissions": device.permissions,
            }
            for device in resources.devices
        ]
    return result


def update(resources: Resources) -> dict[str, Any]:
    """The body of an update request: CPU and memory."""
    wanted = ("CpuShares", "CpuPeriod", "CpuQuota", "Memory", "MemorySwap")
    return {key: value for key, value in _resources(resources, 0).items() if key in wanted}


def _security(security: Security) -> dict[str, Any]:
    options = []
    if security.no_new_privileges:
        options.append("no-new-privileges")
    if security.seccomp:
        options.append(f"seccomp={security.seccomp}")
    if security.apparmor:
        options.append(f"apparmor={security.apparmor}")
    result: dict[str, Any] = {
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only_root,
        "SecurityOpt": options,
    }
    if security.groups:
        result["GroupAdd"] = [str(group) for group in security.groups]
    if security.add_capabilities:
        result["CapAdd"] = list(security.add_capabilities)
    if security.drop_capabilities:
        result["CapDrop"] = list(security.drop_capabilities)
    if security.unmasked_proc:
        result["MaskedPaths"], result["ReadonlyPaths"] = [], []
    return result


def container(
    spec: ContainerSpec, cluster: str, node: str, oom_floor: int = -1000, api_version: str = "1.41"
) -> dict[str, Any]:
    """The body of a container's create request."""
    recursive_known = recursive_read_only_known(api_version)
    joined = f"container:{spec.sandbox_id}"
    if spec.host_pid:
        pid_mode = "host"
    elif spec.target_container_id:
        pid_mode = f"container:{spec.target_container_id}"
    else:
        pid_mode = joined if spec.share_pid else ""
    host: dict[str, Any] = {
        "NetworkMode": "host" if spec.host_network else joined,
        "IpcMode": "host" if spec.host_ipc else joined,
        "PidMode": pid_mode,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": str(spec.log_max_bytes), "max-file": str(spec.log_max_files)},
        },
        "Mounts": [_mount(mount, recursive_known) for mount in spec.mounts],
        **_resources(spec.resources, oom_floor),
        **_security(spec.security),
    }
    if spec.host_network:
        host["UTSMode"] = "host"
    if spec.handler:
        host["Runtime"] = spec.handler
    body: dict[str, Any] = {
        "Image": spec.image,
        "Labels": labels(spec.identity, cluster, node),
        "Env": [f"{key}={value}" for key, value in spec.env],
        "Tty": spec.tty,
        "OpenStdin": spec.stdin,
        "StdinOnce": spec.stdin_once,
        "Healthcheck": NO_HEALTHCHECK,
        "HostConfig": host,
    }
    if spec.command:
        body["Entrypoint"] = list(spec.command)
    if spec.args:
        body["Cmd"] = list(spec.args)
    if spec.working_dir:
        body["WorkingDir"] = spec.working_dir
    if spec.security.user:
        body["User"] = spec.security.user
    if spec.stop_signal:
        body["StopSignal"] = spec.stop_signal
    return body


def epoch(time: str) -> float:
    """Seconds of the engine's RFC 3339 time (nanoseconds and all); 0 for its zero time."""
    if not time or time.startswith("0001-"):
        return 0.0
    # Python's datetime takes no more than six digits of a second.
    match = _TIME.match(time)
    if match is None:
        raise ValueError(f"not a time: {time!r}")
    seconds, fraction, zone = match.groups()
    return datetime.fromisoformat(seconds + zone.replace("Z", "+00:00")).timestamp() + float(
        f"0{fraction or '.0'}"
    )


def listed(entry: Mapping[str, Any]) -> ContainerState | None:
    """A container of `GET /containers/json`; None if it is not ours."""
    identity = identity_of(entry.get("Labels") or {})
    if identity is None:
        return None
    status = _STATUS.get(entry["State"], "exited")
    return ContainerState(
        id=entry["Id"],
        identity=identity,
        status=status,  # type: ignore[arg-type]
        image=entry.get("Image") or "",
        image_id=entry.get("ImageID") or "",
        created_at=float(entry.get("Created") or 0),
        ip=(entry.get("Labels") or {}).get(ADDRESS_LABEL) or "",
    )


def inspected(entry: Mapping[str, Any]) -> ContainerState | None:
    """A container of `GET /containers/<id>/json`; None if it is not ours."""
    config, state = entry["Config"], entry["State"]
    identity = identity_of(config.get("Labels") or {})
    if identity is None:
        return None
    status = _STATUS.get(state["Status"], "exited")
    started = epoch(state.get("StartedAt") or "")
    if status == "created" and state.get("Error"):
        # A start that failed leaves it in `created`, with the error: it has had its run.
        status = "exited"
    return ContainerState(
        id=entry["Id"],
        identity=identity,
        status=status,  # type: ignore[arg-type]
        image=config.get("Image") or "",
        image_id=entry.get("Image") or "",
        created_at=epoch(entry.get("Created") or ""),
        started_at=started,
        finished_at=epoch(state.get("FinishedAt") or ""),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        pid=int(state.get("Pid") or 0),
        ip=(config.get("Labels") or {}).get(ADDRESS_LABEL) or "",
        log_path=entry.get("LogPath") or "",
    )


def image_of(entry: Mapping[str, Any]) -> Image:
    """An image, listed or inspected."""
    config = entry.get("Config") or {}
    created = entry.get("Created")
    return Image(
        id=entry["Id"],
        tags=tuple(t for t in entry.get("RepoTags") or () if not t.startswith("<none>")),
        digests=tuple(d for d in entry.get("RepoDigests") or () if not d.startswith("<none>")),
        size=int(entry.get("Size") or 0),
        user=config.get("User") or "",
        created_at=epoch(created) if isinstance(created, str) else float(created or 0),
    )
