"""The scale subresource: replicas of a workload as an autoscaling/v1 Scale. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, meta, selectors
from apimachinery.resources import Resource

Object = dict[str, Any]

KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def of(obj: Object) -> Object:
    """The Scale of a Deployment, ReplicaSet, StatefulSet or ReplicationController."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    selector = spec.get("selector") or {}
    if obj.get("kind") == "ReplicationController":
        text = str(selectors.from_map(selector))
    else:
        text = str(selectors.from_label_selector(selector))
    shown: Object = {"replicas": int(status.get("replicas") or 0)}
    if text:
        shown["selector"] = text
    wanted = spec.get("replicas")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in KEPT if key in obj["metadata"]},
        "spec": {"replicas": int(wanted)} if wanted else {},
        "status": shown,
    }


def scaled(obj: Object, scale: Object, resource: Resource) -> Object:
    """`obj` (changed in place) with the replicas of `scale`. Raises 409 or 422."""
    replicas = checked(obj, scale, resource)
    version = meta.resource_version(scale)
    if version:
        obj["metadata"]["resourceVersion"] = version
    obj["spec"]["replicas"] = replicas
    return obj


def checked(obj: Object, scale: Object, resource: Resource) -> int:
    """The replicas a Scale wants of `obj`. Raises 409 where it is about another object, 422 for less than none."""
    name = meta.name(obj)
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        problem = errors.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("Scale", name, [problem], "autoscaling")
    uid = meta.uid(scale)
    if uid and uid != meta.uid(obj):
        raise errors.conflict(
            resource.plural, name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(obj)}", resource.group,
        )  # fmt: skip
    return int(replicas)
