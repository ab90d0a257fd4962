"""Validation of when a Job has failed and when it has succeeded, by policies of its own."""

from __future__ import annotations

from typing import Any

from apimachinery import names
from apimachinery.errors import duplicate, invalid_value, required, too_long, too_many
from apimachinery.validation.fields import Errors, checked, enum, not_negative, required_enum

Object = dict[str, Any]

_RULES_MAX = 20
_PATTERNS_MAX = 20
_EXIT_CODES_MAX = 255
_INDEXES_TEXT_MAX = 64 * 1024
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def failure_policy(errs: Errors, path: str, policy: Object, spec: Object) -> None:
    """The podFailurePolicy of a Job with `spec`."""
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {c.get("name") for f in ("containers", "initContainers") for c in pod.get(f) or ()}
    rules = policy.get("rules") or []
    if len(rules) > _RULES_MAX:
        errs.append(too_many(f"{path}.rules", len(rules), _RULES_MAX))
    for i, rule in enumerate(rules):
        here, action = f"{path}.rules[{i}]", rule.get("action") or ""
        if not action:
            listed = " ".join(f'"{name}"' for name in _ACTIONS)
            errs.append(required(f"{here}.action", f"valid values: [{listed}]"))
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            text = "requires the backoffLimitPerIndex to be set"
            errs.append(invalid_value(f"{here}.action", action, text))
        else:
            enum(errs, f"{here}.action", action, _ACTIONS)
        codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            _exit_codes(errs, f"{here}.onExitCodes", codes, containers)
        if patterns:
            _patterns(errs, f"{here}.onPodConditions", patterns)
        if codes is not None and patterns:
            text = "specifying both OnExitCodes and OnPodConditions is not supported"
            errs.append(invalid_value(here, rule, text))
        elif codes is None and not patterns:
            text = "specifying one of OnExitCodes and OnPodConditions is required"
            errs.append(invalid_value(here, rule, text))


def _exit_codes(errs: Errors, path: str, codes: Object, containers: set[Any]) -> None:
    operator, values = codes.get("operator") or "", codes.get("values") or []
    required_enum(errs, f"{path}.operator", operator, ("In", "NotIn"))
    if codes.get("containerName") is not None and codes["containerName"] not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        errs.append(invalid_value(f"{path}.containerName", codes["containerName"], text))
    here = f"{path}.values"
    if not values:
        errs.append(invalid_value(here, values, "at least one value is required"))
    elif len(values) > _EXIT_CODES_MAX:
        errs.append(too_many(here, len(values), _EXIT_CODES_MAX))
    seen: set[int] = set()
    for i, value in enumerate(values):
        if value in seen:
            errs.append(duplicate(f"{here}[{i}]", value))
        elif operator == "In" and value == 0:
            errs.append(invalid_value(f"{here}[{i}]", value, "must not be 0 for the In operator"))
        seen.add(value)
    if values != sorted(values):
        errs.append(invalid_value(here, values, "must be ordered"))


def _patterns(errs: Errors, path: str, patterns: Any) -> None:
    if len(patterns) > _PATTERNS_MAX:
        errs.append(too_many(path, len(patterns), _PATTERNS_MAX))
    for i, pattern in enumerate(patterns):
        here = f"{path}[{i}]"
        checked(errs, f"{here}.type", pattern.get("type") or "", names.qualified_name)
        required_enum(errs, f"{here}.status", pattern.get("status"), ("False", "True", "Unknown"))


def success_policy(errs: Errors, path: str, policy: Object, spec: Object) -> None:
    """The successPolicy of an indexed Job with `spec`."""
    rules = policy.get("rules") or []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        errs.append(required(f"{path}.rules", text))
    if len(rules) > _RULES_MAX:
        errs.append(too_many(f"{path}.rules", len(rules), _RULES_MAX))
    for i, rule in enumerate(rules):
        _success_rule(errs, f"{path}.rules[{i}]", rule, spec.get("completions") or 0)


def _success_rule(errs: Errors, path: str, rule: Object, completions: int) -> None:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        errs.append(required(path, text))
    total = 0
    if indexes is not None:
        here = f"{path}.succeededIndexes"
        if len(indexes) > _INDEXES_TEXT_MAX:
            errs.append(too_long(here, _INDEXES_TEXT_MAX))
        try:
            total = _total(indexes, completions)
        except ValueError as error:
            errs.append(invalid_value(here, indexes, f"error parsing succeededIndexes: {error}"))
    if count is None:
        return
    here = f"{path}.succeededCount"
    not_negative(errs, here, count)
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        errs.append(invalid_value(here, count, text))
    if indexes is not None and count > total:
        text = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        errs.append(invalid_value(here, count, text))


def _total(text: str, completions: int) -> int:
    """How many indexes a list of intervals such as `0-3,5` names. Raises ValueError."""
    total, last = 0, -1
    for fragment in text.split(",") if text else ():
        parts = fragment.split("-")
        if len(parts) > 2:
            raise ValueError(
                f'the fragment "{fragment}" violates the requirement that an index interval can have at most two '
                "parts separated by '-'"
            )
        numbers = []
        for part in parts:
            if not (part.isascii() and part.isdecimal()) or len(part) > 10:
                raise ValueError(f'cannot convert string to integer for index: "{part}"')
            number = int(part)
            if number >= completions:
                raise ValueError(f'too large index: "{part}"')
            if number <= last:
                raise ValueError(f"non-increasing order, previous: {last}, current: {number}")
            last = number
            numbers.append(number)
        total += numbers[-1] - numbers[0] + 1
    return total
