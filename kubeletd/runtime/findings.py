"""What a container runtime tells: containers as they are, events, images, figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kubeletd.runtime.specs import Identity


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
    apparmor: bool = False  # whether profiles can be enforced
    handlers: tuple[str, ...] = ()  # what a RuntimeClass may name
    recursive_read_only: bool = False  # whether mounts below a read-only mount can be made so too


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
