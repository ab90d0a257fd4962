"""`x-kubernetes-validations`: CEL rules in schemas of custom resources (KEP-2876), with transition rules."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson

from apimachinery.cel import checker, cost, types
from apimachinery.cel.program import (
    CompilationError,
    EvaluationError,
    Program,
    compile_expression,
    optional_of,
)
from apimachinery.errors import FieldError, forbidden_field, invalid_value
from apimachinery.structural import celtypes, shape
from apimachinery.structural.celvalues import value as cel_value
from apimachinery.structural.values import ABSENT

Raw = dict[str, Any]
Errors = list[FieldError]

RULES = "x-kubernetes-validations"
#: The most that one rule may cost by estimate, and all rules of a schema together.
MOST_FOR_ONE = 10_000_000
MOST_FOR_ALL = 100_000_000
_NAMES = frozenset({"self", "oldSelf"})
_REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")


@lru_cache(maxsize=4096)
def _program(expression: str) -> Program:
    return compile_expression(expression.strip(), _NAMES)


def check(errs: Errors, raw: Raw, path: str) -> None:
    """Add what is wrong with the rules of a whole schema: those that do not compile, and those that cost too much."""
    total = _check(errs, raw, path, 1, root=True)
    if total > MOST_FOR_ALL:
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errs.append(forbidden_field(path, _too_costly(what, total, MOST_FOR_ALL)))


def _check(errs: Errors, raw: Raw, path: str, times: int, *, root: bool = False) -> int:
    """`times`: how often the value can be there in one object. Returns what all rules cost."""
    if not shape.any_with(raw, RULES):
        return 0
    total = 0
    for index, rule in enumerate(raw.get(RULES) or ()):
        total += _check_rule(errs, rule, raw, f"{path}.{RULES}[{index}]", times, root=root)
    for name, child in (raw.get("properties") or {}).items():
        total += _check(errs, child, f"{path}.properties[{name}]", times)
    for key, limit in (("items", "maxItems"), ("additionalProperties", "maxProperties")):
        below = raw.get(key)
        if isinstance(below, dict):
            most = raw.get(limit)
            often = times * (celtypes.items_at_most(below) if most is None else int(most))
            # Nothing can be there more often than a request has room for it.
            total += _check(errs, below, f"{path}.{key}", min(often, celtypes.items_at_most(below)))
    return total


def _check_rule(errs: Errors, rule: Raw, raw: Raw, here: str, times: int, *, root: bool) -> int:
    expression = rule.get("rule") or ""
    if not expression.strip():
        errs.append(invalid_value(f"{here}.rule", rule, "rule is not specified"))
        return 0
    found = len(errs)
    itself = celtypes.of(raw, root=root)
    before = types.optional_of(itself) if rule.get("optionalOldSelf") else itself
    variables = {"self": itself, "oldSelf": before}
    for key, wanted in (("rule", "bool"), ("messageExpression", "string")):
        if not rule.get(key):
            continue
        broken, result = checker.problems(rule[key].strip(), variables, (wanted,))
        if broken:
            errs.append(invalid_value(f"{here}.{key}", rule, f"compilation failed: {broken}"))
        elif result:
            start = "cel expression" if key == "rule" else "messageExpression"
            errs.append(invalid_value(f"{here}.{key}", rule, f"{start} must evaluate to a {result}"))
        else:
            try:
                _program(rule[key])
            except CompilationError as error:
                errs.append(invalid_value(f"{here}.{key}", rule, f"compilation failed: {error}"))
    if rule.get("reason") and rule["reason"] not in _REASONS:
        text = f"Unsupported value: {orjson.dumps(rule['reason']).decode()}: supported values: "
        text += ", ".join(f'"{reason}"' for reason in _REASONS)
        errs.append(FieldError(f"{here}.reason", "FieldValueNotSupported", text))
    if rule.get("message") and "\n" in rule["message"]:
        errs.append(invalid_value(f"{here}.message", rule["message"], "message must not contain line breaks"))
    if len(errs) > found:
        return 0
    spent = times * cost.most(checker.check(expression.strip(), variables))
    if spent > MOST_FOR_ONE:
        errs.append(forbidden_field(f"{here}.rule", _too_costly("estimated rule cost", spent, MOST_FOR_ONE)))
    return spent


def _too_costly(what: str, spent: int, most: int) -> str:
    factor = spent / most
    if factor > 100:
        by = "more than 100x"
    else:
        by = f"{factor:.6f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{what} exceeds budget by factor of {by} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )


def validate(
    errs: Errors, value: Any, raw: Raw, path: str = "", old: Any = ABSENT, *, root: bool = False
) -> None:
    """Add the rules that do not hold. `old` is what the value was; transition rules need it."""
    if not shape.any_with(raw, RULES):
        return
    rules = raw.get(RULES)
    if rules and value is not None:
        _apply(errs, value, raw, path, old, rules, root)
    if isinstance(value, dict):
        properties, values = raw.get("properties") or {}, raw.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            child = properties.get(key)
            if child is None and isinstance(values, dict):
                child = values
            if child is not None:
                validate(errs, item, child, f"{path}.{key}" if path else key, before.get(key, ABSENT))
    elif isinstance(value, list) and isinstance(raw.get("items"), dict):
        keys = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        found = {_key(item, keys): item for item in old} if keys and isinstance(old, list) else {}
        for index, item in enumerate(value):
            validate(errs, item, raw["items"], f"{path}[{index}]", found.get(_key(item, keys), ABSENT))


def _key(item: Any, keys: tuple[str, ...]) -> bytes:
    return orjson.dumps([item.get(key) for key in keys]) if isinstance(item, dict) else b""


def _whole(value: Any, root: bool) -> Any:
    """Of an object's metadata, rules see name and generateName."""
    if not root or not isinstance(value, dict):
        return value
    metadata = value.get("metadata") or {}
    kept = {key: metadata[key] for key in ("name", "generateName") if key in metadata}
    return {**value, "metadata": kept}


def _apply(errs: Errors, value: Any, raw: Raw, path: str, old: Any, rules: list[Raw], root: bool) -> None:
    variables: dict[str, Any] = {"self": cel_value(_whole(value, root), raw)}
    kind = str(raw.get("type") or "any")
    for rule in rules:
        try:
            program = _program(rule["rule"])
        except CompilationError as error:
            errs.append(invalid_value(path or "<nil>", kind, f"rule compile error: {error}"))
            continue
        transition = "oldSelf" in program.names
        optional = bool(rule.get("optionalOldSelf"))
        if transition:
            if old is ABSENT or old is None:
                if not optional:
                    continue
                variables["oldSelf"] = _optional(ABSENT)
            else:
                before = cel_value(_whole(old, root), raw)
                variables["oldSelf"] = _optional(before) if optional else before
        elif old is not ABSENT and old == value:
            continue  # what has not changed may stay wrong
        shown = rule.get("message") or rule["rule"].strip()
        try:
            holds = program.evaluate(variables)
        except EvaluationError as error:
            errs.append(invalid_value(path or "<nil>", kind, f"{error} evaluating rule: {shown}"))
            continue
        if holds is not True:
            errs.append(_failed(rule, variables, path, kind))


def _optional(value: Any) -> Any:
    return optional_of(None, present=False) if value is ABSENT else optional_of(value, present=True)


def _failed(rule: Raw, variables: dict[str, Any], path: str, kind: str) -> FieldError:
    message = (rule.get("message") or f"failed rule: {rule['rule'].strip()}").strip()
    if rule.get("messageExpression"):
        # Where it cannot be evaluated, the message or the rule itself says it, as in Kubernetes.
        with suppress(ValueError):
            found = _program(rule["messageExpression"]).evaluate(variables)
            if isinstance(found, str) and found.strip() and "\n" not in found:
                message = found.strip()
    reason = rule.get("reason") or "FieldValueInvalid"
    here = _joined(path, rule.get("fieldPath") or "") or "<nil>"
    text = {
        "FieldValueForbidden": f"Forbidden: {message}",
        "FieldValueRequired": f"Required value: {message}",
        "FieldValueDuplicate": f'Duplicate value: "{kind}"',
    }.get(reason)
    return FieldError(here, reason, text or f'Invalid value: "{kind}": {message}')


def _joined(path: str, field_path: str) -> str:
    for match in _STEP.finditer(field_path):
        if match[1] is not None:
            path = f"{path}.{match[1]}" if path else match[1]
        else:
            path = f"{path}[{match[2] if match[2] is not None else match[3]}]"
    return path
