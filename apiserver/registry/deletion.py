"""What deleting an object comes to: removed at once, marked and left to its grace period, or to its finalizers. Pure.

The rules are Kubernetes's rest.BeforeDelete and the generic store's finalizer handling.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apimachinery import meta
from apimachinery.resources import Resource
from apiserver.registry.strategy import Strategy

Object = dict[str, Any]
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class Deletion:
    """The outcome. `remove`: delete it now. Else `update` is the object to store, or None where nothing changes."""

    remove: bool
    update: Object | None = None


def garbage_finalizers(finalizers: list[str], propagation: str, strategy: Strategy) -> list[str]:
    """The finalizers after a deletion asks for a propagation policy ("": what is there, or the kind's own way)."""
    if not strategy.garbage_collected:
        return finalizers
    asked_before = ORPHAN in finalizers or FOREGROUND in finalizers
    by_itself = ORPHAN in finalizers if asked_before else strategy.orphans
    orphan = propagation == "Orphan" or (not propagation and by_itself)
    foreground = propagation == "Foreground" or (not propagation and FOREGROUND in finalizers and not orphan)
    result = [f for f in finalizers if f not in (ORPHAN, FOREGROUND)]
    if orphan:
        result.append(ORPHAN)
    if foreground:
        result.append(FOREGROUND)
    return result if sorted(result) != sorted(finalizers) else finalizers


def plan(obj: Object, strategy: Strategy, grace: int | None, propagation: str, now: datetime) -> Deletion:
    """Decide on deleting `obj` (not changed) at `now` with the asked grace period (None: the kind's own)."""
    metadata = obj["metadata"]
    finalizers = list(metadata.get("finalizers") or ())
    wanted = garbage_finalizers(finalizers, propagation, strategy)
    changed: dict[str, Any] = {}
    if wanted != finalizers:
        changed["finalizers"] = wanted
    seconds = 0
    if strategy.grace is not None:
        seconds = strategy.grace(obj, grace)
    marked = metadata.get("deletionTimestamp")
    if marked:
        current = int(metadata.get("deletionGracePeriodSeconds") or 0)
        if strategy.grace is not None and grace is not None and seconds < current:
            deadline = meta.parse_time(marked) - timedelta(seconds=current - seconds)
            changed["deletionTimestamp"] = meta.rfc3339(max(deadline, now) if seconds else deadline)
            changed["deletionGracePeriodSeconds"] = seconds
        else:
            seconds = current
    elif seconds or wanted:
        changed["deletionTimestamp"] = meta.rfc3339(now + timedelta(seconds=seconds))
        changed["deletionGracePeriodSeconds"] = seconds
        if metadata.get("generation"):
            changed["generation"] = int(metadata["generation"]) + 1
    if not wanted and seconds == 0:
        return Deletion(remove=True)
    if not changed:
        return Deletion(remove=False)
    after = {**metadata, **changed}
    if not after.get("finalizers"):
        after.pop("finalizers", None)
    return Deletion(remove=False, update={**obj, "metadata": after})


def finished(obj: Object) -> bool:
    """Whether an object just updated is marked for deletion and nothing holds it any more."""
    metadata = obj["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
    )


def success_status(resource: Resource, name: str, uid: str = "") -> Object:
    """The Status that answers a deletion."""
    details: Object = {"name": name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    if uid:
        details["uid"] = uid
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
