"""Who owns a StatefulSet's volume claims: they go with the set, or with a pod that is scaled away (KEP-1847)."""

from __future__ import annotations

from typing import Any

from apimachinery import resources
from controllermanager.plans.actions import Patch
from controllermanager.plans.views import PodView

Object = dict[str, Any]

CLAIMS = resources.get("persistentvolumeclaims")


def owned(claim: Object, of_set: Object, pod: PodView, policy: Object, surplus: bool) -> list[Patch]:
    """Gives a pod's claim the owner that the retention policy wants, and takes away what it does not.

    `of_set` is the reference to the set; `surplus`: the pod is beyond the set's replicas. A claim that someone else
    controls is theirs.
    """
    present = claim["metadata"].get("ownerReferences") or []
    ours = {of_set["uid"], pod.uid}
    others = [ref for ref in present if ref["uid"] not in ours]
    if any(ref.get("controller") for ref in others):
        return []
    wanted = list(others)
    if surplus and policy.get("whenScaled") == "Delete":
        wanted.append(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.name,
                "uid": pod.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        )
    elif policy.get("whenDeleted") == "Delete":
        wanted.append(of_set)
    if [ref["uid"] for ref in wanted] == [ref["uid"] for ref in present]:
        return []
    metadata = claim["metadata"]
    patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "ownerReferences": wanted or None}}
    return [Patch(CLAIMS, metadata["namespace"], metadata["name"], patch, missing_ok=True)]


def leaving(claim: Object, pod: str) -> bool:
    """Whether it goes with an earlier pod of that name, which is gone: the next one has to wait for a new claim."""
    metadata = claim["metadata"]
    refs = metadata.get("ownerReferences") or ()
    return bool(metadata.get("deletionTimestamp")) or any(
        ref["kind"] == "Pod" and ref["name"] == pod for ref in refs
    )
