"""Objects for validation tests: a valid one of each sort, and a way to change it by dotted paths."""

from __future__ import annotations

import copy
from typing import Any

from apimachinery import defaults, resources, validation

Object = dict[str, Any]
REMOVED = object()

META = {"name": "x", "namespace": "default"}
POD: Object = {
    "metadata": META,
    "spec": {
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "name": "web"}]}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    },
}
TEMPLATE: Object = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
WORKLOAD: Object = {"metadata": META, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
JOB_TEMPLATE: Object = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}


def changed(obj: Object, changes: Object) -> Object:
    """A copy with values set at paths such as `spec.containers.0.name`; REMOVED takes a field away."""
    result = copy.deepcopy(obj)
    for path, value in changes.items():
        *parents, last = path.split(".")
        target: Any = result
        for part in parents:
            target = target[int(part)] if part.isdigit() else target.setdefault(part, {})
        if value is REMOVED:
            del target[last]
        elif isinstance(target, list):
            index = int(last)
            target[index : index + 1] = [copy.deepcopy(value)]
        else:
            target[last] = copy.deepcopy(value)
    return result


def defaulted(plural: str, obj: Object, group: str = "") -> tuple[resources.Resource, Object]:
    resource = resources.get(plural, group)
    result = {"apiVersion": resource.api_version, "kind": resource.kind, **copy.deepcopy(obj)}
    if not resource.namespaced:
        result["metadata"].pop("namespace", None)
    defaults.apply(resource, result)
    return resource, result


def create_errors(plural: str, obj: Object, group: str = "") -> list[str]:
    resource, result = defaulted(plural, obj, group)
    return [str(error) for error in validation.create(resource, result)]


def update_errors(plural: str, new: Object, old: Object, group: str = "") -> list[str]:
    resource, after = defaulted(plural, new, group)
    _, before = defaulted(plural, old, group)
    return [str(error) for error in validation.update(resource, after, before)]


def assert_says(errors: list[str], error: str) -> None:
    """The first error starts so."""
    assert errors and errors[0].startswith(error), errors
