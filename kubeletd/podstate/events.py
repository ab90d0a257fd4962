"""What can happen to a pod: facts from the API and the engine, and the outcomes of instructions.

An event about a container carries the id or attempt it is about: what is about an earlier run is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kubeletd.podstate.plan import PodPlan
from kubeletd.podstate.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class PodChanged:
    """The API's pod is another one (spec, deletion); also what starts a pod."""

    plan: PodPlan


@dataclass(frozen=True, slots=True)
class Rejected:
    """The node gives the pod up: not admitted, or evicted. `grace` is less than its own grace period."""

    reason: str
    message: str
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class SetUpDone:
    pass


@dataclass(frozen=True, slots=True)
class SetUpFailed:
    message: str


@dataclass(frozen=True, slots=True)
class TornDown:
    ok: bool


@dataclass(frozen=True, slots=True)
class SandboxCreated:
    id: str
    ip: str


@dataclass(frozen=True, slots=True)
class SandboxStarted:
    id: str


@dataclass(frozen=True, slots=True)
class SandboxFailed:
    """Creating (id empty) or starting failed."""

    message: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class SandboxDied:
    """Its process ended, or it is gone."""

    id: str


@dataclass(frozen=True, slots=True)
class SandboxRemoved:
    id: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """`sizes` are what it was made with, None: those of the plan."""

    name: str
    attempt: int
    id: str
    image_id: str
    spec_hash: str
    sizes: Sizes | None = None
    volume_images: tuple[tuple[str, str], ...] = ()
    user: tuple[int, int, tuple[int, ...]] | None = None  # its process's user, group and all groups


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """`later_reason`, if not empty, is what the reason becomes while waiting (ImagePullBackOff)."""

    name: str
    attempt: int
    reason: str
    message: str
    later_reason: str = ""
    later_message: str = ""
    retry_after: float = 0.0  # 0: the usual back-off of preparations


@dataclass(frozen=True, slots=True)
class PrepareWaits:
    """Preparing goes on, and says what it is doing (an image pull under way)."""

    name: str
    attempt: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A preparation was cancelled, and left nothing."""

    name: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Started:
    name: str
    id: str
    at: float


@dataclass(frozen=True, slots=True)
class StartFailed:
    """`unknown`: the engine did not answer, so it may run or not."""

    name: str
    id: str
    message: str
    reason: str = "StartError"
    exit_code: int = 128
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class HookDone:
    """The postStart hook ended."""

    name: str
    id: str
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Resized:
    """A running container has been given `sizes`, or could not be (`message`)."""

    name: str
    id: str
    sizes: Sizes
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Exited:
    name: str
    id: str
    exit_code: int
    at: float
    reason: str = ""  # OOMKilled, ContainerStatusUnknown; else Completed or Error by exit code
    message: str = ""


@dataclass(frozen=True, slots=True)
class StopFailed:
    """A stop did not come through (the engine does not answer)."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Probed:
    name: str
    id: str
    kind: Literal["startup", "liveness", "readiness"]
    ok: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stray:
    """A container of this pod was found that is not what any record says."""

    id: str


@dataclass(frozen=True, slots=True)
class Removed:
    """`name` is empty for a stray."""

    id: str
    name: str
    ok: bool


@dataclass(frozen=True, slots=True)
class ObjectDeleted:
    """The final delete of the API object; ok also if it was gone already."""

    ok: bool


Event = (
    Tick
    | PodChanged
    | Rejected
    | SetUpDone
    | SetUpFailed
    | TornDown
    | SandboxCreated
    | SandboxStarted
    | SandboxFailed
    | SandboxDied
    | SandboxRemoved
    | Prepared
    | PrepareFailed
    | PrepareWaits
    | Cancelled
    | Started
    | StartFailed
    | HookDone
    | Resized
    | Exited
    | StopFailed
    | Probed
    | Stray
    | Removed
    | ObjectDeleted
)
