"""Which variables the expressions of webhooks and policies know, and of which types. Pure.

The evaluator is loaded when an expression is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apimachinery.cel.types import Type

Object = dict[str, Any]

CONDITIONS = frozenset({"object", "oldObject", "request", "authorizer"})
_POLICY = CONDITIONS | {"namespaceObject", "variables"}


def of_policy(spec: Object) -> frozenset[str]:
    """The variables of an admission policy's expressions."""
    return _POLICY | {"params"} if spec.get("paramKind") is not None else _POLICY


@cache
def _request() -> Type:
    from apimachinery.cel.types import BOOL, DYN, STRING, list_of, map_of, object_of

    kind = object_of("kubernetes.GroupVersionKind", dict.fromkeys(("group", "version", "kind"), STRING))
    resource = object_of(
        "kubernetes.GroupVersionResource", dict.fromkeys(("group", "version", "resource"), STRING)
    )
    user = {
        "username": STRING,
        "uid": STRING,
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    }
    texts = dict.fromkeys(
        ("uid", "subResource", "requestSubResource", "name", "namespace", "operation"), STRING
    )
    fields = {
        **texts,
        "kind": kind,
        "requestKind": kind,
        "resource": resource,
        "requestResource": resource,
        "userInfo": object_of("kubernetes.UserInfo", user),
        "dryRun": BOOL,
        "options": DYN,
    }
    return object_of("kubernetes.AdmissionRequest", fields)


def conditions() -> dict[str, Type]:
    """The types of what matchConditions see: of the objects nothing is known."""
    from apimachinery.cel.declarations import opaque
    from apimachinery.cel.types import DYN

    return {
        "object": DYN,
        "oldObject": DYN,
        "request": _request(),
        "authorizer": opaque("Authorizer"),
    }


def scope_of(spec: Object, known: Mapping[str, Type] | None = None) -> dict[str, Type]:
    """The types of what a policy's expressions see; its variables have the types of their expressions.

    `known`: types of objects, where somebody has looked which kinds the policy is about.
    """
    from apimachinery.cel import checker
    from apimachinery.cel.syntax import SyntaxProblem
    from apimachinery.cel.types import DYN, object_of

    scope = {**conditions(), "namespaceObject": DYN}
    if spec.get("paramKind") is not None:
        scope["params"] = DYN
    scope |= known or {}
    variables: dict[str, Type] = {}
    for variable in spec.get("variables") or ():
        expression = str(variable.get("expression") or "").strip()
        within = {**scope, "variables": object_of("kubernetes.variables", dict(variables))}
        try:
            found = checker.check(expression, within).result if expression else DYN
        except SyntaxProblem:
            found = DYN
        variables[str(variable.get("name"))] = found
    return {**scope, "variables": object_of("kubernetes.variables", variables)}


def problem(expression: str, scope: Mapping[str, Type], results: tuple[str, ...] = ()) -> str:
    """Why an expression may not be, as the value's error continues; or empty. `results`: what it must come to."""
    from apimachinery.cel import checker
    from apimachinery.cel.program import CompilationError, compile_expression

    broken, result = checker.problems(expression.strip(), scope, results)
    if not broken:
        try:
            compile_expression(expression.strip(), frozenset(scope))
        except CompilationError as error:
            broken = str(error)
    if broken:
        return f"compilation failed: {broken}"
    return f"must evaluate to {result}" if result else ""
