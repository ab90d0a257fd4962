"""What is known about a pod on this node. Values are never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from kubeletd.podstate.plan import ContainerPlan, PodPlan
from kubeletd.podstate.sizes import UNSIZED, Sizes


class Step(Enum):
    """Where a container is. PREPARING and STARTING mean an instruction is under way."""

    WAITING = "waiting"  # there is none; to be made
    PREPARING = "preparing"  # image, environment, create
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"


class SandboxStep(Enum):
    NONE = "none"
    CREATING = "creating"
    CREATED = "created"
    STARTING = "starting"
    READY = "ready"
    DEAD = "dead"  # its process ended, or it is no longer wanted; to be removed
    REMOVING = "removing"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended: containerStatuses[].state.terminated."""

    id: str
    exit_code: int
    reason: str
    finished_at: float
    started_at: float = 0.0
    message: str = ""
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop under way: the process is killed at `deadline`."""

    deadline: float


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One container of the pod by name; `attempt` numbers its present (or coming) run, from 0."""

    step: Step = Step.WAITING
    attempt: int = 0
    id: str = ""
    image_id: str = ""
    volume_images: tuple[tuple[str, str], ...] = ()  # of image volumes it mounts, by volume
    user: tuple[int, int, tuple[int, ...]] | None = None  # its process's user, group and all groups
    spec_hash: str = ""
    started_at: float = 0.0
    hook: str = ""  # postStart: "", running, done
    started: bool = False  # hook done and startup probe passed
    ready: bool = False  # what the readiness probe says
    probing: str = ""  # which probes run: "", "all", "readiness"
    ended: Ended | None = None  # the present run's end (step EXITED)
    previous: Ended | None = None  # the end of the run before
    reason: str = ""  # why it waits
    message: str = ""
    later_reason: str = ""  # what `reason` becomes at `flip_at` (ErrImagePull becomes ImagePullBackOff)
    later_message: str = ""
    flip_at: float = 0.0
    retry_at: float = 0.0  # not before this; 0 means at once
    failures: int = 0  # failed preparations in a row
    backoff: float = 0.0  # seconds the next restart waits; 0 before the first restart
    backoff_at: float = 0.0  # when `backoff` was last changed
    stop: Stop | None = None
    stop_reason: str = (
        ""  # why a running container is to be stopped though the pod goes on: what the event says
    )
    stop_grace: int | None = None
    resize_restart: str = ""  # restarted to be resized, whatever its policy says: "stopping", then "starting"
    sizes: Sizes = UNSIZED  # what its process has been given
    resizing: bool = False
    resize_error: str = ""
    resize_retry_at: float = 0.0
    cancelling: bool = False
    completed: bool = False  # init container: succeeded in this sandbox
    dead: tuple[str, ...] = ()  # ids of ended containers, oldest first, the present one excluded

    @property
    def restart_count(self) -> int:
        """Runs after the first, the coming one excluded."""
        if self.id or self.step is Step.EXITED or not self.attempt:
            return self.attempt
        return self.attempt - 1

    @property
    def alive(self) -> bool:
        """Whether there is, or may soon be, a process."""
        return self.step in (Step.PREPARING, Step.STARTING, Step.RUNNING)


@dataclass(frozen=True, slots=True)
class Sandbox:
    step: SandboxStep = SandboxStep.NONE
    id: str = ""
    ip: str = ""
    attempt: int = 0
    failures: int = 0
    retry_at: float = 0.0
    ready_at: float = 0.0
    message: str = ""


class Setup(Enum):
    """Volumes and address."""

    NONE = "none"
    RUNNING = "running"
    DONE = "done"
    TEARING = "tearing down"
    TORN = "torn down"


class Removal(Enum):
    """The API object's end."""

    NONE = "none"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class PodState:
    """`failed` is (reason, message) once the node gave the pod up (DeadlineExceeded, Evicted, OutOfcpu…).

    `deadline`: when the last process must have ended, once the pod is being stopped; 0 before.
    `finished`: no container will run again (phase Succeeded or Failed); never taken back.
    """

    plan: PodPlan
    containers: Mapping[str, ContainerRecord] = field(default_factory=dict)
    sandbox: Sandbox = Sandbox()
    setup: Setup = Setup.NONE
    setup_retry_at: float = 0.0
    setup_failures: int = 0
    setup_message: str = ""
    started_at: float = 0.0  # status.startTime
    failed: tuple[str, str] | None = None
    finished: bool = False
    deadline: float = 0.0
    removal: Removal = Removal.NONE
    removal_retry_at: float = 0.0
    initialized: bool = False  # all init containers are through, in this sandbox
    strays: frozenset[str] = frozenset()  # containers of this pod that no record wants
    removing: frozenset[str] = frozenset()  # ids whose removal is under way
    cleanup_retry_at: float = 0.0
    wake_at: float = 0.0

    def record(self, name: str) -> ContainerRecord:
        return self.containers.get(name) or ContainerRecord()

    def with_record(self, name: str, record: ContainerRecord) -> PodState:
        return replace(self, containers={**self.containers, name: record})

    def change(self, name: str, **changes: Any) -> PodState:
        return self.with_record(name, replace(self.record(name), **changes))

    @property
    def stopping(self) -> bool:
        """Whether every process is to end: deleted, failed by the node, or finished."""
        return self.plan.delete_grace is not None or self.failed is not None or self.finished

    @property
    def over(self) -> bool:
        """Nothing is left to do, ever: the worker may end."""
        return self.removal is Removal.DONE and not self.strays and not self.removing

    def of_kind(self, *kinds: str) -> list[ContainerPlan]:
        return [c for c in self.plan.containers if c.kind in kinds]
