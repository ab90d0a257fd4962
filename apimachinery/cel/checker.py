"""Checking the types of an expression before it is ever evaluated: names, fields, overloads. Pure.

It refuses what Kubernetes refuses and lets pass what is not known: a type that cannot be told is `dyn`.
"""

from __future__ import annotations

from collections.abc import Mapping

from apimachinery.cel.declarations import free, overloads
from apimachinery.cel.macros import OPTIONAL, Macro, macro
from apimachinery.cel.rewrite import NAMESPACES
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
from apimachinery.cel.types import (
    BOOL,
    DYN,
    INT,
    TYPE,
    Type,
    filled,
    fits,
    joined,
    list_of,
    map_of,
    optional_of,
)

_TYPE_NAMES = frozenset(
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "type", "null_type", "dyn"]
)
Scope = Mapping[str, Type]


class Checked:
    """The type of every part of an expression, and what is wrong with it: (place, what), in order."""

    def __init__(self, tree: Node) -> None:
        self.tree = tree
        self.types: dict[int, Type] = {}
        self.problems: list[tuple[int, str]] = []

    @property
    def result(self) -> Type:
        return self.of(self.tree)

    def of(self, node: Node) -> Type:
        return self.types.get(id(node), DYN)


def check(expression: str, variables: Scope) -> Checked:
    """Raises SyntaxProblem where it is no expression."""
    checked = Checked(parse(expression))
    try:
        _Checker(checked).visit(checked.tree, variables)
    except RecursionError:
        raise too_deep() from None
    return checked


def problems(expression: str, variables: Scope, results: tuple[str, ...] = ()) -> tuple[str, str]:
    """(what the compiler has against it, what is wrong with its result): at most one is not empty."""
    try:
        checked = check(expression, variables)
    except SyntaxProblem as problem:
        return shown(expression, problem.at, problem.why), ""
    if checked.problems:
        return "\n".join(shown(expression, at, why) for at, why in checked.problems), ""
    kind = checked.result.kind
    if not results or kind == "dyn" or kind in results:
        return "", ""
    return "", results[0] if len(results) == 1 else f"one of [{' '.join(results)}]"


class _Checker:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked

    def visit(self, node: Node, scope: Scope) -> Type:
        found = self._type(node, scope)
        self._checked.types[id(node)] = found
        return found

    def _wrong(self, node: Node, why: str) -> Type:
        self._checked.problems.append((node.at, why))
        return DYN

    def _type(self, node: Node, scope: Scope) -> Type:
        if isinstance(node, Literal):
            size = len(node.text) - 2 if node.kind in ("string", "bytes") else None
            return Type(node.kind, size=size)
        if isinstance(node, Name):
            return self._name(node, scope)
        if isinstance(node, Select):
            return self._select(node, scope)
        if isinstance(node, Index):
            return self._index(node, scope)
        if isinstance(node, Items):
            kinds = [self._inner(self.visit(item, scope), optional) for item, optional in node.items]
            return list_of(_common(kinds), len(kinds))
        if isinstance(node, Entries):
            keys = [self.visit(key, scope) for key, _, _ in node.entries]
            values = [self._inner(self.visit(value, scope), opt) for _, value, opt in node.entries]
            return map_of(_common(keys), _common(values), len(keys))
        if isinstance(node, Message):
            for _, value, _ in node.fields:
                self.visit(value, scope)
            return DYN
        assert isinstance(node, Call)
        found = macro(node)
        return self._macro(node, found, scope) if found is not None else self._call(node, scope)

    @staticmethod
    def _inner(kind: Type, optional: bool) -> Type:
        return kind.params[0] if optional and kind.kind == "optional" else kind

    def _name(self, node: Name, scope: Scope) -> Type:
        found = scope.get(node.name)
        if found is not None:
            return found
        if node.name in _TYPE_NAMES:
            return TYPE
        return self._wrong(node, f"undeclared reference to '{node.name}' (in container '')")

    def _select(self, node: Select, scope: Scope) -> Type:
        operand = self.visit(node.operand, scope)
        optional = node.optional
        if operand.kind == "optional":
            operand, optional = operand.params[0], True
        found = self._field(node, operand)
        return optional_of(found) if optional and found.kind != "optional" else found

    def _field(self, node: Select, operand: Type) -> Type:
        if operand.kind == "dyn":
            return DYN
        if operand.kind == "map":
            return operand.params[1]
        if operand.kind == "object" and operand.fields is not None:
            found = operand.fields(node.field)
            return found if found is not None else self._wrong(node, f"undefined field '{node.field}'")
        if operand.kind == "opaque" and operand.name == "kubernetes.Authorizer":
            if node.field == "requestResource":
                return Type("opaque", name="kubernetes.ResourceCheck")
            return self._wrong(node, f"undefined field '{node.field}'")
        return self._wrong(node, f"type '{operand}' does not support field selection")

    def _index(self, node: Index, scope: Scope) -> Type:
        operand, index = self.visit(node.operand, scope), self.visit(node.index, scope)
        optional = node.optional
        if operand.kind == "optional":
            operand, optional = operand.params[0], True
        found = DYN
        if operand.kind == "list":
            found = operand.params[0]
            if index.kind not in ("int", "uint", "double", "dyn"):
                return self._no_overload(node, "_[_]", (operand, index))
        elif operand.kind == "map":
            found = operand.params[1]
            if not fits(operand.params[0], index):
                return self._no_overload(node, "_[_]", (operand, index))
        elif operand.kind != "dyn":
            return self._no_overload(node, "_[_]", (operand, index))
        return optional_of(found) if optional and found.kind != "optional" else found

    def _no_overload(self, node: Node, name: str, given: tuple[Type, ...], *, member: bool = False) -> Type:
        if member:
            shown_ = f"{given[0]}.({', '.join(map(str, given[1:]))})"
        else:
            shown_ = f"({', '.join(map(str, given))})"
        return self._wrong(node, f"found no matching overload for '{name}' applied to '{shown_}'")

    def _call(self, node: Call, scope: Scope) -> Type:
        name, target = node.function, node.target
        if name == "has" and target is None and len(node.args) == 1:
            self.visit(node.args[0], scope)
            if not isinstance(node.args[0], Select):
                return self._wrong(node, "invalid argument to has() macro")
            return BOOL
        space = target.name if isinstance(target, Name) and target.name not in scope else ""
        if space in NAMESPACES or space == "optional":
            name, target = f"{space}.{name}", None
        receiver = (self.visit(target, scope),) if target is not None else ()
        given = (*receiver, *(self.visit(arg, scope) for arg in node.args))
        if target is None and (known := free(name)) is not None:
            return known
        declared = overloads().get(name)
        if declared is None:
            return self._wrong(node, f"undeclared reference to '{name}' (in container '')")
        results: list[Type] = []
        for overload in declared:
            bound: dict[str, Type] = {}
            if (
                overload.member == (target is not None)
                and len(overload.args) == len(given)
                and all(fits(a, b, bound) for a, b in zip(overload.args, given, strict=True))
            ):
                results.append(filled(overload.result, bound))
        if not results:
            return self._no_overload(node, name, given, member=target is not None)
        return _common(results)

    def _macro(self, node: Call, found: Macro, scope: Scope) -> Type:
        over = self.visit(found.range, scope)
        if found.name == "bind":
            return self.visit(found.steps[0], {**scope, found.variables[0]: over})
        if found.name in OPTIONAL:
            inner = over.params[0] if over.kind == "optional" else DYN
            result = self.visit(found.steps[0], {**scope, found.variables[0]: inner})
            return result if found.name == "optFlatMap" else optional_of(result)
        if over.kind not in ("list", "map", "dyn"):
            return self._wrong(
                node,
                f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)",
            )
        kinds = over.params if over.kind == "map" else (INT, over.params[0] if over.params else DYN)
        if over.kind == "dyn":
            kinds = (DYN, DYN)
        one = kinds[0] if over.kind == "map" else kinds[1]
        bound = dict(zip(found.variables, kinds, strict=True)) if len(found.variables) == 2 else None
        inner_scope = {**scope, **(bound or {found.variables[0]: one})}
        steps = [self.visit(step, inner_scope) for step in found.steps]
        return self._comprehended(found, over, kinds, steps)

    def _comprehended(self, found: Macro, over: Type, kinds: tuple[Type, ...], steps: list[Type]) -> Type:
        name = found.name
        tested = (
            steps[:-1] if name in ("map", "transformList", "transformMap", "transformMapEntry") else steps
        )
        if name != "sortBy":
            for step, kind in zip(found.steps, tested, strict=False):
                if kind.kind not in ("bool", "dyn"):
                    self._wrong(step, f"expected type 'bool' but found '{kind}'")
        if name in ("all", "exists", "exists_one", "existsOne"):
            return BOOL
        if name in ("filter", "sortBy"):
            return over if over.kind == "list" else list_of(kinds[0], over.size)
        if name in ("map", "transformList"):
            return list_of(steps[-1], over.size)
        return (
            map_of(kinds[0], steps[-1], over.size) if name == "transformMap" else map_of(DYN, DYN, over.size)
        )


def _common(kinds: list[Type]) -> Type:
    """The type all of some values have."""
    if not kinds:
        return DYN
    found = kinds[0]
    for kind in kinds[1:]:
        found = joined(found, kind)
    return found
