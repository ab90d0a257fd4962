"""The entries of `metadata.managedFields`: who they belong to, their order, and which are kept."""

from __future__ import annotations

import json
from typing import Any, overload

from apimachinery import fieldset
from apimachinery.fieldset import FieldSet

Entry = dict[str, Any]
#: (manager, operation, subresource, apiVersion); an applier is the same in every version, so that is empty.
Identity = tuple[str, ...]

APPLY = "Apply"
UPDATE = "Update"
#: More Update managers than this are merged into one, the oldest first.
MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"
MAX_MANAGER_LENGTH = 128


def manager_name(field_manager: str, user_agent: str) -> str:
    """The manager of a write: as asked for, else the user agent up to the first `/`."""
    if field_manager:
        return field_manager
    return "".join(filter(str.isprintable, user_agent.partition("/")[0]))[:MAX_MANAGER_LENGTH] or "unknown"


@overload
def identity(entry: Entry, /) -> Identity: ...
@overload
def identity(manager: str, operation: str, api_version: str, subresource: str, /) -> Identity: ...
def identity(
    entry_or_manager: Entry | str, operation: str = "", api_version: str = "", subresource: str = "", /
) -> Identity:
    """Two writes by one identity are one entry."""
    if isinstance(entry_or_manager, str):
        return (entry_or_manager, operation, subresource, api_version)
    entry = entry_or_manager
    return (
        entry.get("manager", ""),
        entry["operation"],
        entry.get("subresource", ""),
        entry.get("apiVersion", ""),
    )


def printed(owner: Identity) -> str:
    """`"kubectl" with subresource "status" using apps/v1`, as conflicts name a manager."""
    manager, operation, subresource, api_version = owner
    text = json.dumps(manager, ensure_ascii=False)
    if subresource:
        text += f' with subresource "{subresource}"'
    return text if operation == APPLY else f"{text} using {api_version}"


def fields_of(entry: Entry) -> FieldSet:
    fields: FieldSet = entry["fieldsV1"]
    return fields


def entry_of(owner: Identity, fields: FieldSet, time: str) -> Entry:
    manager, operation, subresource, api_version = owner
    entry: Entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    if subresource:
        entry["subresource"] = subresource
    return entry


def with_fields(entry: Entry, fields: FieldSet, time: str) -> Entry:
    """The entry itself if nothing about it changes."""
    if fields is entry["fieldsV1"] and entry.get("time") == time:
        return entry
    return {**entry, "time": time, "fieldsV1": fields}


def is_reset(given: Any) -> bool:
    """Whether a client's managedFields ask to end the tracking: one empty entry."""
    return isinstance(given, list) and len(given) == 1 and given[0] in ({}, None)


def valid_entries(given: Any, *, stored: bool = True) -> list[Entry]:
    """The entries if all are well-formed, else none. Of `stored` ones the fields are known to be so."""
    if not isinstance(given, list):
        return []
    for entry in given:
        if not isinstance(entry, dict) or entry.get("operation") not in (APPLY, UPDATE):
            return []
        fields = entry.get("fieldsV1")
        if not isinstance(fields, dict) or not (stored or fieldset.is_valid(fields)):
            return []
    return given


def ordered(entries: list[Entry]) -> list[Entry]:
    """Appliers first, then by time, manager, version and subresource."""
    if len(entries) < 2:
        return entries
    return sorted(
        entries,
        key=lambda e: (
            e["operation"],
            e.get("time", ""),
            e.get("manager", ""),
            e.get("apiVersion", ""),
            e.get("subresource", ""),
        ),
    )


def capped(entries: list[Entry]) -> list[Entry]:
    """At most MAX_UPDATE_MANAGERS updaters: the oldest become one `ancient-changes` for each API version."""
    updaters = [entry for entry in entries if entry["operation"] == UPDATE]
    if len(updaters) <= MAX_UPDATE_MANAGERS:
        return entries
    buckets = {e.get("apiVersion", ""): e for e in updaters if e.get("manager") == ANCIENT}
    kept = sorted(
        (e for e in updaters if e.get("manager") != ANCIENT),
        key=lambda e: (e.get("time", ""), e.get("manager", "")),
        reverse=True,
    )
    while kept and len(buckets) + len(kept) > MAX_UPDATE_MANAGERS:
        entry = kept.pop()
        version, time = entry.get("apiVersion", ""), entry.get("time", "")
        bucket = buckets.get(version)
        if bucket is None:
            buckets[version] = entry_of((ANCIENT, UPDATE, "", version), fields_of(entry), time)
        else:
            merged = fieldset.union(fields_of(bucket), fields_of(entry))
            buckets[version] = with_fields(bucket, merged, max(bucket.get("time", ""), time))
    return [e for e in entries if e["operation"] != UPDATE] + [*buckets.values(), *kept]
