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
MAX_DEPTH = 500

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_STRING = "tag:yaml.org,2002:str"
_SEQUENCE = "tag:yaml.org,2002:seq"
_MAPPING = "tag:yaml.org,2002:map"
_UNQUOTED = "unquoted"
_CONVERTED = frozenset("tag:yaml.org,2002:" + name for name in ("int", "float", "bool", "null"))


class YAMLError(ValueError):
    """A document that cannot be read; worded `yaml: line 3: ...`."""


class _Loader(_Base):  # type: ignore[misc]
    """Composes nodes; marks unquoted scalars without a tag of their own, for `_scalar` to decide what they are."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _UNQUOTED if implicit[0] else _STRING
        return _MAPPING if kind is yaml.MappingNode else _SEQUENCE


class _Document:
    """One composed document on its way to plain values; notes keys that are written twice."""

    def __init__(self) -> None:
        self.duplicates: list[str] = []
        self._nodes = 0

    def value(self, node: yaml.Node, depth: int = 0) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise YAMLError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        return self._mapping(node, depth)

    def _mapping(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise YAMLError(f"yaml: line {key_node.start_mark.line + 1}: invalid map key")
            if key_node.value == "<<" and key_node.tag == _UNQUOTED:
                merged += value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                continue
            key = _key(key_node)
            if key in result:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'line {line}: key "{key}" already set in map')
            result[key] = self.value(value_node, depth + 1)
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                raise YAMLError("yaml: map merge requires map or sequence of maps as the value")
            for key, value in self._mapping(source, depth + 1).items():
                result.setdefault(key, value)
        return result


def _key(node: yaml.ScalarNode) -> str:
    value = _scalar(node)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.tag == _UNQUOTED or node.tag in _CONVERTED:
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


def _integer(text: str) -> int:
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
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def documents(source: bytes | str) -> Iterator[tuple[Any, list[str]]]:
    """Every document's value and the keys it repeats (`line 5: key "a" already set in map`). Raises YAMLError.

    Empty documents give None.
    """
    try:
        loader = _Loader(source)
    except yaml.YAMLError as error:
        raise _worded(error) from None
    try:
        while loader.check_node():
            node = loader.get_node()
            document = _Document()
            value = document.value(node) if node is not None else None
            yield value, document.duplicates
    except yaml.YAMLError as error:
        raise _worded(error) from None
    except RecursionError:
        raise YAMLError("yaml: exceeded max depth of 10000") from None
    finally:
        loader.dispose()


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
