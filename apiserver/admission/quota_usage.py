"""What writes and all that exists count for in a ResourceQuota. Pure (the reader aside)."""

from __future__ import annotations

from apimachinery import quantities, resources
from apimachinery.quantities import Quantities
from apimachinery.quotausage import COMPUTE, in_scope, measures, usage
from apimachinery.resources import Resource
from apiserver.admission.plugin import Object
from apiserver.request import AdmissionRequest, Reader

_SPEC_CHARGED = {"Pod", "Service", "PersistentVolumeClaim"}


class MissingLimits(Exception):
    """A quota on compute resources needs every container to say how much; str() says which do not."""


def concerns(operation: str, resource: Resource) -> bool:
    """Whether such a write can change any usage: every creation, and updates of what is measured."""
    return operation == "CREATE" or resource.kind in _SPEC_CHARGED


def delta(request: AdmissionRequest, quota: Object, hard: set[str]) -> Quantities:
    """How a write changes the usage of a quota, without zeros. Raises MissingLimits."""
    obj = request.object
    assert obj is not None
    after: Quantities = {}
    if in_scope(request.resource, obj, quota):
        if request.resource.kind == "Pod" and not request.resource.group:
            _need_limits(obj, hard)
        after = usage(request.resource, obj)
    before: Quantities = {}
    if request.old_object is not None and in_scope(request.resource, request.old_object, quota):
        before = usage(request.resource, request.old_object)
    change = quantities.subtract(after, before)
    return {name: value for name, value in change.items() if name in hard and value.nano}


def _need_limits(pod: Object, hard: set[str]) -> None:
    wanted = {n for n in hard if n.startswith(("requests.", "limits.")) or n in COMPUTE}
    missing: dict[str, set[str]] = {}
    own = pod["spec"].get("resources") or {}
    for container in [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]:
        given = container.get("resources") or {}
        for name in wanted:
            kind, _, bare = name.partition(".") if "." in name else ("requests", "", name)
            if bare not in COMPUTE:  # extended resources need not be asked for
                continue
            if bare not in (given.get(kind) or {}) and bare not in (own.get(kind) or {}):
                missing.setdefault(name, set()).add(container["name"])
    if missing:
        parts = [f"{name} for: {','.join(sorted(names))}" for name, names in sorted(missing.items())]
        raise MissingLimits("must specify " + "; ".join(parts))


def total(reader: Reader, quota: Object, namespace: str, hard: set[str]) -> Quantities:
    """The usage of all that exists in a namespace, by the names in `hard`."""
    used: Quantities = {}
    for resource in resources.stored():
        if not resource.namespaced or not measures(resource, hard):
            continue
        for obj in reader.list(resource, namespace):
            if in_scope(resource, obj, quota):
                used = quantities.add(used, {n: v for n, v in usage(resource, obj).items() if n in hard})
    return used
