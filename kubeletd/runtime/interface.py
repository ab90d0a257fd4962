"""What the node agent asks of a container runtime: Docker Engine or the simulated one.

Everything is in runtime terms (ids, host paths, bytes, cores), never in Kubernetes objects: `kubeletd.translate`
turns a pod into these specs. Times are seconds since the epoch. Ids are opaque strings.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Kind = Literal["sandbox", "init", "container", "ephemeral"]
Stream = Literal["stdout", "stderr"]


class RuntimeFailure(Exception):
    """The runtime refused or failed. `reason` is the container state reason Kubernetes shows for it."""

    reason = "RunContainerError"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        if reason:
            self.reason = reason


class EngineUnavailable(RuntimeFailure):
    """The engine does not answer: nothing is known about what was asked; ask again."""

    reason = "ContainerRuntimeNotReady"


class ContainerNotFound(RuntimeFailure):
    """There is no container of that id (any more)."""

    reason = "ContainerNotFound"


class ContainerNotRunning(RuntimeFailure):
    """The container exists and does not run, so there is nothing to exec in or attach to."""

    reason = "ContainerNotRunning"


class CreateFailure(RuntimeFailure):
    """The container could not be created from its spec."""

    reason = "CreateContainerError"


class StartError(RuntimeFailure):
    """Created, but its process could not be started (no such command, no permission); `exit_code` 127, 126 or 128."""

    reason = "StartError"

    def __init__(self, message: str, exit_code: int = 128, reason: str = "") -> None:
        super().__init__(message, reason)
        self.exit_code = exit_code


class SandboxFailure(RuntimeFailure):
    """The pod's sandbox could not be made."""

    reason = "FailedCreatePodSandBox"


class ImageNotFound(RuntimeFailure):
    """No such image, here or where it was to be pulled from."""

    reason = "ErrImagePull"


class ImagePullFailure(RuntimeFailure):
    """The pull failed for another reason (network, authorization)."""

    reason = "ErrImagePull"


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
class ContainerState:
    """A container as the runtime has it. `status`: created, running or exited. Times are 0 where unset."""

    id: str
    identity: Identity
    status: Literal["created", "running", "exited"]
    image: str = ""  # as asked for
    image_id: str = ""
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    pid: int = 0
    ip: str = ""  # sandboxes only
    log_path: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something happened to one of this node's containers; `state` is what is known without asking.

    `action` "resync" (id and identity empty): events may have been lost, list everything. "lost": the engine does not
    answer any more; a "resync" comes when it does.
    """

    action: Literal["started", "died", "oom", "removed", "resync", "lost"]
    id: str = ""
    identity: Identity | None = None
    time: float = 0.0
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """`id` is sha256:…; `digests` repository digests (`name@sha256:…`), `tags` `name:tag`. Size in bytes."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size: int = 0
    user: str = ""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """`name` as in a container id's URL (docker), versions, and the machine under it (bytes, cores)."""

    name: str
    version: str
    api_version: str
    kernel_version: str
    os_image: str
    operating_system: str
    architecture: str  # Go's names: amd64, arm64
    cpus: int
    memory: int
    cgroup_version: int
    cgroup_driver: str
    machine_id: str = ""
    root_dir: str = ""


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    username: str = ""
    password: str = ""
    server: str = ""
    identity_token: str = ""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """A finished command. `output` is stdout and stderr as they came, cut at the limit asked for."""

    exit_code: int
    output: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """What one running container uses: times and faults since its start, bytes now. `memory_limit` 0: none."""

    cpu_nanoseconds: int
    memory_working_set: int
    cpu_user_nanoseconds: int = 0
    cpu_system_nanoseconds: int = 0
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_nanoseconds: int = 0
    memory_usage: int = 0
    memory_limit: int = 0
    memory_rss: int = 0
    memory_cache: int = 0
    memory_mapped_file: int = 0
    memory_swap: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    processes: int = 0


@dataclass(frozen=True, slots=True)
class ContainerFiles:
    """Where a container's own files are on the host; "" where the runtime does not tell."""

    writable: str = ""  # the directory of what it has written over its image
    log: str = ""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`since` in seconds since the epoch (0: all), `tail` -1 for all."""

    follow: bool = False
    timestamps: bool = False
    since: float = 0.0
    tail: int = -1
    stdout: bool = True
    stderr: bool = True


class ProcessStream(Protocol):
    """The standard streams of an exec'd command or an attached container. `read` gives None at the end."""

    async def read(self) -> tuple[Stream, bytes] | None: ...
    async def write(self, data: bytes) -> None: ...
    async def close_stdin(self) -> None: ...
    async def resize(self, width: int, height: int) -> None: ...
    async def exit_code(self) -> int:
        """After the end: the exit code (of the container's process when attached)."""
        ...

    async def close(self) -> None: ...


class Runtime(Protocol):
    """All methods raise `RuntimeFailure` subclasses, EngineUnavailable where the engine does not answer."""

    name: str

    async def open(self) -> EngineInfo:
        """Connects, makes what pods need (network, sandbox image). Again after EngineUnavailable."""
        ...

    async def close(self) -> None: ...

    async def info(self) -> EngineInfo: ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """This node's containers' events, from now on. Never ends by itself: reconnects, then says "resync"."""
        ...

    async def list_containers(self) -> list[ContainerState]:
        """All containers of this node, running or not, sandboxes too (exit codes and times may be missing)."""
        ...

    async def inspect(self, container_id: str) -> ContainerState: ...

    async def create_sandbox(self, spec: SandboxSpec) -> str:
        """Created, to be started by `start`; containers may be created in it before. Raises SandboxFailure."""
        ...

    async def create_container(self, spec: ContainerSpec) -> str:
        """Raises ImageNotFound, CreateFailure."""
        ...

    async def start(self, container_id: str) -> None:
        """Raises StartError (the container is left, not running). No error if it runs already."""
        ...

    async def stop(self, container_id: str, grace_seconds: float) -> None:
        """The stop signal, `grace_seconds`, SIGKILL; returns when it has ended. No error if it had already."""
        ...

    async def kill(self, container_id: str, signal: str = "SIGKILL") -> None: ...

    async def update(self, container_id: str, resources: Resources) -> None:
        """Gives a container other CPU and memory limits (an unset one is left as it is), without touching its
        process. Raises RuntimeFailure where the kernel refuses."""
        ...

    async def remove(self, container_id: str) -> None:
        """Kills it if it runs. No error if it is gone already."""
        ...

    async def exec_sync(
        self, container_id: str, command: tuple[str, ...], timeout: float, limit: int = 10240
    ) -> ExecResult:
        """Raises TimeoutError after `timeout` seconds (0: none), RuntimeFailure if it could not be run."""
        ...

    async def exec(
        self,
        container_id: str,
        command: tuple[str, ...],
        *,
        stdin: bool,
        tty: bool,
        stdout: bool = True,
        stderr: bool = True,
    ) -> ProcessStream: ...

    async def attach(
        self, container_id: str, *, stdin: bool, tty: bool, stdout: bool = True, stderr: bool = True
    ) -> ProcessStream: ...

    def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[tuple[Stream, bytes]]:
        """The log in pieces as they come (not cut at line ends); with `timestamps` each line has RFC 3339 first."""
        ...

    async def usage(self, container_id: str) -> Usage: ...

    async def files(self, container_id: str) -> ContainerFiles: ...

    async def image(self, reference: str) -> Image | None:
        """The image here of that name, id or digest."""
        ...

    async def images(self) -> list[Image]: ...

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        """Raises ImageNotFound, ImagePullFailure."""
        ...

    async def remove_image(self, image_id: str) -> None: ...

    async def show_image(self, image_id: str, uid: str, volume: str, target: Path) -> None:
        """Mounts an image's files at `target`, read-only and not executable, and holds the image for that volume of
        that pod. Raises ImageNotFound, RuntimeFailure."""
        ...

    async def forget_images(self, uid: str) -> None:
        """Lets go of the images held for a pod whose volumes are unmounted. Raises RuntimeFailure."""
        ...

    async def forget_pod(self, uid: str) -> None:
        """Takes away what was made for a pod beside its containers, which are gone. Raises RuntimeFailure."""
        ...

    async def network_namespace(self, sandbox: ContainerState) -> str:
        """A path (`/proc/<pid>/ns/net`) for entering the pod's network, "" for the host's own."""
        ...
