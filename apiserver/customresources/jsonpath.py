"""The JSONPath of printer columns: fields, indices, slices, wildcards, `..` and simple filters. Pure.

find(compile_path(".status.conditions[?(@.type=='Ready')].status"), obj)
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_TOKEN = re.compile(
    r"""\.\.(?P<deep>[\w-]+|\*)
      | \.(?P<field>(?:\\.|[^.\[\]\\'"()])+)
      | \[(?P<index>-?\d+)\]
      | \[(?P<slice>-?\d*:-?\d*(?::-?\d+)?)\]
      | \[(?P<all>\*)\]
      | \[(?P<quoted>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")\]
      | \[\?\((?P<filter>(?:'[^']*'|"[^"]*"|[^'"\]])*?)\)\]""",
    re.VERBOSE,
)
_FILTER = re.compile(r"^\s*(?P<left>@[^=!<>]*?)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<right>.+?))?\s*$")


class Step(NamedTuple):
    kind: str
    value: Any


def compile_path(text: str) -> tuple[Step, ...]:
    """Raises ValueError for what is no path."""
    source = text.strip()
    if source.startswith("{") and source.endswith("}"):
        source = source[1:-1]
    source = source.removeprefix("$")
    if source and source[0] not in ".[":
        source = "." + source
    steps: list[Step] = []
    at = 0
    while at < len(source):
        if source[at:] == ".":
            break
        if source[at : at + 2] == ".[":
            at += 1
        match = _TOKEN.match(source, at)
        if match is None:
            raise ValueError(f"unrecognized character in action: {source[at:]!r}")
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    kind = str(match.lastgroup)
    text = match[kind]
    if kind == "field":
        return Step("all", None) if text == "*" else Step("field", re.sub(r"\\(.)", r"\1", text))
    if kind == "quoted":
        return Step("field", re.sub(r"\\(.)", r"\1", text[1:-1]))
    if kind == "index":
        return Step("index", int(text))
    if kind == "slice":
        parts = [int(part) if part else None for part in text.split(":")]
        return Step("slice", slice(*parts))
    if kind == "filter":
        found = _FILTER.match(text)
        if found is None:
            raise ValueError(f"unrecognized filter: {text!r}")
        left = compile_path(found["left"].removeprefix("@"))
        return Step("filter", (left, found["operator"], _operand(found["right"])))
    return Step(kind, text)


def _operand(text: str | None) -> Any:
    if text is None:
        return None
    if text[:1] in "'\"" and text[-1:] == text[:1]:
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def find(path: tuple[Step, ...], obj: Any) -> list[Any]:
    """All values at the path."""
    values = [obj]
    for step in path:
        values = [found for value in values for found in _follow(value, step)]
    return values


def _follow(value: Any, step: Step) -> list[Any]:
    kind, argument = step
    if kind == "field":
        return [value[argument]] if isinstance(value, dict) and argument in value else []
    if kind == "all":
        return _below(value)
    if kind == "deep":
        return _deep(value, argument)
    if not isinstance(value, list):
        return []
    if kind == "index":
        return [value[argument]] if -len(value) <= argument < len(value) else []
    if kind == "slice":
        found: list[Any] = value[argument]
        return found
    return [item for item in value if _holds(item, *argument)]


def _below(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _deep(value: Any, name: str) -> list[Any]:
    found: list[Any] = []
    pending = [value]
    while pending:
        item = pending.pop(0)
        if name == "*":
            found += _below(item)
        elif isinstance(item, dict) and name in item:
            found.append(item[name])
        pending += _below(item)
    return found


def _holds(item: Any, left: tuple[Step, ...], operator: str | None, right: Any) -> bool:
    found = find(left, item)
    if not found:
        return False
    value = found[0]
    if operator is None:
        return True
    if operator in ("==", "!="):
        return bool((value == right) == (operator == "=="))
    try:
        return bool(
            {"<": value < right, "<=": value <= right, ">": value > right, ">=": value >= right}[operator]
        )
    except TypeError:
        return False
