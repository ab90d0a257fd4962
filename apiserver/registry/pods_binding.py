"""Binding a pod to a node: the scheduler's one write. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, meta

Object = dict[str, Any]


def check(binding: Object, name: str) -> None:
    """Refuse a Binding that names no node, or something else than a node. Raises StatusError."""
    target = binding.get("target") or {}
    problems = []
    if target.get("kind") not in (None, "", "Node"):
        problems.append(errors.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        problems.append(errors.required("target.name"))
    if problems:
        raise errors.invalid("Binding", name, problems)


def bound(pod: Object, binding: Object, now: str) -> Object:
    """`pod` (changed in place) bound to the node. Raises 409 where it cannot be any more."""
    name, spec, node = meta.name(pod), pod["spec"], binding["target"]["name"]
    uid = meta.uid(binding)
    if uid and uid != meta.uid(pod):
        raise errors.conflict(
            "pods/binding", name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(pod)}",
        )  # fmt: skip
    if meta.deletion_timestamp(pod):
        raise errors.conflict(
            "pods/binding", name, f"pod {name} is being deleted, cannot be assigned to a host"
        )
    if spec.get("nodeName"):
        raise errors.conflict(
            "pods/binding", name, f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        )
    if spec.get("schedulingGates"):
        raise errors.conflict("pods/binding", name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = node
    annotations = meta.annotations(binding)
    if annotations:
        pod["metadata"]["annotations"] = {**meta.annotations(pod), **annotations}
    status = pod.setdefault("status", {})
    condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    status["conditions"] = meta.set_condition(status.get("conditions") or (), condition, now)
    return pod
