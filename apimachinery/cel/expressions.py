"""Which variables the expressions of webhooks and policies know. Pure; the evaluator is loaded when one is compiled."""

from __future__ import annotations

from typing import Any

CONDITIONS = frozenset({"object", "oldObject", "request", "authorizer"})
_POLICY = CONDITIONS | {"namespaceObject", "variables"}


def of_policy(spec: dict[str, Any]) -> frozenset[str]:
    """The variables of an admission policy's expressions."""
    return _POLICY | {"params"} if spec.get("paramKind") is not None else _POLICY


def problem(expression: str, known: frozenset[str]) -> str:
    """Why an expression does not compile, or empty."""
    from apimachinery.cel.program import CompilationError, compile_expression

    try:
        compile_expression(expression.strip(), known)
    except CompilationError as error:
        return str(error)
    return ""
