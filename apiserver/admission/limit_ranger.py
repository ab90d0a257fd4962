"""LimitRanger: a namespace's LimitRanges fill in containers' resources and bound what pods and claims ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from apimachinery import quantities, resources
from apimachinery.quantity import Quantity
from apimachinery.resources import Resource
from apiserver.admission.plugin import Object, Plugin, Step, forbid
from apiserver.request import AdmissionRequest, Reader

LIMIT_RANGES = resources.get("limitranges")
ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger(Plugin):
    name = "LimitRanger"

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def mutator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        return self._default if (resource.kind, operation, subresource) == ("Pod", "CREATE", "") else None

    def validator(self, operation: str, resource: Resource, subresource: str) -> Step | None:
        if resource.kind == "Pod" and (operation, subresource) in (("CREATE", ""), ("UPDATE", "resize")):
            return self._check
        if resource.kind == "PersistentVolumeClaim" and operation in ("CREATE", "UPDATE") and not subresource:
            return self._check
        return None

    def _limits(self, namespace: str) -> Iterator[Object]:
        for limit_range in self._reader.list(LIMIT_RANGES, namespace):
            yield from (limit_range.get("spec") or {}).get("limits") or ()

    def _default(self, request: AdmissionRequest) -> None:
        pod = request.object
        assert pod is not None
        filled = []
        for limit in self._limits(request.namespace):
            if limit.get("type") == "Container":
                filled += _fill(pod["spec"], limit)
        if filled:
            annotations = dict(pod["metadata"].get("annotations") or {})
            annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(filled)
            pod["metadata"]["annotations"] = annotations

    def _check(self, request: AdmissionRequest) -> None:
        obj = request.object
        assert obj is not None
        problems: list[str] = []
        for limit in self._limits(request.namespace):
            if request.resource.kind == "PersistentVolumeClaim":
                if limit.get("type") == "PersistentVolumeClaim":
                    asked = quantities.parse((obj["spec"].get("resources") or {}).get("requests"))
                    problems += _claim_problems(limit, asked)
            elif limit.get("type") == "Container":
                for container in [
                    *(obj["spec"].get("containers") or ()),
                    *(obj["spec"].get("initContainers") or ()),
                ]:
                    own = container.get("resources") or {}
                    problems += _problems(
                        limit, quantities.parse(own.get("requests")), quantities.parse(own.get("limits"))
                    )
            elif limit.get("type") == "Pod":
                problems += _problems(
                    limit,
                    quantities.pod_total(obj["spec"], "requests"),
                    quantities.pod_total(obj["spec"], "limits"),
                )
        if problems:
            raise forbid(request, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


def _fill(spec: Object, limit: Object) -> list[str]:
    """Set what containers do not say; returns what was set, for the annotation."""
    filled = []
    for field, kind in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            for key, source, word in (
                ("limits", "default", "limit"),
                ("requests", "defaultRequest", "request"),
            ):
                defaults = limit.get(source) or {}
                own = (container.get("resources") or {}).get(key) or {}
                missing = {name: value for name, value in defaults.items() if name not in own}
                if missing:
                    container["resources"] = {**(container.get("resources") or {}), key: {**own, **missing}}
                    filled.append(f"{', '.join(sorted(missing))} {word} for {kind} {container['name']}")
    return sorted(filled, key=lambda text: " request for " not in text)


def _problems(limit: Object, requests: quantities.Quantities, limits: quantities.Quantities) -> Iterator[str]:
    kind = limit["type"]
    for name, text in sorted((limit.get("min") or {}).items()):
        bound = Quantity.parse(str(text))
        yield from _bound(
            "minimum", name, kind, bound, requests.get(name), limits.get(name), lambda v, b: v < b
        )
    for name, text in sorted((limit.get("max") or {}).items()):
        bound = Quantity.parse(str(text))
        yield from _bound(
            "maximum", name, kind, bound, requests.get(name), limits.get(name), lambda v, b: v > b
        )
    for name, text in sorted((limit.get("maxLimitRequestRatio") or {}).items()):
        ratio = Quantity.parse(str(text))
        request, own_limit = requests.get(name), limits.get(name)
        rule = f"{name} max limit to request ratio per {kind} is {ratio}"
        if request is None or request.milli() == 0:
            yield f"{rule}, but no request is specified or request is 0"
        elif own_limit is None or own_limit.milli() == 0:
            yield f"{rule}, but no limit is specified or limit is 0"
        elif own_limit.milli() * 1000 > ratio.milli() * request.milli():
            yield f"{rule}, but provided ratio is {own_limit.milli() / request.milli():.6f}"


def _bound(
    word: str,
    name: str,
    kind: str,
    bound: Quantity,
    request: Quantity | None,
    limit: Quantity | None,
    beyond: Callable[[Quantity, Quantity], bool],
) -> Iterator[str]:
    """A minimum needs a request, a maximum a limit; either that is given must keep to the bound."""
    rule = f"{word} {name} usage per {kind} is {bound}"
    if word == "minimum":
        if request is None:
            yield f"{rule}.  No request is specified"
        elif beyond(request, bound):
            yield f"{rule}, but request is {request}"
        elif limit is not None and beyond(limit, bound):
            yield f"{rule}, but limit is {limit}"
    elif limit is None:
        yield f"{rule}.  No limit is specified"
    elif beyond(limit, bound):
        yield f"{rule}, but limit is {limit}"
    elif request is not None and beyond(request, bound):
        yield f"{rule}, but request is {request}"


def _claim_problems(limit: Object, asked: quantities.Quantities) -> Iterator[str]:
    for word, key in (("minimum", "min"), ("maximum", "max")):
        for name, text in sorted((limit.get(key) or {}).items()):
            bound = Quantity.parse(str(text))
            given = asked.get(name)
            rule = f"{word} {name} usage per PersistentVolumeClaim is {bound}"
            if given is None:
                yield f"{rule}.  No request is specified"
            elif given < bound if word == "minimum" else given > bound:
                yield f"{rule}, but request is {given}"
