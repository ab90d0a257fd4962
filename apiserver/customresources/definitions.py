"""How CustomResourceDefinitions themselves are written: stored versions, and a deletion that takes the objects along.

Pure but for the registry class at the end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from apimachinery import meta
from apiserver.customresources import naming
from apiserver.customresources.definition import FINALIZER
from apiserver.options import DeleteOptions
from apiserver.registry import deletion
from apiserver.registry.registry import Registry
from apiserver.registry.strategy import Strategy

Object = dict[str, Any]


def _storage_versions(crd: Object) -> list[str]:
    versions = (crd.get("spec") or {}).get("versions") or ()
    return [str(version.get("name")) for version in versions if version.get("storage")]


def prepare_create(new: Object) -> None:
    """Objects will be stored in the storage version; names and conditions come a moment later."""
    new["status"] = {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": _storage_versions(new),
    }


def prepare_update(new: Object, old: Object) -> None:
    """A new storage version joins those that objects may be stored in."""
    status = dict(new.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    added = [version for version in _storage_versions(new) if version not in stored]
    if added:
        new["status"] = {**status, "storedVersions": stored + added}


def plan_deletion(
    old: Object, strategy: Strategy, options: DeleteOptions, now: datetime
) -> deletion.Deletion:
    """The first deletion marks the definition and holds it until its objects are gone."""
    metadata = old["metadata"]
    if metadata.get("deletionTimestamp"):
        return deletion.plan(old, strategy, None, options.propagation, now)
    finalizers = [*(metadata.get("finalizers") or ())]
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    held = {**old, "metadata": {**metadata, "finalizers": finalizers}}
    outcome = deletion.plan(held, strategy, None, options.propagation, now)
    marked = outcome.update or held
    return deletion.Deletion(False, {**marked, "status": naming.terminating(marked, meta.rfc3339(now))})


class DefinitionRegistry(Registry):
    def plan_deletion(self, old: Object, options: DeleteOptions) -> deletion.Deletion:
        return plan_deletion(old, self.strategy, options, self.backend.identity.now())
