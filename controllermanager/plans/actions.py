"""What a plan may ask for. The runner carries actions out in order, and stops at the first that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from apimachinery.resources import Resource

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Guard:
    """An object that must, by a live read, still exist with this uid and not be on its way out."""

    resource: Resource
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Create:
    """`reusable`: an object of that name with the same controller is as good as a new one."""

    resource: Resource
    obj: Object
    reusable: bool = True


@dataclass(frozen=True, slots=True)
class Update:
    """Replaces an object; it fails if `obj`'s resourceVersion is no longer the current one."""

    resource: Resource
    obj: Object
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """A uid or resourceVersion in the patch's metadata is a precondition. `missing_ok`: a 404 is fine."""

    resource: Resource
    namespace: str
    name: str
    patch: Object
    kind: Literal["merge", "strategic"] = "merge"
    subresource: str = ""
    guard: Guard | None = None
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes the object with this uid; one that is gone already is fine."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    resource_version: str | None = None
    grace_period_seconds: int | None = None
    propagation_policy: str | None = None


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Look again in so many seconds, whatever happens until then."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """An Event to record; `type` is Normal or Warning."""

    involved: Object
    type: str
    reason: str
    message: str


Action = Create | Update | Patch | Delete | RequeueAfter | Event


def status_patch(
    resource: Resource, obj: Object, status: Mapping[str, Any], annotations: Mapping[str, str] | None = None
) -> list[Action]:
    """The patch that makes `obj`'s status equal to `status`; nothing if it is already.

    Only top-level fields that differ are sent; None values and fields missing in `status` are removed. Annotations
    are set along with it: through the status they do not count as a change of the object's intent.
    """
    current = obj.get("status") or {}
    wanted = {key: value for key, value in status.items() if value is not None}
    changes: Object = {key: value for key, value in wanted.items() if current.get(key) != value}
    changes.update({key: None for key in current if key not in wanted})
    metadata = obj["metadata"]
    present = metadata.get("annotations") or {}
    notes = {key: value for key, value in (annotations or {}).items() if present.get(key) != value}
    if not changes and not notes:
        return []
    patch: Object = {"metadata": {"uid": metadata["uid"]}}
    if changes:
        patch["status"] = changes
    if notes:
        patch["metadata"]["annotations"] = notes
    return [Patch(resource, metadata.get("namespace", ""), metadata["name"], patch, subresource="status")]
