"""The slow half of strict decoding: paths of unknown and repeated fields, and Go's words for syntax errors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from apimachinery.schema import Schema

#: So many problems are listed at most, as sigs.k8s.io/json does.
MAX_PROBLEMS = 100


class Pairs(list[tuple[str, Any]]):
    """A JSON object with all its keys, in order, also repeated ones."""


def parse_pairs(body: bytes) -> Any:
    """Valid JSON with objects as Pairs."""
    return json.loads(body, object_pairs_hook=Pairs)


def field_problems(value: Any, schema: Schema) -> list[str]:
    """`unknown field "spec.foo"` and `duplicate field "spec.bar"`, in the order of the document."""
    problems: list[str] = []
    _walk(value, schema, "", problems)
    return problems[:MAX_PROBLEMS]


def repeated_fields(value: Any) -> list[str]:
    """`duplicate field "spec.bar"` alone, where there is no schema to go by."""
    problems: list[str] = []
    _walk(value, None, "", problems)
    return problems[:MAX_PROBLEMS]


def _walk(value: Any, schema: Schema | None, path: str, problems: list[str]) -> None:
    """`schema` None: anything goes, but keys must be unique. Values of wrong types are not looked into."""
    if schema is not None and schema.preserve_unknown and not schema.fields:
        if schema.ref:
            return  # raw JSON within a built-in kind
        schema = None
    if isinstance(value, (Pairs, dict)):
        pairs: Iterable[tuple[str, Any]] = value if isinstance(value, Pairs) else value.items()
        seen: set[str] = set()
        for key, item in pairs:
            here = f"{path}.{key}" if path else key
            if key in seen:
                problems.append(f'duplicate field "{here}"')
            seen.add(key)
            child = None
            if schema is not None:
                child = schema.fields.get(key) or schema.values
                if child is None and not schema.preserve_unknown and schema.type == "object":
                    problems.append(f'unknown field "{here}"')
                    continue
            _walk(item, child, here, problems)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk(item, schema.items if schema is not None else None, f"{path}[{index}]", problems)


#: What orjson expected, and how Go says where it was.
_AFTER = {
    "expected ':'": "after object key",
    "content after document": "after top-level value",
    "',' or '}'": "after object key:value pair",
    "',' or ']'": "after array element",
}


def go_syntax_error(error: ValueError, body: bytes) -> str:
    """A JSON syntax error in the words of Go's encoding/json, as far as orjson tells."""
    position = getattr(error, "pos", None)
    text = str(error)
    if not body.strip():
        return "unexpected end of JSON input"
    if position is None or "UTF-8" in text or "recursion" in text:
        return text
    source = body.decode(errors="replace")
    if position >= len(source.rstrip()) or "EOF" in text or "unexpected end" in text:
        return "unexpected end of JSON input"
    character = source[position]
    shown = "'\\''" if character == "'" else f"'{character}'" if character.isprintable() else repr(character)
    before = source[:position].rstrip()[-1:]
    for hint, words in _AFTER.items():
        if hint in text:
            return f"invalid character {shown} {words}"
    if before == "{" or (before == "," and character in "}'"):
        where = "looking for beginning of object key string"
    else:
        where = "looking for beginning of value"
    return f"invalid character {shown} {where}"
