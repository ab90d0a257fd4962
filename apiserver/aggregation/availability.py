"""What an APIService's conditions say, and which resources its server has. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from apimachinery.resources import Resource, Subresource

Object = dict[str, Any]


class Available(NamedTuple):
    """The condition Available."""

    status: bool
    reason: str
    message: str


LOCAL = Available(True, "Local", "Local APIServices are always available")
PASSED = Available(True, "Passed", "all checks passed")


def with_condition(status: Object | None, found: Available, now: str) -> Object | None:
    """The status with the condition; None where it says so already."""
    before = status or {}
    wanted = {"status": "True" if found.status else "False", "reason": found.reason, "message": found.message}
    others = []
    for condition in before.get("conditions") or ():
        if condition.get("type") != "Available":
            others.append(condition)
            continue
        if {key: condition.get(key) for key in wanted} == wanted:
            return None
        if condition.get("status") == wanted["status"]:
            now = condition.get("lastTransitionTime") or now
    return {**before, "conditions": [*others, {"type": "Available", "lastTransitionTime": now, **wanted}]}


def local(new: Object) -> None:
    """An APIService without a server behind it is available from the start."""
    if (new.get("spec") or {}).get("service") is None:
        new["status"] = with_condition(None, LOCAL, new["metadata"]["creationTimestamp"])


def resources_of(group: str, version: str, listed: Object) -> list[Resource]:
    """The resources in an APIResourceList, with their subresources."""
    entries = [
        entry for entry in listed.get("resources") or () if isinstance(entry, dict) and entry.get("name")
    ]
    parts: dict[str, list[Subresource]] = {}
    for entry in entries:
        plural, mark, name = entry["name"].partition("/")
        if mark:
            where = (
                f"{entry['group']}/{entry['version']}"
                if entry.get("group")
                else str(entry.get("version") or "")
            )
            kind = entry.get("kind", "") if where else ""
            sub = Subresource(name, tuple(entry.get("verbs") or ()), kind, where)
            parts.setdefault(plural, []).append(sub)
    return [
        Resource(
            group=group,
            version=version,
            plural=entry["name"],
            kind=str(entry.get("kind") or ""),
            namespaced=bool(entry.get("namespaced")),
            short_names=tuple(entry.get("shortNames") or ()),
            categories=tuple(entry.get("categories") or ()),
            verbs=tuple(entry.get("verbs") or ()),
            subresources=tuple(parts.get(entry["name"], ())),
            singular=str(entry.get("singularName") or ""),
            list_kind=f"{entry.get('kind') or ''}List",
            storage=(group, entry["name"]),
            custom=True,
        )
        for entry in entries
        if "/" not in entry["name"]
    ]
