"""Namespaces: held by the finalizer `kubernetes` in their spec until they are empty. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery import meta
from apiserver.registry import deletion
from apiserver.registry.strategy import Strategy

Object = dict[str, Any]

FINALIZER = "kubernetes"
NAME_LABEL = "kubernetes.io/metadata.name"


def prepare_create(new: Object) -> None:
    """A new namespace is Active and held by the cluster's finalizer."""
    new["status"] = {"phase": "Active"}
    spec = new["spec"] = dict(new.get("spec") or {})
    finalizers = list(spec.get("finalizers") or ())
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    spec["finalizers"] = finalizers


def prepare_update(new: Object, old: Object) -> None:
    """The spec's finalizers change only through `finalize`."""
    if "spec" in old:
        new["spec"] = old["spec"]
    else:
        new.pop("spec", None)


def finalized(new: Object, old: Object, now: str) -> None:
    """An update through `finalize`: only the spec's finalizers change."""
    finalizers = list((new.get("spec") or {}).get("finalizers") or ())
    new.clear()
    new.update(old)
    new["metadata"] = dict(old["metadata"])
    new["spec"] = {**(old.get("spec") or {}), "finalizers": finalizers}
    if not finalizers:
        del new["spec"]["finalizers"]


def plan_deletion(old: Object, strategy: Strategy, propagation: str, now: datetime) -> deletion.Deletion:
    """Deleting a namespace marks it Terminating; it goes when neither kind of finalizer is left."""
    held = bool((old.get("spec") or {}).get("finalizers"))
    outcome = deletion.plan(old, strategy, None, propagation, now)
    if not held:
        return outcome
    base = outcome.update or old
    metadata = dict(base["metadata"])
    if metadata.get("deletionTimestamp") and (base.get("status") or {}).get("phase") == "Terminating":
        return deletion.Deletion(remove=False, update=outcome.update)
    metadata.setdefault("deletionTimestamp", meta.rfc3339(now))
    status = {**(base.get("status") or {}), "phase": "Terminating"}
    return deletion.Deletion(remove=False, update={**base, "metadata": metadata, "status": status})
