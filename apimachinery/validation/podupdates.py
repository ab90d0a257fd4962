"""Validation of updates of pods: of the pod itself, and through ephemeralcontainers and resize."""

from __future__ import annotations

import json
from typing import Any

from apimachinery.errors import forbidden_field, invalid_value, required
from apimachinery.qos import qos_class
from apimachinery.validation import podannotations, pods, podscheduling
from apimachinery.validation.fields import INT32_MAX, Errors

Object = dict[str, Any]

_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def update(errs: Errors, new: Object, old: Object) -> None:
    """Only images, a shorter deadline, more tolerations, and fewer gates."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    _annotations(errs, new, old)
    if after == before:
        return
    pods.pod(errs, new)
    for field in ("containers", "initContainers"):
        if len(after.get(field) or ()) != len(before.get(field) or ()):
            errs.append(forbidden_field(f"spec.{field}", "pod updates may not add or remove containers"))
            return
        for i, item in enumerate(after.get(field) or ()):
            if not item.get("image"):
                errs.append(required(f"spec.{field}[{i}].image"))
    if not _deadline(errs, after, before):
        return
    _tolerations(errs, after, before)
    _gates(errs, after, before)
    gated = bool(before.get("schedulingGates"))
    if gated:
        _directives(errs, after, before)
    changes = differences(_fixed(after, before, gated), _fixed(before, before, gated), "")
    if changes:
        shown = "\n".join(f"  {line}" for line in changes)
        text = f"pod updates may not change fields other than {_UPDATABLE}\n{shown}\n"
        errs.append(forbidden_field("spec", text))


def _annotations(errs: Errors, new: Object, old: Object) -> None:
    after = (new.get("metadata") or {}).get("annotations") or {}
    before = (old.get("metadata") or {}).get("annotations") or {}
    if after != before:
        podannotations.updated(errs, "metadata.annotations", after, before)
        podannotations.check(errs, "metadata.annotations", after, new.get("spec") or {})


def _deadline(errs: Errors, after: Object, before: Object) -> bool:
    """Whether the deadline is such that the rest is worth a look."""
    deadline, was = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if deadline is None:
        if was is not None:
            errs.append(invalid_value(path, None, "must not update from a positive integer to nil value"))
        return True
    if not 0 <= deadline <= INT32_MAX:
        errs.append(invalid_value(path, deadline, f"must be between 0 and {INT32_MAX}, inclusive"))
        return False
    if was is not None and was < deadline:
        errs.append(invalid_value(path, deadline, "must be less than or equal to previous value"))
        return False
    return True


def _gates(errs: Errors, after: Object, before: Object) -> None:
    known = {gate.get("name") for gate in before.get("schedulingGates") or ()}
    for i, gate in enumerate(after.get("schedulingGates") or ()):
        if gate.get("name") not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errs.append(forbidden_field(f"spec.schedulingGates[{i}].name", text))


def _tolerations(errs: Errors, after: Object, before: Object) -> None:
    tolerations, was = after.get("tolerations") or [], before.get("tolerations") or []
    if tolerations == was:
        return

    def key(toleration: Object) -> str:
        return json.dumps({k: v for k, v in toleration.items() if k != "tolerationSeconds"}, sort_keys=True)

    kept = {key(t) for t in tolerations}
    if any(key(t) not in kept for t in was):
        text = "existing toleration can not be modified except its tolerationSeconds"
        errs.append(forbidden_field("spec.tolerations", text))
        return
    podscheduling.tolerations(errs, "spec.tolerations", tolerations)


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TERMS = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"


def _directives(errs: Errors, after: Object, before: Object) -> None:
    """Where a pod that is still held back may run can only be narrowed."""
    kept = after.get("nodeSelector") or {}
    if any(kept.get(key) != value for key, value in (before.get("nodeSelector") or {}).items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errs.append(invalid_value("spec.nodeSelector", kept, text))
    terms, were = _terms(after), _terms(before)
    if not were or terms == were:
        return
    if len(terms) != len(were):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errs.append(invalid_value(_TERMS, terms, text))
        return
    for i, (term, was) in enumerate(zip(terms, were, strict=True)):
        if not _narrows(term, was):
            text = "only additions are allowed (no mutations or deletions)"
            errs.append(invalid_value(f"{_TERMS}[{i}]", term, text))


def _terms(spec: Object) -> list[Object]:
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return (node.get(_REQUIRED) or {}).get("nodeSelectorTerms") or []


def _narrows(term: Object, was: Object) -> bool:
    """Whether a term has only more requirements; one without any selects nothing, and stays so."""
    lists = [(term.get(f) or [], was.get(f) or []) for f in ("matchExpressions", "matchFields")]
    if not any(before for _, before in lists):
        return not any(after for after, _ in lists)
    return all(after[: len(before)] == before for after, before in lists)


_FREE = ("activeDeadlineSeconds", "tolerations", "schedulingGates")


def _fixed(spec: Object, before: Object, gated: bool) -> Object:
    """The spec without what may change."""
    fixed = {key: value for key, value in spec.items() if key not in _FREE}
    if gated:
        fixed.pop("nodeSelector", None)
        if fixed.get("affinity"):
            fixed["affinity"] = {k: v for k, v in fixed["affinity"].items() if k != "nodeAffinity"}
    for field in ("containers", "initContainers"):
        if fixed.get(field):
            fixed[field] = [{**item, "image": ""} for item in fixed[field]]
    grace = before.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        fixed["terminationGracePeriodSeconds"] = grace
    return fixed


def differences(new: Any, old: Any, path: str) -> list[str]:
    """Changed fields, a line each; unset and empty are the same."""
    if (new or None) == (old or None) or (new == old and type(new) is type(old)):
        return []
    if isinstance(new, dict) and isinstance(old, dict):
        lines = []
        for key in sorted({*new, *old}):
            lines += differences(new.get(key), old.get(key), f"{path}.{key}" if path else key)
        return lines
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        lines = []
        for i, (a, b) in enumerate(zip(new, old, strict=True)):
            lines += differences(a, b, f"{path}[{i}]")
        return lines
    return [f"{path}: {json.dumps(old)} -> {json.dumps(new)}"]


def _is_mirror(obj: Object) -> bool:
    return podannotations.MIRROR in ((obj.get("metadata") or {}).get("annotations") or {})


def ephemeral_containers(errs: Errors, new: Object, old: Object) -> None:
    """The ephemeralcontainers subresource: what is there stays as it is, more may come."""
    if _is_mirror(old):
        errs[:] = [forbidden_field("", "static pods do not support ephemeral containers")]
        return
    spec = new.get("spec") or {}
    _annotations(errs, new, old)
    pods.pod(errs, new)
    wanted = {c.get("name"): c for c in spec.get("ephemeralContainers") or ()}
    for container in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = container.get("name")
        after = wanted.get(name)
        if after is None:
            text = f'existing ephemeral containers "{name}" may not be removed\n'
            errs.append(forbidden_field("spec.ephemeralContainers", text))
        elif lines := differences(after, container, ""):
            text = f'existing ephemeral containers "{name}" may not be changed\n' + "\n".join(lines)
            errs.append(forbidden_field("spec.ephemeralContainers", text))


def resize(errs: Errors, new: Object, old: Object) -> None:
    """The resize subresource: CPU and memory of containers and sidecars, and no other quality of service."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    refused = _not_resizable(after, old)
    if refused:
        errs[:] = [forbidden_field("", refused)]
        return
    pods.pod(errs, new)
    if qos_class(after) != ((old.get("status") or {}).get("qosClass") or qos_class(before)):
        text = "Pod QOS Class may not change as a result of resizing"
        errs.append(invalid_value("spec", (new.get("status") or {}).get("qosClass") or "", text))
    for status in (old.get("status") or {}).get("containerStatuses") or ():
        if (status.get("state") or {}).get("running") is not None:
            if status.get("resources") is None:
                errs.append(forbidden_field("spec", "Pod running on node without support for resize"))
            break
    for field in ("initContainers", "containers"):
        were = before.get(field) or []
        for i, item in enumerate((after.get(field) or [])[: len(were)]):
            _resized(errs, f"spec.{field}[{i}].resources", field, item, were[i])
    if not errs and differences(_unsized(after), _unsized(before), ""):
        errs.append(forbidden_field("spec", _ONLY_COMPUTE))


_ONLY_COMPUTE = "only cpu and memory resources are mutable"


def _not_resizable(after: Object, old: Object) -> str:
    before = old.get("spec") or {}
    if any((spec.get("resources") or {}).get(f) for spec in (after, before) for f in ("requests", "limits")):
        return "pods with pod-level resources cannot be resized"
    if _is_mirror(old):
        return "static pods cannot be resized"
    return "windows pods cannot be resized" if (before.get("os") or {}).get("name") == "windows" else ""


def _resized(errs: Errors, path: str, field: str, item: Object, was: Object) -> None:
    sidecar = item.get("restartPolicy") == "Always"
    now, then = item.get("resources") or {}, was.get("resources") or {}
    if field == "initContainers" and not sidecar:
        if differences(item, was, ""):
            errs.append(forbidden_field("spec", "resources for non-sidecar init containers are immutable"))
        return
    for part in ("requests", "limits"):
        if any(name not in (now.get(part) or {}) for name in then.get(part) or {}):
            errs.append(forbidden_field(f"{path}.{part}", f"resource {part} cannot be removed"))
    others = [
        {
            p: {n: v for n, v in (r.get(p) or {}).items() if n not in ("cpu", "memory")}
            for p in ("limits", "requests")
        }
        for r in (now, then)
    ]
    if differences({**item, "resources": others[0]}, {**was, "resources": others[1]}, ""):
        what = "resources for sidecar containers" if field == "initContainers" else "resources"
        errs.append(forbidden_field("spec", f"only cpu and memory {what} are mutable"))


def _unsized(spec: Object) -> Object:
    result = dict(spec)
    for field in ("containers", "initContainers"):
        if result.get(field):
            result[field] = [{**item, "resources": None} for item in result[field]]
    return result
