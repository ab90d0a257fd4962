"""The parts of the node agent that `agent` and `podworker` call, as they call them.

| part | file | called by | gives back |
|---|---|---|---|
| Sources | sources.py | environment, volumes | ConfigMaps, Secrets, Services, tokens from the API, cached |
| Volumes | volumes.py | podworker | host paths of a pod's volumes; the mounts of a container |
| environment.resolve | environment.py | podworker | a container's variables, `$(VAR)` expansion |
| Prober | probes.py | podworker | ProbeResult, when a probe's outcome changes |
| Hooks | handlers.py | podworker | nothing, or HookFailure |
| serve | server.py | agent | the NodeAgent gRPC server |

All work on pods as the API has them (dicts, never mutated).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from kubeletd.runtime.interface import ContainerState, Mount, Runtime

if TYPE_CHECKING:
    from kubeletd.stats_measures import Measures

Pod = Mapping[str, Any]
Container = Mapping[str, Any]
ProbeKind = Literal["startup", "liveness", "readiness"]


class PodConfigError(Exception):
    """A container cannot be made as the pod's spec stands (a missing ConfigMap key…); retried with back-off.

    `reason` is the waiting reason, `message` Kubernetes's words such as `configmap "x" not found`.
    """

    def __init__(self, message: str, reason: str = "CreateContainerConfigError") -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class CannotStart(Exception):
    """The agent cannot run as its settings are; the text is one sentence for its operator."""


class MountError(Exception):
    """A volume cannot be set up (event FailedMount); retried with back-off.

    `message` is Kubernetes's, e.g. `MountVolume.SetUp failed for volume "config" : configmap "x" not found`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class WholeMountError(MountError):
    """A MountError whose message says already what failed; "" is that nobody has to be told."""


class HookFailure(Exception):
    """A lifecycle hook failed. str() is what the event FailedPostStartHook/FailedPreStopHook says."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What downward API fields need and the pod object may not have yet."""

    pod_ip: str = ""
    pod_ips: tuple[str, ...] = ()
    host_ip: str = ""
    host_ips: tuple[str, ...] = ()
    node_name: str = ""
    allocatable: Mapping[str, str] | None = None  # node's, for resourceFieldRef without a limit
    node_labels: Mapping[str, str] | None = None


class Sources(Protocol):
    """ConfigMaps, Secrets and Services for pods of this node, read through the API and cached a short while."""

    async def get(
        self, kind: Literal["ConfigMap", "Secret", "RuntimeClass"], namespace: str, name: str
    ) -> Pod | None:
        """The object, None if there is none. StatusError for any other trouble."""
        ...

    async def services(self, namespace: str) -> Sequence[Pod]: ...

    async def token(
        self, namespace: str, service_account: str, audience: str, expiration_seconds: int, pod: Pod
    ) -> tuple[str, float]:
        """A bound service-account token and when it expires (epoch seconds)."""
        ...

    def release(self, uid: str) -> None:
        """A pod is gone: what only it used may be forgotten."""
        ...


class Volumes(Protocol):
    """Built as `volumes.Volumes(root_dir: Path, sources: Sources, node_name: str)`."""

    async def mount_all(self, pod: Pod, facts: PodFacts) -> dict[str, str]:
        """Volume name → host path, every volume of the pod set up; again is free. Raises MountError."""
        ...

    async def container_mounts(
        self, pod: Pod, container: Container, paths: Mapping[str, str], env: Mapping[str, str]
    ) -> list[Mount]:
        """The container's volumeMounts (subPath made and checked, subPathExpr expanded by `env`).

        Raises PodConfigError.
        """
        ...

    async def refresh(self, pod: Pod, facts: PodFacts) -> None:
        """Brings ConfigMap, Secret, projected and downward volumes up to date, atomically."""
        ...

    def renewed(self, uid: str) -> bool:
        """Whether volumes of that pod are to be refreshed from time to time, whatever types its spec names."""
        ...

    async def unmount_all(self, uid: str) -> None:
        """Takes down and removes every volume under pods/<uid>; again is free."""
        ...

    async def uids(self) -> Sequence[str]:
        """The pods that anything is kept of. Raises OSError."""
        ...


class ResolveEnvironment(Protocol):
    """`environment.resolve`: the container's variables in order, service links first, envFrom, then env."""

    async def __call__(
        self, pod: Pod, container: Container, sources: Sources, facts: PodFacts
    ) -> list[tuple[str, str]]:
        """Raises PodConfigError. (The pure part is `environment.build(...)`.)"""
        ...


class Expand(Protocol):
    """`environment.expand(text, env)`: `$(NAME)` replaced, `$$(NAME)` kept as `$(NAME)`, unknown names kept."""

    def __call__(self, text: str, env: Mapping[str, str]) -> str: ...


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A probe's state after thresholds. `uid` and `container_id` say which run of which container."""

    uid: str
    container: str
    container_id: str
    kind: ProbeKind
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProbeKey:
    """What attempts are counted by. `result` is successful, failed or unknown."""

    namespace: str
    pod: str
    uid: str
    container: str
    kind: ProbeKind
    result: str


Report = Callable[[ProbeResult], None]
Record = Callable[[Pod, str, str, str, str], None]  # pod, container name, Normal|Warning, reason, message


class Prober(Protocol):
    """Built as `probes.Prober(runtime, report: Report, record: Record)`.

    One task a probe. `report` is called with the first result and whenever it changes (thresholds counted), and on
    each liveness/startup failure that reaches its threshold. Every single failure is the event Unhealthy through
    `record`. Liveness and readiness wait for `startup` to have succeeded.
    """

    counts: dict[ProbeKey, int]  # the attempts so far

    def start(
        self, pod: Pod, container: Container, container_id: str, pod_ip: str, started_at: float
    ) -> None:
        """Begins all probes of a running container; those of an earlier run of it are ended."""
        ...

    def stop(self, uid: str, container: str, *, kinds: Sequence[ProbeKind] = ()) -> None:
        """Ends them (all kinds if none are named). Again is free."""
        ...

    def forget(self, uid: str) -> None:
        """The pod is gone: what was counted of its probes may be forgotten."""
        ...

    async def close(self) -> None: ...


class Hooks(Protocol):
    """Built as `handlers.Hooks(runtime)`."""

    async def run(
        self, pod: Pod, container: Container, handler: Mapping[str, Any], container_id: str, pod_ip: str
    ) -> None:
        """Runs a LifecycleHandler (exec, httpGet, sleep, tcpSocket) to its end. Raises HookFailure."""
        ...


@dataclass(frozen=True, slots=True)
class PodOnNode:
    """A pod this node has, for the gRPC server."""

    pod: Pod
    uid: str
    sandbox: ContainerState | None
    pod_ip: str
    containers: Mapping[str, ContainerState]  # by name: the current one of each
    previous: Mapping[str, ContainerState]  # by name: the one before


class NodeView(Protocol):
    """What `server.serve` sees of the agent."""

    runtime: Runtime
    node_name: str
    measures: Measures

    def find_pod(self, namespace: str, name: str, uid: str = "") -> PodOnNode | None: ...

    def pods(self) -> Sequence[PodOnNode]: ...


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen (port 0: choose; a `unix-abstract:` address has none) and PEM material; empty `certificate` means
    plain text (tests only)."""

    address: str = "127.0.0.1"
    port: int = 0
    certificate: bytes = b""
    key: bytes = b""
    client_ca: bytes = b""


class Server(Protocol):
    """What `await server.serve(view: NodeView, options: ServerOptions)` gives back."""

    port: int

    async def close(self, grace_seconds: float) -> None: ...
