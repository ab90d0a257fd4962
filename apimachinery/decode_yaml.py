"""YAML as Kubernetes reads it: every document is a value JSON could hold.

Differs from PyYAML's own reading where Go's does: times stay strings, `1e3` is a number, `12:30` is not, keys
become strings. Aliases are copied out, within bounds. Also the CLI's reader of manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

#: Bounds of one document after its aliases are copied out.
MAX_NODES = 1_000_000
MAX_DEPTH = 250

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_CONVERTED = frozenset("tag:yaml.org,2002:" + name for name in ("int", "float", "bool", "null"))


class YAMLError(ValueError):
    """A document that cannot be read; worded `yaml: line 3: ...`."""


class _Document:
    """One document, built from the parser's events (which nest no call, however deep the text nests)."""

    def __init__(self, parser: Any) -> None:
        self._event = parser.get_event
        self._anchors: dict[str, Any] = {}
        self._nodes = 0
        #: Keys that are written twice.
        self.duplicates: list[str] = []

    def value(self, event: Any, depth: int = 0) -> Any:
        """The value that starts with `event`."""
        self._count(depth)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise YAMLError(f"yaml: unknown anchor '{event.anchor}' referenced")
            return self._copy(self._anchors[event.anchor], depth)
        if isinstance(event, yaml.ScalarEvent):
            result = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            result = []
            while not isinstance(item := self._event(), yaml.SequenceEndEvent):
                result.append(self.value(item, depth + 1))
        else:
            result = self._mapping(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = result
        return result

    def _mapping(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[Any] = []
        while not isinstance(event := self._event(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]
            key = self.value(event, depth + 1)
            value = self.value(self._event(), depth + 1)
            if merge:
                merged += value if isinstance(value, list) else [value]
                continue
            name = _key(key, line)
            if name in result:
                self.duplicates.append(f'line {line}: key "{name}" already set in map')
            result[name] = value
        for source in merged:
            if not isinstance(source, dict):
                raise YAMLError("yaml: map merge requires map or sequence of maps as the value")
            for name, value in source.items():
                result.setdefault(name, value)
        return result

    def _copy(self, value: Any, depth: int) -> Any:
        self._count(depth)
        if isinstance(value, dict):
            return {key: self._copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copy(item, depth + 1) for item in value]
        return value

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise YAMLError("yaml: document contains excessive aliasing")
        if depth > MAX_DEPTH:
            raise YAMLError(f"yaml: exceeded max depth of {MAX_DEPTH}")


def _key(value: Any, line: int) -> str:
    if isinstance(value, (dict, list)):
        raise YAMLError(f"yaml: line {line}: invalid map key")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.implicit[0] or event.tag in _CONVERTED:
        return plain_scalar(text)
    return text


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar stands for: null, a bool, a number, or itself."""
    if text in _NULL:
        return None
    first = text[0]
    if first in "0123456789+-.":
        if _INT.fullmatch(text):
            return _integer(text)
        if _FLOAT.fullmatch(text):
            return _float(text)
    elif text in _TRUE:
        return True
    elif text in _FALSE:
        return False
    return text


def _integer(text: str) -> int | float:
    """A whole number; one that 64 bits cannot hold is a float, as it is in JSON."""
    value = _whole(text)
    if -(2**63) <= value < 2**64:
        return value
    try:
        return float(value)
    except OverflowError:
        raise YAMLError(f"yaml: unsupported value: {text[:40]}") from None


def _whole(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits[0] == "-" else 1
    digits = digits.lstrip("+-")
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if digits.startswith(prefix):
            return sign * int(digits[2:], base)
    return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)


def _float(text: str) -> Any:
    plain = text.replace("_", "").lower()
    if plain.lstrip("+-") in (".inf", ".nan"):
        raise YAMLError(f"yaml: unsupported value: {text}")
    value = float(plain)
    if value in (float("inf"), float("-inf")):
        raise YAMLError(f"yaml: unsupported value: {text}")
    # As JSON a whole float reads like an integer.
    return int(value) if value.is_integer() and -(2.0**63) <= value < 2.0**64 else value


def documents(source: bytes | str) -> Iterator[tuple[Any, list[str]]]:
    """Every document's value and the keys it repeats (`line 5: key "a" already set in map`). Raises YAMLError.

    Empty documents give None.
    """
    try:
        parser = _Base(source)
    except yaml.YAMLError as error:
        raise _worded(error) from None
    try:
        while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                document = _Document(parser)
                value = document.value(parser.get_event())
                yield value, document.duplicates
    except yaml.YAMLError as error:
        raise _worded(error) from None
    finally:
        parser.dispose()


def load_one(source: bytes | str) -> tuple[Any, list[str]]:
    """The first document, and its repeated keys as one strict-decoding problem. Raises YAMLError."""
    for value, duplicates in documents(source):
        if duplicates:
            return value, ["yaml: unmarshal errors:\n  " + "\n  ".join(duplicates)]
        return value, []
    return None, []


def _worded(error: yaml.YAMLError) -> YAMLError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return YAMLError(f"yaml: {problem}")
    return YAMLError(f"yaml: line {mark.line + 1}: {problem}")
