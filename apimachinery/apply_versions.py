"""Field managers that spoke different versions of an object: what a write is to each of them. Pure.

Managers state their fields in the version they spoke. Where several versions are about, an object has to be seen in
another; who can show it may have to ask somebody, so these are generators that ask.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from apimachinery import fieldset, ownedfields
from apimachinery.apply_merge import prune
from apimachinery.fieldset import FieldSet
from apimachinery.managedfields import Entry, fields_of
from apimachinery.schema import Schema

Object = dict[str, Any]
T = TypeVar("T")
#: (object, apiVersion) is asked for; the object in that version with its schema is sent, or None where the version
#: is not served any more.
Steps = Generator[tuple[Object, str], "tuple[Object, Schema] | None", T]
#: (changed, removed) fields by version; None for a version that is not served any more.
Seen = dict[str, tuple[FieldSet, FieldSet] | None]
Compare = Callable[[Object, Object, Schema], tuple[FieldSet, FieldSet]]

#: No apply takes the metadata itself away, whoever owns what is in it.
METADATA: FieldSet = {"f:metadata": {}}


def alike(steps: Steps[T], schema: Schema) -> T:
    """Run steps where objects are alike in all versions."""
    try:
        asked = next(steps)
        while True:
            asked = steps.send((asked[0], schema))
    except StopIteration as end:
        result: T = end.value
        return result


def see(seen: Seen, live: Object, new: Object, entries: list[Entry], compare: Compare) -> Steps[None]:
    """Add to `seen` what a write changes in the versions of all managers."""
    for entry in entries:
        version = entry.get("apiVersion", "")
        if version in seen:
            continue
        before = yield live, version
        after = yield new, version
        if before is None or after is None:
            seen[version] = None
        else:
            seen[version] = compare(before[0], after[0], after[1])


def changes_for(seen: Seen, entry: Entry) -> tuple[FieldSet, FieldSet]:
    """What a write is to a manager."""
    return seen.get(entry.get("apiVersion", "")) or ({}, {})


def pruned(
    merged: Object, schema: Schema, api_version: str, last: Entry, others: list[Entry], stated: FieldSet
) -> Steps[Object]:
    """`merged` without what its manager stated last time and nobody states now."""
    version = last.get("apiVersion", "")
    kept: dict[str, FieldSet] = {api_version: fieldset.union(stated, METADATA)}
    for entry in others:
        theirs = entry.get("apiVersion", "")
        kept[theirs] = fieldset.union(kept.get(theirs, METADATA), fields_of(entry))
    there = (merged, schema) if version == api_version else (yield merged, version)
    if there is None:
        return merged
    result = prune(there[0], there[1], fields_of(last), kept.pop(version, METADATA))
    if result is there[0]:
        return merged
    for other, fields in kept.items():
        # What is owned in another version comes back, whatever it is called here.
        whole = yield merged, other
        less = yield result, other
        if whole is None or less is None:
            continue
        left = fieldset.union(ownedfields.of(less[0], less[1]), fields)
        back = yield prune(whole[0], whole[1], ownedfields.of(whole[0], whole[1]), left), version
        result = back[0] if back is not None else result
    if version == api_version:
        return result
    back = yield result, api_version
    return back[0] if back is not None else merged
