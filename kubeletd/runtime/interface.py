"""What the node agent asks of a container runtime: Docker Engine or the simulated one.

Everything is in runtime terms (ids, host paths, bytes, cores), never in Kubernetes objects: `kubeletd.translate`
turns a pod into these specs. Times are seconds since the epoch. Ids are opaque strings.

| file | what |
|---|---|
| specs.py | what is asked for |
| findings.py | what is told |
| failures.py | how it is refused |

All of it is imported from here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Literal, Protocol

from kubeletd.accounts import Accounts
from kubeletd.runtime.failures import (
    ContainerNotFound,
    ContainerNotRunning,
    CreateFailure,
    EngineUnavailable,
    ImageNotFound,
    ImagePullFailure,
    RuntimeFailure,
    SandboxFailure,
    StartError,
)
from kubeletd.runtime.findings import (
    ContainerFiles,
    ContainerState,
    EngineInfo,
    ExecResult,
    Image,
    RuntimeEvent,
    Usage,
)
from kubeletd.runtime.specs import (
    ContainerSpec,
    Device,
    Identity,
    Kind,
    LogOptions,
    Mount,
    PortMapping,
    RegistryAuth,
    Resources,
    SandboxSpec,
    Security,
)

__all__ = [
    "ContainerFiles",
    "ContainerNotFound",
    "ContainerNotRunning",
    "ContainerSpec",
    "ContainerState",
    "CreateFailure",
    "Device",
    "EngineInfo",
    "EngineUnavailable",
    "ExecResult",
    "Identity",
    "Image",
    "ImageNotFound",
    "ImagePullFailure",
    "Kind",
    "LogOptions",
    "Mount",
    "PortMapping",
    "ProcessStream",
    "RegistryAuth",
    "Resources",
    "Runtime",
    "RuntimeEvent",
    "RuntimeFailure",
    "SandboxFailure",
    "SandboxSpec",
    "Security",
    "StartError",
    "Stream",
    "Usage",
]

Stream = Literal["stdout", "stderr"]


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

    async def ping(self, patience: float) -> None:
        """Raises EngineUnavailable unless it answers within `patience` seconds."""
        ...

    def busy_for(self) -> float:
        """For how many seconds the oldest of the calls that are to be answered at once has not been."""
        ...

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

    def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        """The log in pieces as they come (not cut at line ends), of some 100 kB where there is so much; with
        `timestamps` each line has RFC 3339 first. With `follow` it ends when the container has."""
        ...

    async def usage(self, container_id: str) -> Usage: ...

    async def files(self, container_id: str) -> ContainerFiles: ...

    async def image(self, reference: str) -> Image | None:
        """The image here of that name, id or digest."""
        ...

    async def accounts(self, image_id: str) -> Accounts | None:
        """The users and groups of an image; None where they are not to be had."""
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
