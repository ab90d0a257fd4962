"""Syntax of Kubernetes's CEL that the evaluating package lacks, rewritten into calls it can make. Pure.

`a.?b.c` and `a[?k]` become calls of `optionalField_`, `cel.bind` a map over one element, functions with a namespace
(`math.greatest`) plain ones (`math_greatest`), and messages (`Object{spec: ...}`, `JSONPatch{...}`) maps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>[bB]?[rR]?(?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>\.\?|\[\?|&&|\|\||[<>=!]=|.)""",
    re.VERBOSE,
)
_NAMESPACES = frozenset({"base64", "format", "ip", "jsonpatch", "lists", "math", "sets", "strings"})
_MESSAGES = frozenset({"Object", "JSONPatch"})
_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map", "optMap", "optFlatMap"})
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_WORD_LIST = (
    "true false null in int uint double bool string bytes list map type null_type dyn optional google"
)
_WORDS = frozenset(_WORD_LIST.split())
_WORD_KINDS = ("ident", "number", "string")
OPTIONAL_FIELD = "optionalField_"
#: Functions the package has too, otherwise than we want them: its sizes of strings are in bytes.
OURS = {name: f"{name}_" for name in ("bool", "matches", "max", "min", "size", "string")}


@dataclass(slots=True)
class Rewritten:
    """The expression to evaluate; the names it takes from outside, the functions it calls, the fields it selects.

    `fields` are chains of plain selections from a name: `self.a.b` is ("self", "a", "b").
    """

    text: str
    names: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    fields: set[tuple[str, ...]] = field(default_factory=set)


def rewrite(expression: str) -> Rewritten:
    """Raises ValueError where brackets do not match."""
    tokens = [
        (str(match.lastgroup), match[0])
        for match in _TOKEN.finditer(expression)
        if match.lastgroup != "space"
    ]
    result = Rewritten("")
    result.text = _Rewriter(tokens, result).run(0, len(tokens), frozenset())
    return result


class _Rewriter:
    def __init__(self, tokens: list[tuple[str, str]], result: Rewritten) -> None:
        self._tokens = tokens
        self._result = result

    def run(self, at: int, end: int, bound: frozenset[str]) -> str:
        """The tokens from `at` to `end` as text. `bound` are the variables of macros around them."""
        out: list[str] = []
        optional = False  # within a chain after an optional selection
        while at < end:
            kind, text = self._tokens[at]
            if kind in _WORD_KINDS and self._kind(at - 1) in _WORD_KINDS:
                out.append(" ")
            if text == ".?":
                out.append(f'.{OPTIONAL_FIELD}("{self._text(at + 1)}")')
                at, optional = at + 2, True
            elif text in ("[?", "[") and self._closes_value(at, text):
                close = self._close(at, "[")
                inner = self.run(at + 1, close, bound)
                optional = optional or text == "[?"
                out.append(f".{OPTIONAL_FIELD}({inner})" if optional else f"[{inner}]")
                at = close + 1
            elif text == "." and self._kind(at + 1) == "ident":
                at, optional = self._member(out, at, end, bound, optional)
            elif kind == "ident":
                at = self._name(out, at, end, bound)
                optional = False
            elif text in _CLOSING:
                close = self._close(at, text)
                out += [text, self.run(at + 1, close, bound), _CLOSING[text]]
                at, optional = close + 1, False
            else:
                out.append(text if kind != "mark" or text in ".," else f" {text} ")
                at, optional = at + 1, False
        return "".join(out)

    def _member(
        self, out: list[str], at: int, end: int, bound: frozenset[str], optional: bool
    ) -> tuple[int, bool]:
        """`.name` or `.name(...)`; gives where it ends, and whether the chain stays optional."""
        name = self._text(at + 1)
        if self._text(at + 2) != "(":
            out.append(f'.{OPTIONAL_FIELD}("{name}")' if optional else f".{name}")
            return at + 2, optional
        self._result.functions.add(name)
        close = self._close(at + 2, "(")
        out.append(f".{OURS.get(name, name)}({self._arguments(name, at + 3, close, bound)})")
        return close + 1, False

    def _arguments(self, name: str, at: int, end: int, bound: frozenset[str]) -> str:
        if name in _MACROS and self._kind(at) == "ident" and self._text(at + 1) == ",":
            variable = self._text(at)
            return f"{variable}, {self.run(at + 2, end, bound | {variable})}"
        return self.run(at, end, bound)

    def _name(self, out: list[str], at: int, end: int, bound: frozenset[str]) -> int:
        """A name that stands by itself: a variable, a function with or without a namespace, a message."""
        name, following = self._text(at), self._text(at + 1)
        if name in _MESSAGES:
            after = at + 1
            while self._text(after) == "." and self._kind(after + 1) == "ident":
                after += 2
            if self._text(after) == "{":
                close = self._close(after, "{")
                out.append("{" + self._message(after + 1, close, bound) + "}")
                return close + 1
        if name == "cel" and following == "." and self._text(at + 2) == "bind" and self._text(at + 3) == "(":
            close = self._close(at + 3, "(")
            variable, value, rest = self._parts(at + 4, close)
            inner = self.run(*rest, bound | {self._text(variable[0])})
            out.append(f"([{self.run(*value, bound)}].map({self._text(variable[0])}, {inner})[0])")
            return close + 1
        if name in _NAMESPACES and following == "." and self._text(at + 3) == "(" and name not in bound:
            full = f"{name}_{self._text(at + 2)}"
            self._result.functions.add(full)
            out.append(full)
            return at + 3
        if following == "(":
            self._result.functions.add(name)
            name = OURS.get(name, name)
        elif name not in bound and name not in _WORDS:
            self._result.names.add(name)
            self._result.fields.add((name, *self._selections(at + 1)))
        out.append(f" {name} " if name == "in" else name)
        return at + 1

    def _selections(self, at: int) -> list[str]:
        """The plain selections that follow a name."""
        found: list[str] = []
        while self._text(at) == "." and self._kind(at + 1) == "ident" and self._text(at + 2) != "(":
            found.append(self._text(at + 1))
            at += 2
        return found

    def _message(self, at: int, end: int, bound: frozenset[str]) -> str:
        fields: list[str] = []
        while at < end:
            stop = self._comma(at, end)
            key = self._text(at)
            quoted = key if self._kind(at) == "string" else f'"{key}"'
            fields.append(f"{quoted}: {self.run(at + 2, stop, bound)}")
            at = stop + 1
        return ", ".join(fields)

    def _parts(self, at: int, end: int) -> list[tuple[int, int]]:
        """The three arguments of cel.bind."""
        found: list[tuple[int, int]] = []
        while at < end:
            stop = self._comma(at, end)
            found.append((at, stop))
            at = stop + 1
        if len(found) != 3:
            raise ValueError("ERROR: <input>:1:1: cel.bind() takes a variable, its value and an expression")
        return found

    def _comma(self, at: int, end: int) -> int:
        """Where the next comma at this level is, or the end."""
        while at < end and self._text(at) != ",":
            text = self._text(at).removesuffix("?") if self._text(at) == "[?" else self._text(at)
            at = self._close(at, text) + 1 if text in _CLOSING else at + 1
        return at

    def _close(self, at: int, opening: str) -> int:
        """Where the bracket at `at` closes."""
        stack = [_CLOSING[opening]]
        for index in range(at + 1, len(self._tokens)):
            kind, text = self._tokens[index]
            if kind != "mark":
                continue
            if text == "[?":
                stack.append("]")
            elif text in _CLOSING:
                stack.append(_CLOSING[text])
            elif text in (")", "]", "}"):
                if text != stack.pop():
                    break
                if not stack:
                    return index
        raise ValueError(f"ERROR: <input>:1:1: Syntax error: missing {_CLOSING[opening]!r}")

    def _closes_value(self, at: int, text: str) -> bool:
        """Whether `[` here indexes what stands before it, rather than begins a list."""
        if text == "[?":
            return True
        if at == 0:
            return False
        kind, before = self._tokens[at - 1]
        return (kind in ("ident", "string") and before != "in") or before in (")", "]", "}")

    def _text(self, at: int) -> str:
        return self._tokens[at][1] if 0 <= at < len(self._tokens) else ""

    def _kind(self, at: int) -> str:
        return self._tokens[at][0] if 0 <= at < len(self._tokens) else ""
