"""What a scheduler plugin is: a filter says which nodes will do, a score says how well.

Plugins are pure: columns in, vectors out. `scope` says what an answer depends on, hence how long it may be kept:
NODE on the nodes themselves (labels, taints, volumes), ROW also on the pods of that very node (resources, ports),
CLUSTER on pods anywhere (affinity between pods, topology spread).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from scheduler.columns import Columns, Mask, Rows, Vector
from scheduler.requirements import Requirements

# The best score a plugin gives; the worst is 0.
MAX_SCORE = 10_000

RowIndexes: TypeAlias = npt.NDArray[np.intp]


class Scope(IntEnum):
    NODE = 0
    ROW = 1
    CLUSTER = 2


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why some nodes will not do. `resolvable`: taking pods off the node could change that."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool
    rows: RowIndexes


class Filter(Protocol):
    name: ClassVar[str]
    scope: ClassVar[Scope]

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        """False where every node passes, so that nothing need be computed."""
        ...

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        """Which of `rows` pass. Holes among the rows may get either answer."""
        ...

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        """Why each of `rows`, all of which failed `mask`, failed; each row is in exactly one of the results."""
        ...


class Score(Protocol):
    name: ClassVar[str]
    scope: ClassVar[Scope]

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        """False where every node scores alike."""
        ...

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        """0 to MAX_SCORE for each of `rows`; `feasible` (of the same length) says which ones matter.

        Only a score that compares nodes with each other may read `feasible`, and its scope must not be ROW.
        """
        ...


def scaled(raw: Vector, feasible: Mask, reverse: bool = False) -> Vector:
    """`raw` (not negative) brought to 0..MAX_SCORE by the largest feasible one; reversed, the largest gets 0."""
    highest = int(raw.max(initial=0, where=feasible))
    if highest == 0:
        return np.full(len(raw), MAX_SCORE if reverse else 0, np.int64)
    result: Vector = np.minimum(raw, highest) * MAX_SCORE // highest
    return MAX_SCORE - result if reverse else result


def single(plugin: str, reason: str, resolvable: bool, rows: RowIndexes) -> list[Rejection]:
    """The usual explanation: all rows for one reason."""
    return [Rejection(plugin, (reason,), resolvable, rows)] if len(rows) else []
