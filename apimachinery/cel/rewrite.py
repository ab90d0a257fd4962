"""Kubernetes's CEL as the evaluating package can take it: what that lacks becomes calls of ours. Pure.

`a.?b.c` and `a[?k]` become calls of `optionalField_`; `cel.bind`, `optMap` and comprehensions of two variables become
ones of one variable; functions with a namespace (`math.greatest`) plain ones (`math_greatest`), and messages
(`Object{spec: ...}`, `JSONPatch{...}`) maps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from apimachinery.cel.macros import Macro, macro
from apimachinery.cel.syntax import (
    Call,
    Entries,
    Index,
    Items,
    Literal,
    Message,
    Name,
    Node,
    Select,
    SyntaxProblem,
    parse,
    shown,
    too_deep,
)

NAMESPACES = frozenset({"base64", "format", "ip", "jsonpatch", "lists", "math", "sets", "strings"})
_WORD_LIST = "int uint double bool string bytes list map type null_type dyn optional google cel"
WORDS = frozenset(_WORD_LIST.split()) | NAMESPACES
OPTIONAL_FIELD = "optionalField_"
#: Functions the package has too, otherwise than we want them: its sizes of strings are in bytes.
OURS = {name: f"{name}_" for name in ("bool", "matches", "max", "min", "size", "string")}


@dataclass(slots=True)
class Rewritten:
    """The expression to evaluate, and what it takes from outside: names and functions, each with its place."""

    text: str
    names: dict[str, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)


def rewrite(expression: str) -> Rewritten:
    """Raises ValueError, in the words of CEL's compiler, for what is no expression."""
    result = Rewritten("")
    try:
        result.text = _Writer(result).write(parse(expression), frozenset())
    except SyntaxProblem as problem:
        raise ValueError(shown(expression, problem.at, problem.why)) from None
    except RecursionError:
        raise ValueError(shown(expression, 0, too_deep().why)) from None
    return result


class _Writer:
    def __init__(self, result: Rewritten) -> None:
        self._result = result
        self._fresh = 0

    def write(self, node: Node, bound: frozenset[str]) -> str:
        """`bound` are the variables of macros around it."""
        if isinstance(node, Literal):
            return f"({node.text})" if node.text.startswith("-") else node.text
        if isinstance(node, Name):
            if node.name not in bound and node.name not in WORDS:
                self._result.names.setdefault(node.name, node.at)
            return node.name
        if isinstance(node, Select):
            operand = self.write(node.operand, bound)
            if _optional(node):
                return f'{operand}.{OPTIONAL_FIELD}("{node.field}")'
            return f"{operand}.{node.field}" if node.field.isidentifier() else f'{operand}["{node.field}"]'
        if isinstance(node, Index):
            operand, index = self.write(node.operand, bound), self.write(node.index, bound)
            return f"{operand}.{OPTIONAL_FIELD}({index})" if _optional(node) else f"{operand}[{index}]"
        if isinstance(node, Items):
            return self._items(node, bound)
        if isinstance(node, Entries):
            keyed = [(self.write(key, bound), value, optional) for key, value, optional in node.entries]
            return self._entries(keyed, bound)
        if isinstance(node, Message):
            keyed = [(f'"{name}"', value, optional) for name, value, optional in node.fields]
            return self._entries(keyed, bound)
        assert isinstance(node, Call)
        found = macro(node)
        return self._macro(node, found, bound) if found is not None else self._call(node, bound)

    def _items(self, node: Items, bound: frozenset[str]) -> str:
        if not any(optional for _, optional in node.items):
            return "[" + ", ".join(self.write(item, bound) for item, _ in node.items) + "]"
        parts = [
            f"some_({self.write(item, bound)})" if optional else f"[{self.write(item, bound)}]"
            for item, optional in node.items
        ]
        return f"({' + '.join(parts)})"

    def _entries(self, entries: list[tuple[str, Node, bool]], bound: frozenset[str]) -> str:
        plain = ", ".join(f"{key}: {self.write(value, bound)}" for key, value, opt in entries if not opt)
        parts = [f"{{{plain}}}"]
        for key, value, optional in entries:
            if optional:
                parts.append(f"entry_({key}, some_({self.write(value, bound)}))")
        return parts[0] if len(parts) == 1 else f"merged_([{', '.join(parts)}])"

    def _call(self, node: Call, bound: frozenset[str]) -> str:
        name, args = node.function, [self.write(arg, bound) for arg in node.args]
        if name == "_?_:_":
            return f"({args[0]} ? {args[1]} : {args[2]})"
        if name == "@in":
            return f"({args[0]} in {args[1]})"
        if name in ("!_", "-_"):
            return f"({name[0]}{args[0]})"
        if name.startswith("_") and name.endswith("_") and not name.strip("_").isidentifier():
            return f"({args[0]} {name.strip('_')} {args[1]})"
        target = node.target
        given = ", ".join(args)
        if isinstance(target, Name) and target.name in NAMESPACES and target.name not in bound:
            full = f"{target.name}_{name}"
            self._result.functions.setdefault(full, target.at)
            return f"{full}({given})"
        if isinstance(target, Name) and target.name == "cel" and "cel" not in bound:
            raise SyntaxProblem(node.at, f"cel.{name}() takes a variable, its value and an expression")
        self._result.functions.setdefault(name, node.at)
        if target is None:
            return f"{OURS.get(name, name)}({given})"
        return f"{self.write(target, bound)}.{OURS.get(name, name)}({given})"

    def _macro(self, call: Call, found: Macro, bound: frozenset[str]) -> str:
        over = self.write(found.range, bound)
        inner = bound | set(found.variables)
        steps = [self.write(step, inner) for step in found.steps]
        name, variable = found.name, found.variables[0]
        if name == "bind":
            return f"[{over}].map({variable}, {steps[0]})[0]"
        if name == "optMap":
            return f"optionalOf_(some_({over}).map({variable}, {steps[0]}))"
        if name == "optFlatMap":
            return f"optionalOf_(flatten(some_({over}).map({variable}, some_({steps[0]}))))"
        if name == "sortBy":
            held = self._name()
            return f"[{over}].map({held}, sortBy_({held}, {held}.map({variable}, {steps[0]})))[0]"
        if len(found.variables) == 1:
            self._result.functions.setdefault(name, call.at)
            return f"{over}.{name}({variable}, {', '.join(steps)})"
        return self._pairs(found, over, steps)

    def _pairs(self, found: Macro, over: str, steps: list[str]) -> str:
        """A comprehension over keys (or places) and values, as one over the keys."""
        key, value = found.variables
        held = self._name()
        one = f"[{held}[{key}]]"
        name = found.name
        if name in ("all", "exists", "exists_one", "existsOne"):
            each = "all" if name == "all" else "exists"
            outer = "exists_one" if name in ("exists_one", "existsOne") else name
            return f"[{over}].map({held}, keys_({held}).{outer}({key}, {one}.{each}({value}, {steps[0]})))[0]"
        keys = f"keys_({held})"
        if len(steps) == 2:
            keys += f".filter({key}, {one}.exists({value}, {steps[0]}))"
        made = f"{key}, {one}.map({value}, {steps[-1]})[0]"
        if name == "transformList":
            return f"[{over}].map({held}, {keys}.map({made}))[0]"
        if name == "transformMapEntry":
            return f"[{over}].map({held}, merged_({keys}.map({made})))[0]"
        kept = self._name()
        return f"[{over}].map({held}, [{keys}].map({kept}, zip_({kept}, {kept}.map({made})))[0])[0]"

    def _name(self) -> str:
        self._fresh += 1
        return f"held{self._fresh}_"


def _optional(node: Node) -> bool:
    """Whether a selection is one from an optional value: itself, or one before it in the chain."""
    while isinstance(node, (Select, Index)):
        if node.optional:
            return True
        node = node.operand
    return False
