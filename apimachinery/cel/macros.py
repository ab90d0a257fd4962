"""The macros of CEL: which calls bind variables, and in which of their arguments. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from apimachinery.cel.syntax import Call, Name, Node

#: By name: how many arguments it has, how many of them name variables.
_MACROS: dict[str, frozenset[tuple[int, int]]] = {
    "all": frozenset({(2, 1), (3, 2)}),
    "exists": frozenset({(2, 1), (3, 2)}),
    "exists_one": frozenset({(2, 1), (3, 2)}),
    "existsOne": frozenset({(2, 1), (3, 2)}),
    "filter": frozenset({(2, 1)}),
    "map": frozenset({(2, 1), (3, 1)}),
    "transformList": frozenset({(3, 2), (4, 2)}),
    "transformMap": frozenset({(3, 2), (4, 2)}),
    "transformMapEntry": frozenset({(3, 2), (4, 2)}),
    "sortBy": frozenset({(2, 1)}),
    "optMap": frozenset({(2, 1)}),
    "optFlatMap": frozenset({(2, 1)}),
}
OPTIONAL = frozenset({"optMap", "optFlatMap"})


@dataclass(frozen=True, slots=True)
class Macro:
    """`variables` are bound in the `steps`, over what `range` holds. `bind`: a variable for one value."""

    name: str
    range: Node
    variables: tuple[str, ...]
    steps: tuple[Node, ...]


def macro(call: Call) -> Macro | None:
    """A call as a macro, where it is one."""
    if call.function == "bind" and isinstance(call.target, Name) and call.target.name == "cel":
        if len(call.args) == 3 and isinstance(call.args[0], Name):
            return Macro("bind", call.args[1], (call.args[0].name,), (call.args[2],))
        return None
    if call.target is None:
        return None
    for total, bound in _MACROS.get(call.function, ()):
        names = call.args[:bound]
        if len(call.args) == total and all(isinstance(name, Name) for name in names):
            variables = tuple(name.name for name in names if isinstance(name, Name))
            return Macro(call.function, call.target, variables, call.args[bound:])
    return None
