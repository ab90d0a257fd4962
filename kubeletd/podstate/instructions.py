"""What a pod's worker may be asked to do. Each has one outcome, named in its docstring, but for Record and probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SetUp:
    """Volumes. SetUpDone | SetUpFailed."""


@dataclass(frozen=True, slots=True)
class TearDown:
    """Volumes and the pod's folder and address. TornDown."""


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """SandboxCreated | SandboxFailed."""

    attempt: int


@dataclass(frozen=True, slots=True)
class StartSandbox:
    """SandboxStarted | SandboxFailed."""

    id: str


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """SandboxRemoved."""

    id: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Image, environment, create. Prepared | PrepareFailed | Cancelled (and PrepareWaits on the way)."""

    name: str
    attempt: int
    sandbox_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ends a Prepare early; the outcome is that Prepare's (Prepared, if it was faster)."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Start:
    """Started | StartFailed."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class RunPostStart:
    """HookDone."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Resize:
    """Gives a running container the sizes its pod's spec says by now. Resized."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class StopContainer:
    """preStop, the stop signal, SIGKILL at `deadline`. Exited | StopFailed.

    Asked again with an earlier deadline, only the deadline of the one under way changes.
    """

    name: str
    id: str
    deadline: float


@dataclass(frozen=True, slots=True)
class Remove:
    """Removes a container that does not run any more. Removed."""

    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class StartProbes:
    name: str
    id: str
    started_at: float


@dataclass(frozen=True, slots=True)
class StopProbes:
    name: str
    only: tuple[Literal["startup", "liveness", "readiness"], ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """The pod's delete with grace 0, once nothing of it is left here. ObjectDeleted."""


@dataclass(frozen=True, slots=True)
class Record:
    """A Kubernetes event; `container` names it in involvedObject.fieldPath."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    container: str = ""


Instruction = (
    SetUp
    | TearDown
    | CreateSandbox
    | StartSandbox
    | RemoveSandbox
    | Prepare
    | Cancel
    | Start
    | RunPostStart
    | Resize
    | StopContainer
    | Remove
    | StartProbes
    | StopProbes
    | DeleteObject
    | Record
)
