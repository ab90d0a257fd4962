"""Label selectors and field selectors: parsed once, matched often.

Texts such as `a=b,c in (d,e),!f`, the LabelSelector objects of specs, and field selectors `metadata.name=x`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apimachinery import names

EQUALS = "="
DOUBLE_EQUALS = "=="
NOT_EQUALS = "!="
IN = "in"
NOT_IN = "notin"
EXISTS = "exists"
DOES_NOT_EXIST = "!"
GREATER_THAN = "gt"
LESS_THAN = "lt"

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator` is one of the constants above, `values` sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        operator, value = self.operator, labels.get(self.key)
        if operator in (EQUALS, DOUBLE_EQUALS, IN):
            return value is not None and value in self.values
        if operator in (NOT_EQUALS, NOT_IN):
            return value is None or value not in self.values
        if operator == EXISTS:
            return value is not None
        if operator == DOES_NOT_EXIST:
            return value is None
        if value is None or not _INTEGER.fullmatch(value):
            return False
        wanted = int(self.values[0])
        return int(value) > wanted if operator == GREATER_THAN else int(value) < wanted

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return f"!{self.key}"
        if self.operator in (IN, NOT_IN):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        sign = {GREATER_THAN: ">", LESS_THAN: "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{self.values[0]}"


class Selector:
    """All of some requirements; none matches everything. `NOTHING` matches nothing."""

    __slots__ = ("_equal", "_rest", "nothing", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: (r.key, r.operator, r.values)))
        self.nothing = nothing
        # Nearly every selector is a handful of equalities: one dict look-up each.
        single = [
            r for r in self.requirements if r.operator in (EQUALS, DOUBLE_EQUALS, IN) and len(r.values) == 1
        ]
        self._equal = tuple((r.key, r.values[0]) for r in single)
        self._rest = tuple(r for r in self.requirements if r not in single)

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing:
            return False
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self._rest)

    @property
    def empty(self) -> bool:
        """True where it matches everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)

    def __repr__(self) -> str:
        return "Selector.NOTHING" if self.nothing else f"Selector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return self.requirements == other.requirements and self.nothing == other.nothing

    def __hash__(self) -> int:
        return hash((self.requirements, self.nothing))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)

_TOKEN = re.compile(r"\s*(==|!=|[=!,()<>]|[^\s=!,()<>]+)")


class _Tokens:
    """The words and signs of a selector's text, one look ahead."""

    __slots__ = ("_next", "_tokens")

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._next = 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._next += 1
        return token


_SIGNS = frozenset(["=", "==", "!=", "!", ",", "(", ")", "<", ">"])


def _is_word(token: str) -> bool:
    return bool(token) and token not in _SIGNS


def _key(token: str) -> str:
    problems = names.qualified_name(token)
    if problems:
        raise ValueError(f'key: Invalid value: "{token}": {"; ".join(problems)}')
    return token


def _value(key: str, token: str) -> str:
    problems = names.label_value(token)
    if problems:
        raise ValueError(f'values[0][{key}]: Invalid value: "{token}": {"; ".join(problems)}')
    return token


def _values(tokens: _Tokens) -> list[str]:
    if tokens.take() != "(":
        raise ValueError("found '', expected: '('")
    values: list[str] = []
    word = ""
    while True:
        token = tokens.take()
        if token == "":
            raise ValueError("found '', expected: ',' or ')'")
        if token in (",", ")"):
            values.append(word)
            word = ""
            if token == ")":
                return values
        elif _is_word(token) and not word:
            word = token
        else:
            raise ValueError(f"found '{token}', expected: ',', or ')'")


def _requirement(tokens: _Tokens) -> Requirement:
    token = tokens.take()
    if token == "!":
        key = tokens.take()
        if not _is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        return Requirement(_key(key), DOES_NOT_EXIST)
    if not _is_word(token):
        raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
    key = _key(token)
    following = tokens.peek()
    if following in ("", ","):
        return Requirement(key, EXISTS)
    operator = tokens.take()
    if operator in (IN, NOT_IN):
        values = tuple(sorted({_value(key, v) for v in _values(tokens)}))
        return Requirement(key, operator, values)
    if operator in (EQUALS, DOUBLE_EQUALS, NOT_EQUALS):
        value = tokens.take() if _is_word(tokens.peek()) else ""
        return Requirement(key, operator, (_value(key, value),))
    if operator in ("<", ">"):
        value = tokens.take() if _is_word(tokens.peek()) else ""
        if not _INTEGER.fullmatch(value):
            raise ValueError(
                f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            )
        return Requirement(key, GREATER_THAN if operator == ">" else LESS_THAN, (value,))
    raise ValueError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> Selector:
    """The selector written as `text`; empty selects everything. Raises ValueError with Kubernetes's message."""
    tokens = _Tokens(text)
    if not tokens.peek():
        return EVERYTHING
    requirements = []
    try:
        while True:
            requirements.append(_requirement(tokens))
            following = tokens.take()
            if following == "":
                break
            if following != ",":
                raise ValueError(f"found '{following}', expected: ',' or 'end of string'")
            if not tokens.peek():
                raise ValueError("found '', expected: identifier after ','")
    except ValueError as error:
        raise ValueError(f"unable to parse requirement: {error}") from None
    return Selector(requirements)


_EXPRESSION_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """The selector of a LabelSelector object: none selects nothing, `{}` everything. Raises ValueError."""
    if selector is None:
        return NOTHING
    requirements = [
        Requirement(key, EQUALS, (value,)) for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = _EXPRESSION_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise ValueError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        values = tuple(sorted(set(expression.get("values") or ())))
        requirements.append(Requirement(expression.get("key", ""), operator, values))
    return Selector(requirements) if requirements else EVERYTHING


def from_map(labels: Mapping[str, str]) -> Selector:
    """The selector of a plain map, as Services and ReplicationControllers have; empty selects everything."""
    return Selector(Requirement(key, EQUALS, (value,)) for key, value in labels.items())


FieldRequirement = tuple[str, str, str]


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> tuple[FieldRequirement, ...]:
    r"""Field conditions as (path, `=` or `!=`, value). `\` escapes `,`, `=` and `\` in values. Raises ValueError."""
    result = []
    for term in _split_terms(text):
        if not term:
            continue
        match = _FIELD_TERM.fullmatch(term)
        if match is None:
            raise ValueError(f"invalid selector: '{term}'; can't understand '{term}'")
        path, operator, value = match.groups()
        result.append((path, NOT_EQUALS if operator == NOT_EQUALS else EQUALS, _unescape(value)))
    return tuple(result)


_FIELD_TERM = re.compile(r"([^=!\\]*?)(==|!=|=)((?:.|\n)*)")


def _split_terms(text: str) -> list[str]:
    terms, current, escaped = [], "", False
    for char in text:
        if escaped:
            current += char
            escaped = False
        elif char == "\\":
            current += char
            escaped = True
        elif char == ",":
            terms.append(current)
            current = ""
        else:
            current += char
    terms.append(current)
    return terms


def _unescape(value: str) -> str:
    if "\\" not in value and "=" not in value:
        return value
    result, escaped = "", False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{char} in {value}")
            result += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise ValueError(f"invalid field selector: unescaped {char} in {value}")
        else:
            result += char
    if escaped:
        raise ValueError(f"invalid field selector: trailing \\ in {value}")
    return result


def escape_field(value: str) -> str:
    """A value as it must be written in a field selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def matches_fields(requirements: Iterable[FieldRequirement], fields: Mapping[str, str]) -> bool:
    """Whether selectable `fields` (path → value; missing reads as empty) satisfy all requirements."""
    return all(
        (fields.get(path, "") == value) is (operator == EQUALS) for path, operator, value in requirements
    )
