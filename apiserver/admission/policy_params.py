"""The params of admission policies: the objects a binding refers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apimachinery import resources
from apimachinery.resources import Resource
from apiserver.admission import webhook_rules
from apiserver.registry.registries import Registries

Object = dict[str, Any]


class ParamMissing(Exception):
    """There are no params and the binding says that this is to be refused."""


def params_of(
    registries: Registries, policy: Object, binding: Object, namespace: str
) -> Sequence[Object | None]:
    """The params to evaluate a policy with, one after the other; [None] where it has none. Raises ParamMissing."""
    kind, reference = policy["spec"].get("paramKind"), binding["spec"].get("paramRef")
    if kind is None or reference is None:
        return [None]
    resource = _resource(registries, kind)
    if resource is None:
        raise ParamMissing(f"failed to find resource referenced by paramKind: '{_shown(kind)}'")
    where = ""
    if resource.namespaced:
        where = reference.get("namespace") or namespace
        if not where:
            raise ParamMissing(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    found: list[Object] = []
    if reference.get("name"):
        one = registries.get(resource, where, reference["name"])
        found = [one] if one is not None else []
    else:
        for obj in registries.list(resource, where):
            if webhook_rules.selects(reference.get("selector"), obj["metadata"].get("labels")):
                found.append(obj)
    if not found:
        if reference.get("parameterNotFoundAction") == "Allow":
            return []
        raise ParamMissing("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _resource(registries: Registries, kind: Object) -> Resource | None:
    wanted = (kind.get("apiVersion"), kind.get("kind"))
    built_in = resources.by_kind(str(wanted[0]), str(wanted[1]))
    if built_in is not None:
        return built_in
    return next((r for r in registries.custom() if (r.api_version, r.kind) == wanted), None)


def _shown(kind: Object) -> str:
    return f"{kind.get('apiVersion')}, Kind={kind.get('kind')}"
