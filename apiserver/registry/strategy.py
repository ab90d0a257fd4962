"""What differs between kinds when they are written: one `Strategy` a storage location, small pure functions.

The names follow Kubernetes's registry strategies. Functions change `new` in place and never touch `old`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.errors import FieldError
from apimachinery.resources import Resource

Object = dict[str, Any]
PrepareCreate = Callable[[Object], None]
PrepareUpdate = Callable[[Object, Object], None]
Grace = Callable[[Object, int | None], int]
Part = Callable[[Object, Object, str], None]
Check = Callable[[Object, Object], list[FieldError]]


def _nothing(new: Object) -> None:
    """No preparation."""


def _nothing_on_update(new: Object, old: Object) -> None:
    """No preparation."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How one kind is written.

    A created object's status is `initial_status`, or what the client sent where `created_status` (nodes).
    `generation` counts changes of what `intent` returns (the spec unless said otherwise). `grace` computes the grace
    period in seconds of a deletion, for kinds that are deleted gracefully. `lease` is the life in seconds of objects
    that expire. `orphans`: dependents stay unless the deletion says otherwise, and `orphan_warning` is told to who does
    not say. `labels_by_status` allows metadata labels to change through the status subresource. `parts` are the
    other subresources that update a part of the object: functions (new, old, now) that undo all other changes;
    `part_checks` validate such updates (new, old) where the object's own validation does not fit.
    """

    has_status: bool = False
    initial_status: Object | None = None
    created_status: bool = False
    generation: bool = False
    intent: Callable[[Object], Any] = lambda obj: obj.get("spec")
    prepare_create: PrepareCreate = _nothing
    prepare_update: PrepareUpdate = _nothing_on_update
    prepare_status: PrepareUpdate = _nothing_on_update
    create_on_update: bool = False
    unconditional_update: bool = True
    returns_deleted: bool = False
    garbage_collected: bool = True
    orphans: bool = False
    orphan_warning: str = ""
    grace: Grace | None = None
    lease: int = 0
    labels_by_status: bool = True
    parts: Mapping[str, Part] = field(default_factory=dict)
    part_checks: Mapping[str, Check] = field(default_factory=dict)


def for_resource(resource: Resource) -> Strategy:
    """The strategy of a resource's storage location; the plain one for kinds that need nothing."""
    from apiserver.registry import strategies

    found = strategies.TABLE.get(resource.storage)
    if found is not None:
        return found
    return Strategy(has_status=resource.subresource("status") is not None, generation=resource.custom)


def reset_status(strategy: Strategy, new: Object) -> None:
    """A created object has no status but what the server gives it."""
    if strategy.has_status and not strategy.created_status:
        new.pop("status", None)
        if strategy.initial_status is not None:
            # One level deep is as deep as they are.
            new["status"] = {
                key: dict(value) if isinstance(value, dict) else value
                for key, value in strategy.initial_status.items()
            }


def keep_status(new: Object, old: Object) -> None:
    """An update of the object itself leaves its status alone."""
    if "status" in old:
        new["status"] = old["status"]
    else:
        new.pop("status", None)


def only_status(new: Object, old: Object, *, labels: bool) -> None:
    """An update of the status leaves everything else alone but metadata (labels only where `labels`)."""
    for key in [key for key in new if key not in old and key not in ("status", "metadata")]:
        del new[key]
    for key, value in old.items():
        if key not in ("status", "metadata"):
            new[key] = value
    metadata, before = new["metadata"], old["metadata"]
    kept = ["ownerReferences", "finalizers"] if labels else ["ownerReferences", "finalizers", "labels"]
    for key in kept:
        if key in before:
            metadata[key] = before[key]
        else:
            metadata.pop(key, None)
