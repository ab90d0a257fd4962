"""Which of its names a CustomResourceDefinition gets, and whether it is established. Pure.

Names are unique within a group; who has a name keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiserver.customresources.definition import condition

Object = dict[str, Any]

_FIELDS = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("shortNames", "ShortNamesConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)
_RESOURCE_FIELDS = ("plural", "singular", "shortNames")
_APPROVED = "api-approved.kubernetes.io"


def status(crd: Object, others: Iterable[Object], now: str) -> Object | None:
    """The status a definition should have, or None where it has that already. `others` are all definitions."""
    spec, before = crd["spec"], crd.get("status") or {}
    plurals, kinds = _taken(crd, others)
    accepted = dict(before.get("acceptedNames") or {})
    wanted = spec["names"]
    problem: tuple[str, str] | None = None
    for key, reason in _FIELDS:
        value = wanted.get(key)
        taken = plurals if key in _RESOURCE_FIELDS else kinds
        clashes = [f'"{v}" is already in use' for v in _listed(value) if v in taken]
        if clashes:
            problem = (reason, ", ".join(clashes))
        elif value:
            accepted[key] = value
        else:
            accepted.pop(key, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    conditions = [dict(c) for c in before.get("conditions") or ()]
    if problem is None:
        _set(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        _set(
            conditions, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now
        )  # fmt: skip
    else:
        _set(conditions, "NamesAccepted", "False", problem[0], problem[1], now)
        established = condition(crd, "Established")
        if established is None or established.get("status") != "True":
            _set(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
    if spec["group"].endswith((".k8s.io", ".kubernetes.io")):
        approved = (crd["metadata"].get("annotations") or {}).get(_APPROVED) or ""
        _approval(conditions, approved, now)
    after = {**before, "conditions": conditions, "acceptedNames": accepted}
    return after if after != before else None


def _approval(conditions: list[Object], approved: str, now: str) -> None:
    kind = "KubernetesAPIApprovalPolicyConformant"
    if approved.startswith("https://"):
        _set(conditions, kind, "True", "ApprovedAnnotation", f"approved in {approved}", now)
    elif approved.startswith("unapproved"):
        text = f'not approved: "{approved}"'
        _set(conditions, kind, "False", "UnapprovedAnnotation", text, now)


def _listed(value: Any) -> list[str]:
    if isinstance(value, list):
        return value
    return [value] if value else []


def _taken(crd: Object, others: Iterable[Object]) -> tuple[set[str], set[str]]:
    """(plurals, singulars and short names; kinds and list kinds) that other definitions of the group have."""
    plurals: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if (
            other["metadata"]["name"] == crd["metadata"]["name"]
            or other["spec"]["group"] != crd["spec"]["group"]
        ):
            continue
        names = (other.get("status") or {}).get("acceptedNames") or {}
        for key, _ in _FIELDS:
            (plurals if key in _RESOURCE_FIELDS else kinds).update(_listed(names.get(key)))
    return plurals, kinds


def _set(conditions: list[Object], kind: str, state: str, reason: str, message: str, now: str) -> None:
    """Set a condition; its time changes with its state only."""
    for found in conditions:
        if found.get("type") == kind:
            if found.get("status") != state:
                found["lastTransitionTime"] = now
            found |= {"status": state, "reason": reason, "message": message}
            return
    conditions.append(
        {"type": kind, "status": state, "lastTransitionTime": now, "reason": reason, "message": message}
    )


def terminating(crd: Object, now: str) -> Object:
    """The status of a definition that was just marked for deletion."""
    before = crd.get("status") or {}
    conditions = [dict(c) for c in before.get("conditions") or ()]
    text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    _set(conditions, "Terminating", "True", "InstanceDeletionPending", text, now)
    return {**before, "conditions": conditions}
