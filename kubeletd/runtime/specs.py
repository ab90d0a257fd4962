"""What a container runtime is asked for: sandboxes, containers, and what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["sandbox", "init", "container", "ephemeral"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a container is; kept in its labels, so that the agent can adopt it after a restart.

    `container` is empty for a sandbox. `attempt` counts the containers of that name in the pod (restarts).
    """

    namespace: str
    pod: str
    uid: str
    container: str
    kind: Kind
    attempt: int = 0
    spec_hash: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """A host path bound into a container. `propagation` is private, rslave or rshared."""

    host_path: str
    container_path: str
    read_only: bool = False
    propagation: str = "rprivate"
    recursive_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    host_path: str
    container_path: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of a container. 0 means unset. CPU in milli-cores, memory and hugepages in bytes."""

    cpu_request_milli: int = 0
    cpu_limit_milli: int = 0
    memory_limit: int = 0
    memory_request: int = 0
    pids_limit: int = 0
    hugepages: tuple[tuple[int, int], ...] = ()  # (bytes of a page, bytes of all)
    oom_score_adj: int = 0
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Security:
    """Who the process is and what it may do. `user` is "", "uid" or "uid:gid" or a name.

    `seccomp` and `apparmor`: "" the runtime's default, "unconfined", else a profile (JSON text, or a name).
    """

    user: str = ""
    groups: tuple[int, ...] = ()
    privileged: bool = False
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    read_only_root: bool = False
    no_new_privileges: bool = False
    seccomp: str = ""
    apparmor: str = ""
    unmasked_proc: bool = False
    who: tuple[int, int, tuple[int, ...]] | None = None  # the numbers of user, group and all groups, if known


@dataclass(frozen=True, slots=True)
class PortMapping:
    """A host port forwarded to the pod. `protocol` is TCP, UDP or SCTP; `host_ip` "" means all addresses."""

    host_port: int
    container_port: int
    protocol: str = "TCP"
    host_ip: str = ""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """The pod's shared namespaces. `ip` is the address on the pod network, "" with `host_network`."""

    identity: Identity
    hostname: str = ""
    ip: str = ""
    host_network: bool = False
    host_ipc: bool = False
    host_pid: bool = False
    share_pid: bool = False
    dns_servers: tuple[str, ...] = ()
    dns_searches: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host_aliases: tuple[tuple[str, str], ...] = ()  # (name, address)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortMapping, ...] = ()
    pod_resources: Resources | None = None  # limits of all of the pod together
    host_users: bool = True  # no user namespace of its own
    handler: str = ""  # the runtime that a RuntimeClass names


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container of a pod, complete. Empty `command`/`args`/`working_dir` mean the image's own."""

    identity: Identity
    image: str
    sandbox_id: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    pod_limited: bool = False  # the sandbox has pod_resources
    security: Security = Security()
    handler: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_pid: bool = False
    target_container_id: str = ""  # ephemeral: whose pid namespace is joined
    stop_signal: str = ""
    log_max_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
    annotations: Mapping[str, str] = field(
        default_factory=dict
    )  # the pod's: what the simulated runtime acts on


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    username: str = ""
    password: str = ""
    server: str = ""
    identity_token: str = ""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`since` in seconds since the epoch (0: all), `tail` -1 for all."""

    follow: bool = False
    timestamps: bool = False
    since: float = 0.0
    tail: int = -1
    stdout: bool = True
    stderr: bool = True
