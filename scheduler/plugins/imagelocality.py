"""Prefers nodes that already have the pod's images, by size, weighed down where few nodes have them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows, Vector
from scheduler.framework import MAX_SCORE, Scope
from scheduler.requirements import Requirements

_LEAST = 23 * 1024 * 1024
_MOST_PER_IMAGE = 1000 * 1024 * 1024


class ImageLocality:
    name: ClassVar[str] = "ImageLocality"
    scope: ClassVar[Scope] = Scope.NODE

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return any(image in columns.images for image in wants.images)

    def score(self, wants: Requirements, columns: Columns, rows: Rows, feasible: Mask) -> Vector:
        total = np.zeros(columns.count, np.int64)
        for image in wants.images:
            holders = columns.images.get(image, {})
            for row, size in holders.items():
                total[row] += size * len(holders) // columns.node_count
        most = _MOST_PER_IMAGE * len(wants.images)
        points: Vector = (np.clip(total[rows], _LEAST, most) - _LEAST) * MAX_SCORE // (most - _LEAST)
        return points
