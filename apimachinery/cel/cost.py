"""What evaluating an expression can cost at most, told from the types and sizes of what it looks at. Pure.

The unit is Kubernetes's: about one step of an evaluation. Where a size is not known, little is assumed.
"""

from __future__ import annotations

from math import ceil

from apimachinery.cel.checker import Checked
from apimachinery.cel.macros import OPTIONAL, Macro, macro
from apimachinery.cel.syntax import Call, Entries, Index, Items, Literal, Message, Name, Node, Select

_LIST, _MAP, _MESSAGE = 10, 30, 40
#: Of a string or list, a traversal costs this much a byte or item.
_TRAVERSAL = 0.1
#: Of a regular expression, a byte costs this much for each step of the traversal.
_REGEX = 0.25
_TEXT_LIST = """
    lowerAscii upperAscii substring trim replace split url isURL ip isIP cidr isCIDR quantity isQuantity semver isSemver
    validate charAt reverse encode decode escapeKey quote format timestamp duration int uint double bytes string
"""
_OVER_TEXT = frozenset(_TEXT_LIST.split())
_ITEM_LIST = "isSorted sum min max indexOf lastIndexOf distinct sort flatten slice join"
_OVER_LIST = frozenset(_ITEM_LIST.split())
_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
#: What the loop itself costs for each element.
_LOOPS = {
    "all": 3, "exists": 4, "exists_one": 3, "existsOne": 3, "filter": 13, "map": 12, "transformList": 12,
    "transformMap": 2, "transformMapEntry": 2, "sortBy": 12,
}  # fmt: skip
AUTHORIZATION = 350_000


def most(checked: Checked) -> int:
    """The cost of the whole expression."""
    return _Estimate(checked).cost(checked.tree)


class _Estimate:
    def __init__(self, checked: Checked) -> None:
        self._checked = checked

    def _size(self, node: Node) -> int:
        """Bytes of a string, items of a list, entries of a map; 1 for what has no size."""
        kind = self._checked.of(node)
        return kind.size if kind.size is not None else 1

    def cost(self, node: Node) -> int:
        if isinstance(node, Literal):
            return 0
        if isinstance(node, Name):
            return 1
        if isinstance(node, Select):
            return self.cost(node.operand) + 1
        if isinstance(node, Index):
            return self.cost(node.operand) + self.cost(node.index) + 1
        if isinstance(node, Items):
            return _LIST + sum(self.cost(item) for item, _ in node.items)
        if isinstance(node, Entries):
            return _MAP + sum(self.cost(key) + self.cost(value) for key, value, _ in node.entries)
        if isinstance(node, Message):
            return _MESSAGE + sum(self.cost(value) for _, value, _ in node.fields)
        assert isinstance(node, Call)
        found = macro(node)
        return self._macro(found) if found is not None else self._call(node)

    def _macro(self, found: Macro) -> int:
        over, steps = self.cost(found.range), [self.cost(step) for step in found.steps]
        if found.name == "bind" or found.name in OPTIONAL:
            return over + sum(steps) + 1
        return over + 1 + self._size(found.range) * (_LOOPS.get(found.name, 1) + sum(steps))

    def _call(self, node: Call) -> int:
        name = node.function
        if name == "has" and node.target is None and isinstance(node.args[0], Select):
            return self.cost(node.args[0].operand)
        given = ([node.target] if node.target is not None else []) + list(node.args)
        costs = [self.cost(part) for part in given]
        if name == "_?_:_":
            return costs[0] + max(costs[1:])
        if name in ("_&&_", "_||_"):
            return sum(costs)
        return sum(costs) + self._own(name, given)

    def _own(self, name: str, given: list[Node]) -> int:
        """What a function costs beside its arguments."""
        kind = self._checked.of(given[0]).kind if given else ""
        text = _TRAVERSAL * self._size(given[0]) if given else 0.0
        if name == "@in":
            return self._size(given[1]) if self._checked.of(given[1]).kind == "list" else 1
        if name in _COMPARISONS:
            return max(1, ceil(_TRAVERSAL * min(map(self._size, given))))
        if name == "_+_" and kind in ("string", "bytes"):
            return max(1, ceil(_TRAVERSAL * sum(map(self._size, given))))
        if name in ("startsWith", "endsWith") and len(given) == 2:
            return max(1, ceil(_TRAVERSAL * self._size(given[1])))
        if name == "contains" and len(given) == 2 and kind == "string":
            return max(1, ceil(text) * ceil(_TRAVERSAL * self._size(given[1])))
        if name in ("matches", "find", "findAll") and len(given) >= 2:
            return ceil(text + _TRAVERSAL) * max(1, ceil(_REGEX * self._size(given[1])))
        if name == "check":
            return AUTHORIZATION
        if name in _OVER_LIST and kind == "list":
            return max(1, self._size(given[0]))
        if name in _OVER_TEXT and kind == "string":
            return max(1, ceil(text))
        return 1
