"""The scale subresource of custom resources: replicas and selector are where the definition's paths say. Pure."""

from __future__ import annotations

from typing import Any

from apimachinery import errors, meta
from apimachinery.resources import Resource
from apiserver.registry import scale

Object = dict[str, Any]


def _steps(path: str) -> list[str]:
    return [step for step in path.split(".") if step]


def _at(obj: Object, path: str) -> Any:
    found: Any = obj
    for step in _steps(path):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def of(obj: Object, paths: Object) -> Object:
    """The autoscaling/v1 Scale of an object."""
    replicas = _at(obj, paths.get("specReplicasPath", ""))
    if replicas is None:
        shown = f'the spec replicas field "{paths.get("specReplicasPath", "")}" does not exist'
        raise errors.internal(shown)
    status: Object = {"replicas": int(_at(obj, paths.get("statusReplicasPath", "")) or 0)}
    selector = _at(obj, paths.get("labelSelectorPath") or "") if paths.get("labelSelectorPath") else None
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in scale.KEPT if key in obj["metadata"]},
        "spec": {"replicas": int(replicas)} if replicas else {},
        "status": status,
    }


def scaled(obj: Object, wanted: Object, resource: Resource, paths: Object) -> Object:
    """`obj` (changed in place) with the replicas of `wanted`. Raises 409 or 422."""
    replicas = scale.checked(obj, wanted, resource)
    version = meta.resource_version(wanted)
    if version:
        obj["metadata"]["resourceVersion"] = version
    _put(obj, _steps(paths.get("specReplicasPath", "")), replicas)
    return obj


def statement(replicas: int | None, paths: Object) -> Object:
    """What an apply of a Scale states of the object."""
    stated: Object = {}
    if replicas is not None:
        _put(stated, _steps(paths.get("specReplicasPath", "")), replicas)
    return stated


def _put(obj: Object, steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        obj = obj.setdefault(step, {})
    obj[steps[-1]] = value
