"""The syntax of CEL: expressions as trees, with macros left as calls. Pure.

Operators are calls too, by the names the specification has for them: `_+_`, `_==_`, `!_`, `-_`, `_?_:_`, `@in`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<string>[bB]?[rR]?(?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
                 |[rR][bB](?:"[^"\n]*"|'[^'\n]*'))
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
      | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<quoted>`[A-Za-z0-9_.\-/ ]+`)
      | (?P<mark>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])
      | (?P<wrong>[\s\S])""",
    re.VERBOSE,
)
_RELATIONS = frozenset({"<", "<=", ">=", ">", "==", "!=", "in"})
_RESERVED_LIST = (
    "as break const continue else for function if import let loop package namespace return var void while"
)
RESERVED = frozenset(_RESERVED_LIST.split())
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Node:
    """`at`: where in the text it is reported to be, counted from 0."""

    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """`kind`: int, uint, double, string, bytes, bool or null_type. `text` as it is written."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Name(Node):
    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index(Node):
    operand: Node
    index: Node
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    function: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Items(Node):
    """A list; of each element whether it is optional: `[?a.?b]`."""

    items: tuple[tuple[Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Entries(Node):
    """A map: (key, value, optional)."""

    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Message(Node):
    """`Object.spec{replicas: 1}`: (field, value, optional)."""

    name: str
    fields: tuple[tuple[str, Node, bool], ...]


class SyntaxProblem(ValueError):
    """`at` is counted from 0."""

    def __init__(self, at: int, why: str) -> None:
        super().__init__(why)
        self.at = at
        self.why = why


def shown(expression: str, at: int, why: str) -> str:
    """A problem as CEL's compiler reports it, with the line and a mark below."""
    before = expression[:at]
    row = before.count("\n") + 1
    column = at - (before.rfind("\n") + 1)
    line = expression.split("\n")[row - 1]
    return f"ERROR: <input>:{row}:{column + 1}: {why}\n | {line}\n | {'.' * column}^"


@lru_cache(maxsize=512)
def parse(expression: str) -> Node:
    """Raises SyntaxProblem."""
    try:
        return _Parser(expression).whole()
    except RecursionError:
        raise too_deep() from None


def too_deep(at: int = 0) -> SyntaxProblem:
    """Of an expression that is nested deeper than anybody here can follow."""
    return SyntaxProblem(at, "expression recursion limit exceeded")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        for match in _TOKEN.finditer(text):
            if match.lastgroup == "wrong":
                raise SyntaxProblem(match.start(), f"Syntax error: token recognition error at: '{match[0]}'")
            if match.lastgroup != "space":
                self._tokens.append((str(match.lastgroup), match[0], match.start()))
        self._end = len(text)
        self._place = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._place < len(self._tokens):
            raise self._unexpected("<EOF>")
        return node

    # Tokens

    @property
    def _text(self) -> str:
        """The next token, unless it is a text of the expression itself."""
        if self._place >= len(self._tokens):
            return ""
        kind, text, _ = self._tokens[self._place]
        return "" if kind in ("string", "number", "quoted") else text

    @property
    def _at(self) -> int:
        return self._tokens[self._place][2] if self._place < len(self._tokens) else self._end

    def _take(self) -> tuple[str, str, int]:
        if self._place >= len(self._tokens):
            raise self._unexpected("an expression")
        self._place += 1
        return self._tokens[self._place - 1]

    def _accept(self, text: str) -> bool:
        if self._text != text:
            return False
        self._place += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._unexpected(f"'{text}'")

    def _unexpected(self, wanted: str) -> SyntaxProblem:
        found = self._tokens[self._place][1] if self._place < len(self._tokens) else "<EOF>"
        return SyntaxProblem(self._at, f"Syntax error: mismatched input '{found}' expecting {wanted}")

    # Grammar

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise too_deep(self._at)
        node = self._binary(0)
        if self._text == "?":
            at = self._at
            self._accept("?")
            first = self._binary(0)
            self._expect(":")
            node = Call(at, "_?_:_", None, (node, first, self._expression()))
        self._depth -= 1
        return node

    _LEVELS = (
        frozenset({"||"}),
        frozenset({"&&"}),
        _RELATIONS,
        frozenset({"+", "-"}),
        frozenset({"*", "/", "%"}),
    )

    def _binary(self, level: int) -> Node:
        if level == len(self._LEVELS):
            return self._unary()
        node = self._binary(level + 1)
        if level < 2 and self._text in self._LEVELS[level]:
            return self._logical(level, node)
        while self._text in self._LEVELS[level]:
            _, operator, at = self._take()
            name = "@in" if operator == "in" else f"_{operator}_"
            node = Call(at, name, None, (node, self._binary(level + 1)))
        return node

    def _logical(self, level: int, first: Node) -> Node:
        """A chain of && or || as a balanced tree: however long it is, it is not deep."""
        operands, places = [first], []
        while self._text in self._LEVELS[level]:
            places.append(self._take()[2])
            operands.append(self._binary(level + 1))
        name = "_||_" if level == 0 else "_&&_"

        def joined(low: int, high: int) -> Node:
            if low == high:
                return operands[low]
            middle = (low + high) // 2
            return Call(places[middle], name, None, (joined(low, middle), joined(middle + 1, high)))

        return joined(0, len(operands) - 1)

    def _unary(self) -> Node:
        if self._text not in ("!", "-"):
            return self._member()
        _, operator, at = self._take()
        if operator == "-" and self._place < len(self._tokens):
            kind, text, _ = self._tokens[self._place]
            if kind == "number":
                self._place += 1
                return self._selected(_number(at, f"-{text}"))
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise too_deep(at)
        node = Call(at, f"{operator}_", None, (self._unary(),))
        self._depth -= 1
        return node

    def _member(self) -> Node:
        return self._selected(self._primary())

    def _selected(self, node: Node) -> Node:
        """What follows a value: selections, indexes, calls."""
        while True:
            at = self._at
            if self._accept("."):
                optional = self._accept("?")
                kind, name, _ = self._take()
                if kind not in ("ident", "quoted"):
                    self._place -= 1
                    raise self._unexpected("IDENTIFIER")
                if not optional and kind == "ident" and self._text == "(":
                    at = self._at
                    node = Call(at, name, node, self._arguments())
                else:
                    node = Select(at, node, name.strip("`"), optional)
            elif self._text == "[":
                self._accept("[")
                optional = self._accept("?")
                node = Index(at, node, self._expression(), optional)
                self._expect("]")
            elif self._text == "{" and (name := _dotted(node)):
                node = Message(at, name, self._fields())
            else:
                return node

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found: list[Node] = []
        while self._text != ")" or self._place >= len(self._tokens):
            found.append(self._expression())
            if not self._accept(","):
                break
        self._expect(")")
        return tuple(found)

    def _fields(self) -> tuple[tuple[str, Node, bool], ...]:
        self._expect("{")
        found: list[tuple[str, Node, bool]] = []
        while self._text != "}":
            optional = self._accept("?")
            kind, name, at = self._take()
            if kind not in ("ident", "quoted", "string"):
                raise SyntaxProblem(at, f"Syntax error: mismatched input '{name}' expecting IDENTIFIER")
            self._expect(":")
            field = name.strip("`") if kind != "string" else name[1:-1]
            found.append((field, self._expression(), optional))
            if not self._accept(","):
                break
        self._expect("}")
        return tuple(found)

    def _primary(self) -> Node:
        kind, text, at = self._take()
        if kind == "number":
            return _number(at, text)
        if kind == "string":
            prefix = text[:2].partition('"')[0].partition("'")[0]
            return Literal(at, "bytes" if "b" in prefix.lower() else "string", text)
        if text == "(":
            node = self._expression()
            self._expect(")")
            return node
        if text == "[":
            return Items(at, tuple(self._elements()))
        if text == "{":
            return Entries(at, tuple(self._entries()))
        if text == "." and self._place < len(self._tokens):
            kind, text, at = self._take()
        if kind != "ident" or text == "in":
            self._place -= 1
            raise self._unexpected("an expression")
        if text in ("true", "false", "null"):
            return Literal(at, "null_type" if text == "null" else "bool", text)
        if text in RESERVED:
            raise SyntaxProblem(at, f"reserved identifier: {text}")
        if self._text == "(":
            at = self._at
            return Call(at, text, None, self._arguments())
        return Name(at, text)

    def _elements(self) -> Iterator[tuple[Node, bool]]:
        while self._text != "]":
            optional = self._accept("?")
            yield self._expression(), optional
            if not self._accept(","):
                break
        self._expect("]")

    def _entries(self) -> Iterator[tuple[Node, Node, bool]]:
        while self._text != "}":
            optional = self._accept("?")
            key = self._expression()
            self._expect(":")
            yield key, self._expression(), optional
            if not self._accept(","):
                break
        self._expect("}")


def _number(at: int, text: str) -> Literal:
    lowered = text.lower()
    if lowered.endswith("u"):
        return Literal(at, "uint", text)
    if not lowered.lstrip("-").startswith("0x") and ("." in text or "e" in lowered):
        return Literal(at, "double", text)
    digits = lowered.lstrip("-")
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    if value > (1 << 63) - (not text.startswith("-")):
        raise SyntaxProblem(at, "invalid int literal")
    return Literal(at, "int", text)


def _dotted(node: Node) -> str:
    """The name of a message type, such as `Object.spec`; empty for what is none: names begin with a capital."""
    if isinstance(node, Name):
        return node.name if node.name[0].isupper() else ""
    if isinstance(node, Select) and not node.optional:
        before = _dotted(node.operand)
        return f"{before}.{node.field}" if before else ""
    return ""
