"""Server-side apply and the tracking of field managers (KEP-555).

`metadata.managedFields` says per manager, operation, API version and subresource which fields it set. An apply
states all the fields its manager wants: what it no longer states and nobody else owns goes away; what another
manager owns with another value is a conflict. Any other write takes the fields it changes.
"""

from __future__ import annotations

from typing import Any

import orjson

from apimachinery import errors, fieldset, ownedfields
from apimachinery.apply_merge import merge, violations
from apimachinery.apply_versions import Seen, Steps, alike, changes_for, pruned, see
from apimachinery.fieldset import FieldSet
from apimachinery.managedfields import (
    APPLY,
    UPDATE,
    Entry,
    capped,
    entry_of,
    fields_of,
    identity,
    is_reset,
    manager_name,
    ordered,
    printed,
    valid_entries,
    with_fields,
)
from apimachinery.schema import Schema

__all__ = ["applying", "manager_name", "server_side_apply", "track", "tracking"]

Object = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Owner of what an object held before anyone tracked its fields.
BEFORE_FIRST_APPLY = "before-first-apply"
#: All annotations of an object may have this many bytes together.
_MAX_ANNOTATIONS = 256 * 1024

#: Nobody owns these: they identify the object or are the server's.
_UNOWNED: FieldSet = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        "f:name": {},
        "f:namespace": {},
        "f:creationTimestamp": {},
        "f:selfLink": {},
        "f:uid": {},
        "f:clusterName": {},
        "f:generation": {},
        "f:managedFields": {},
        "f:resourceVersion": {},
    },
}
_SERVER_METADATA = frozenset(key[2:] for key in _UNOWNED["f:metadata"])
_STATUS: FieldSet = {"f:status": {}}
_SPEC: FieldSet = {"f:spec": {}}


def _reset_fields(schema: Schema, subresource: str, reset: FieldSet | None) -> FieldSet:
    """The fields a write to this endpoint cannot change, so that nobody comes to own them through it."""
    if reset is not None:
        return reset
    if not subresource and "status" in schema.fields:
        return _STATUS
    return _SPEC if subresource == "status" else {}


def _owned(fields: FieldSet, reset: FieldSet) -> FieldSet:
    return fieldset.exclude(fieldset.exclude(fields, _UNOWNED), reset)


def _comparable(obj: Object) -> Object:
    """The object without what no manager owns. The metadata is copied, the rest shared."""
    result = {k: v for k, v in obj.items() if k != "apiVersion" and k != "kind"}
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):
        kept = {k: v for k, v in metadata.items() if k not in _SERVER_METADATA}
        if kept:
            result["metadata"] = kept
        else:
            del result["metadata"]
    return result


def _changes(live: Object, new: Object, schema: Schema) -> tuple[FieldSet, FieldSet]:
    """(changed, removed) fields from `live` to `new`. Spec and status count as always there, as in Go's types."""
    before, after = _comparable(live), _comparable(new)
    for key in ("metadata", "spec", "status"):
        if key in after and key not in before and isinstance(after[key], dict):
            before[key] = {}
    return ownedfields.changes(before, after, schema)


def track(live: Object | None, new: Object, *, schema: Schema, **write: Any) -> None:
    """As `tracking`, where objects are alike in all versions."""
    alike(tracking(live, new, schema=schema, **write), schema)


def tracking(
    live: Object | None,
    new: Object,
    *,
    manager: str,
    schema: Schema,
    api_version: str,
    now: str,
    subresource: str = "",
    reset: FieldSet | None = None,
) -> Steps[None]:
    """Bring `new["metadata"]["managedFields"]` up to date for a create, update or patch by `manager`.

    `live` is None for a create. `new` may hold managedFields of the client's: valid ones replace the live ones
    (not through a subresource), and `[{}]` ends the tracking of the object. `reset`: fields this endpoint never
    changes; by default status, or spec for the status subresource. `now` is RFC 3339 with seconds.
    """
    metadata = new.setdefault("metadata", {})
    given = metadata.pop("managedFields", None)
    entries: list[Entry]
    if given is not None and not subresource and is_reset(given):
        return
    live_entries = live["metadata"].get("managedFields") if live is not None else None
    entries = valid_entries(live_entries)
    if given and not subresource and given != live_entries:
        entries = valid_entries(given, stored=False) or entries
    if live is None:
        changed = ownedfields.created(_comparable(new), schema)
        removed: FieldSet = {}
    elif not entries:
        return
    else:
        changed, removed = _changes(live, new, schema)
    if reset is None and (subresource or "f:status" in changed or "f:status" in removed):
        reset = _reset_fields(schema, subresource, None)
    if reset:
        changed, removed = fieldset.exclude(changed, reset), fieldset.exclude(removed, reset)
    if changed or removed:
        seen: Seen = {api_version: (changed, removed)}
        if live is not None:

            def compare(before: Object, after: Object, node: Schema) -> tuple[FieldSet, FieldSet]:
                one, other = _changes(before, after, node)
                return fieldset.exclude(one, reset or {}), fieldset.exclude(other, reset or {})

            yield from see(seen, live, new, entries, compare)
        entries = _updated(entries, seen, identity(manager, UPDATE, api_version, subresource), now)
    if entries:
        metadata["managedFields"] = entries


def _updated(entries: list[Entry], seen: Seen, owner: tuple[str, ...], now: str) -> list[Entry]:
    """The entries after a write: changed fields go to `owner`, removed ones are nobody's."""
    result: list[Entry] = []
    own: Entry | None = None
    written = (seen[owner[3]] or ({}, {}))[0]
    for entry in entries:
        if seen.get(entry.get("apiVersion", ""), ()) is None:
            continue  # nobody can tell any more what it owned
        changed, removed = changes_for(seen, entry)
        fields = fieldset.difference(fields_of(entry), removed)
        if identity(entry) == owner:
            own = entry
            fields = fieldset.union(fields, changed)
            time = now if changed else entry.get("time", now)
        else:
            fields = fieldset.difference(fields, changed)
            time = entry.get("time", now)
        if fields:
            result.append(with_fields(entry, fields, time))
    if own is None and written:
        result.append(entry_of(owner, written, now))
        result = capped(result)
    return ordered(result)


def server_side_apply(live: Object | None, applied: Object, *, schema: Schema, **write: Any) -> Object:
    """As `applying`, where objects are alike in all versions."""
    return alike(applying(live, applied, schema=schema, **write), schema)


def applying(
    live: Object | None,
    applied: Object,
    *,
    manager: str,
    force: bool,
    schema: Schema,
    api_version: str,
    now: str,
    subresource: str = "",
    reset: FieldSet | None = None,
) -> Steps[Object]:
    """The object after `manager` applied a configuration; `live` None creates it. Inputs are not mutated.

    Raises BadRequest for a configuration that does not fit the schema, and a Conflict whose causes name each
    field another manager owns with another value, unless `force` takes them over. If nothing changes, the result
    equals `live`, times included. `reset` and `now` are as for `track`.
    """
    _check(applied, schema, api_version)
    reset = _reset_fields(schema, subresource, reset)
    owner = identity(manager, APPLY, api_version, subresource)
    if live is None:
        entries: list[Entry] = []
        live = {"metadata": {}}
    else:
        entries = valid_entries(live["metadata"].get("managedFields"))
        if not entries and not _owned(ownedfields.of(applied, schema), reset):
            # States nothing of an object that nobody tracks, such as one that an apply of its name alone has made.
            return live
        if not entries:
            everything = _owned(ownedfields.created(_comparable(live), schema), reset)
            before = identity(BEFORE_FIRST_APPLY, UPDATE, api_version, "")
            entries = [entry_of(before, everything, now)] if everything else []
    last = next((entry for entry in entries if identity(entry)[:3] == owner[:3]), None)
    others = [entry for entry in entries if entry is not last]
    stated = _owned(ownedfields.of(applied, schema), reset)
    merged = _without_reset(live, _without_empty_metadata(merge(live, applied, schema)), reset)
    if last is not None:
        left = yield from pruned(merged, schema, api_version, last, others, stated)
        if left is not merged:
            # A list whose members all go is stated still where it is stated empty; nobody can own that.
            merged = _without_reset(live, _without_empty_metadata(merge(left, applied, schema)), reset)
    changed, removed = _changes(live, merged, schema)
    seen: Seen = {api_version: (changed, removed)}
    yield from see(seen, live, merged, others, _changes)
    others = [entry for entry in others if seen[entry.get("apiVersion", "")] is not None]
    conflicts = {
        identity(entry): overlap
        for entry in others
        if (overlap := fieldset.intersection(fields_of(entry), changes_for(seen, entry)[0]))
    }
    if conflicts and not force:
        if manager == "kubectl":
            _allow_last_applied(conflicts, live, schema)
        if conflicts:
            raise _conflict_error(conflicts)
    result: list[Entry] = []
    for entry in others:
        taken, gone = changes_for(seen, entry)
        fields = fieldset.difference(fieldset.difference(fields_of(entry), taken), gone)
        if fields:
            result.append(with_fields(entry, fields, entry.get("time", now)))
    if stated:
        same = last is not None and not changed and not removed and fields_of(last) == stated
        time = last.get("time", now) if last is not None and same else now
        result.append(entry_of(owner, stated, time))
    return _finished(live, merged, applied, ordered(result), manager)


def _finished(live: Object, merged: Object, applied: Object, entries: list[Entry], manager: str) -> Object:
    """The merged object with its managers, and kubectl's annotation kept in step where it has one."""
    metadata = dict(merged.get("metadata") or {})
    metadata.pop("managedFields", None)
    if entries:
        metadata["managedFields"] = entries
    annotations = live["metadata"].get("annotations") or {}
    if manager == "kubectl" and LAST_APPLIED in annotations and metadata.get("annotations"):
        text = _last_applied(applied)
        synced = {**metadata["annotations"], LAST_APPLIED: text}
        if sum(len(str(k)) + len(str(v)) for k, v in synced.items()) <= _MAX_ANNOTATIONS:
            metadata["annotations"] = synced
    return {**merged, "metadata": metadata}


def _last_applied(applied: Object) -> str:
    """What `kubectl apply` would leave in its annotation for this configuration."""
    metadata = {k: v for k, v in applied.get("metadata", {}).items() if k != "managedFields"}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED}
    metadata["annotations"] = annotations
    return orjson.dumps({**applied, "metadata": metadata}, option=orjson.OPT_SORT_KEYS).decode() + "\n"


def _without_empty_metadata(obj: Object) -> Object:
    """`obj` without empty maps and lists in its metadata: Kubernetes does not store them, kubectl applies them."""
    metadata = obj.get("metadata") or {}
    if all(value or not isinstance(value, (dict, list)) for value in metadata.values()):
        return obj
    kept = {k: v for k, v in metadata.items() if v or not isinstance(v, (dict, list))}
    return {**obj, "metadata": kept}


def _without_reset(live: Object, merged: Object, reset: FieldSet) -> Object:
    """`merged` with the top-level fields this endpoint cannot write as they are live."""
    result = merged
    for key, node in reset.items():
        name = key[2:]
        if node or merged.get(name) is live.get(name):
            continue
        if result is merged:
            result = dict(merged)
        if name in live:
            result[name] = live[name]
        else:
            result.pop(name, None)
    return result


def _check(applied: Any, schema: Schema, api_version: str) -> None:
    """BadRequest unless the configuration may be applied to objects of this kind and version."""
    metadata = applied.get("metadata") if isinstance(applied, dict) else None
    if not isinstance(metadata, dict):
        raise errors.bad_request("couldn't get accessor: object does not implement the Object interfaces")
    version = applied.get("apiVersion", "")
    if version != api_version:
        raise errors.bad_request(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version}, expected: {api_version}"
        )
    if metadata.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    try:
        found = violations(applied, schema)
    except RecursionError:
        raise errors.bad_request("exceeded max depth") from None
    if found:
        shown = version if "/" in version else "/" + version
        who = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {shown}, Kind={applied.get('kind', '')}"
        text = found[0] if len(found) == 1 else "\n  ".join(["errors:", *found])
        raise errors.bad_request(f"failed to create typed patch object ({who}): {text}")


def _allow_last_applied(conflicts: dict[tuple[str, ...], FieldSet], live: Object, schema: Schema) -> None:
    """Drop the conflicts over fields that client-side apply left as they are: kubectl moves on to server-side."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not isinstance(text, str):
        return
    try:
        last = orjson.loads(text)
        if not isinstance(last, dict) or last.get("apiVersion") != live.get(
            "apiVersion", last.get("apiVersion")
        ):
            return
        stated = ownedfields.of(last, schema)
    except (orjson.JSONDecodeError, ownedfields.KeyMissing):
        return
    changed, removed = ownedfields.changes(last, live, schema)
    allowed = fieldset.difference(fieldset.difference(stated, changed), removed)
    for owner, overlap in list(conflicts.items()):
        rest = fieldset.difference(overlap, allowed)
        if rest:
            conflicts[owner] = rest
        else:
            del conflicts[owner]


def _conflict_error(conflicts: dict[tuple[str, ...], FieldSet]) -> errors.StatusError:
    found = [
        (printed(owner), path) for owner in sorted(conflicts) for path in fieldset.paths(conflicts[owner])
    ]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, path in found
    ]
    if len(found) == 1:
        who, path = found[0]
        return errors.apply_conflict(causes, f"Apply failed with 1 conflict: conflict with {who}: {path}")
    lines: list[str] = []
    for who in sorted({who for who, _ in found}):
        lines.append(f"conflicts with {who}:")
        lines += [f"- {path}" for other, path in found if other == who]
    return errors.apply_conflict(causes, f"Apply failed with {len(found)} conflicts: " + "\n".join(lines))
