"""ControllerRevisions: the remembered templates of DaemonSets and StatefulSets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from apimachinery import resources
from apimachinery.resources import Resource
from controllermanager.plans.actions import Action, Create, Delete, Patch
from controllermanager.plans.ownership import reference
from controllermanager.plans.podtemplate import fnv1a, safe_encode

Object = dict[str, Any]

REVISIONS = resources.get("controllerrevisions", "apps")
HASH_LABEL = "controller-revision-hash"


@dataclass(frozen=True, slots=True)
class History:
    """`current` is the revision of the template as it is now; `actions` bring it about. `others` are older ones."""

    current: Object
    others: Sequence[Object]
    actions: Sequence[Action]

    @property
    def hash(self) -> str:
        return revision_hash(self.current)


def revision_hash(revision: Object) -> str:
    return str((revision["metadata"].get("labels") or {}).get(HASH_LABEL, ""))


def follow(owner: Object, resource: Resource, revisions: Sequence[Object], collisions: int) -> History:
    """Finds the owner's template among its revisions, or makes a new one; the current one has the highest number."""
    # Clients tell the current revision by its bytes, which Go writes in the order of the keys.
    data = _in_order({"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}})
    ordered = sorted(revisions, key=lambda r: (r.get("revision") or 0, r["metadata"]["name"]))
    highest = int(ordered[-1].get("revision") or 0) if ordered else 0
    same = [r for r in ordered if r.get("data") == data]
    if same:
        current = same[-1]
        others = [r for r in ordered if r is not current]
        if int(current.get("revision") or 0) == highest:
            return History(current, others, ())
        number = highest + 1
        metadata = current["metadata"]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "revision": number}
        moved = {**current, "revision": number}
        return History(moved, others, (Patch(REVISIONS, metadata["namespace"], metadata["name"], patch),))
    text = json.dumps(data, sort_keys=True, separators=(",", ":")).encode()
    value = fnv1a(text)
    if collisions:
        value = fnv1a(str(collisions).encode(), value)
    hashed = safe_encode(value)
    metadata = owner["metadata"]
    labels = {**((owner["spec"]["template"].get("metadata") or {}).get("labels") or {}), HASH_LABEL: hashed}
    new = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{metadata['name'][:223]}-{hashed}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [reference(owner, resource)],
        },
        "data": data,
        "revision": highest + 1,
    }
    return History(new, ordered, (Create(REVISIONS, new),))


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    return value


def template_of(revision: Object) -> Object:
    template = dict(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def truncate(history: History, live: AbstractSet[str], limit: int) -> list[Action]:
    """Deletes the oldest revisions no pod is of, beyond `limit`. `live` are hashes or names still in use."""
    unused = [r for r in history.others if live.isdisjoint((revision_hash(r), r["metadata"]["name"]))]
    return [
        Delete(REVISIONS, r["metadata"]["namespace"], r["metadata"]["name"], r["metadata"]["uid"])
        for r in unused[: max(0, len(unused) - limit)]
    ]
