"""ValidatingAdmissionPolicies: the types of their expressions are checked as they are written; the status tells.

Pure but for the registry class at the end. What is wrong with types is a warning, as in Kubernetes: the objects of
another version may well have what those of this one lack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from apimachinery import schema
from apimachinery.resources import Resource
from apiserver.cacher import Cacher
from apiserver.registry.call import Backend
from apiserver.registry.registry import Registry

Object = dict[str, Any]
Schemas = Callable[[str, str, str], "tuple[str, schema.Schema] | None"]
"""(group, version, plural) -> the kind and its schema, None for what is not served."""

MOST_KINDS = 10


def _kinds(spec: Object, schemas: Schemas) -> Iterator[tuple[str, schema.Schema]]:
    """The kinds a policy names, as `apps/v1, Kind=Deployment`, with their schemas; wildcards name none."""
    found: dict[str, schema.Schema] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        named = [rule.get(key) or () for key in ("apiGroups", "apiVersions", "resources")]
        if any("*" in values for values in named):
            continue
        for group in named[0]:
            for version in named[1]:
                for plural in named[2]:
                    known = schemas(group, version, plural) if "/" not in plural else None
                    if known is not None:
                        place = f"{group}/{version}" if group else f"/{version}"
                        found[f"{place}, Kind={known[0]}"] = known[1]
    yield from sorted(found.items())[:MOST_KINDS]


def type_checking(spec: Object, schemas: Schemas, params: schema.Schema | None) -> Object:
    """The `typeChecking` of a policy's status."""
    from apimachinery.cel import checker, expressions
    from apimachinery.structural import celtypes

    scopes = []
    for name, node in _kinds(spec, schemas):
        kind = celtypes.of_schema(node)
        known = {"object": kind, "oldObject": kind}
        if params is not None:
            known["params"] = celtypes.of_schema(params)
        scopes.append((name, expressions.scope_of(spec, known)))
    warnings: list[Object] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for key in ("expression", "messageExpression"):
            expression = str(validation.get(key) or "").strip()
            problems = [
                f"{name}: {found}\n"
                for name, scope in (scopes if expression else ())
                if (found := checker.problems(expression, scope)[0])
            ]
            if problems:
                place = f"spec.validations[{index}].{key}"
                warnings.append({"fieldRef": place, "warning": "\n".join(problems)})
    return {"expressionWarnings": warnings} if warnings else {}


class ValidatingAdmissionPolicyRegistry(Registry):
    def __init__(self, resource: Resource, cacher: Cacher, backend: Backend) -> None:
        super().__init__(resource, cacher, backend)
        self.strategy = replace(
            self.strategy, prepare_create=self._prepare_create, prepare_update=self._prepare_update
        )

    def _prepare_create(self, new: Object) -> None:
        checked = self._type_checking(new.get("spec") or {})
        generation = new["metadata"].get("generation", 1)
        new["status"] = {"observedGeneration": generation, "typeChecking": checked}

    def _prepare_update(self, new: Object, old: Object) -> None:
        """Before the generation is counted on, so that a changed spec is one ahead."""
        if new.get("spec") == old.get("spec"):
            return
        generation = int(new["metadata"].get("generation") or 0) + 1
        checked = self._type_checking(new.get("spec") or {})
        new["status"] = {
            **(new.get("status") or {}),
            "observedGeneration": generation,
            "typeChecking": checked,
        }

    def _type_checking(self, spec: Object) -> Object:
        kind = spec.get("paramKind") or {}
        params = (
            self.backend.schema_of_kind(str(kind.get("apiVersion")), str(kind.get("kind"))) if kind else None
        )
        return type_checking(spec, self.backend.schema_of, params)
