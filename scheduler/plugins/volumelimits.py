"""Drivers of volumes say how many of theirs a node takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows
from scheduler.framework import Rejection, RowIndexes, Scope, single
from scheduler.requirements import Requirements

_REASON = "node(s) exceed max volume count"

VolumeKey = tuple[str, str]  # driver, handle


def _volumes(namespace: str, claims: Iterable[str], columns: Columns) -> set[VolumeKey]:
    """The CSI volumes of claims. One that is still to be made is known by its claim's name."""
    storage = columns.storage
    found = set()
    for name in claims:
        claim = storage.claims.get((namespace, name))
        if claim is None:
            continue
        volume = storage.volumes.get(claim.volume)
        if volume is not None:
            found.add((volume.driver, volume.handle))
        elif not claim.volume and claim.storage_class in storage.classes:
            found.add((storage.classes[claim.storage_class].provisioner, f"{namespace}/{name}"))
    return {key for key in found if key[0]}


class NodeVolumeLimits:
    name: ClassVar[str] = "NodeVolumeLimits"
    scope: ClassVar[Scope] = Scope.ROW

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(wants.claims) and bool(columns.storage.limits)

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        allowed = np.ones(columns.count, np.bool_)
        wanted = _volumes(wants.namespace, wants.claims, columns)
        chosen = np.zeros(columns.count, np.bool_)
        chosen[rows] = True
        for node, limits in columns.storage.limits.items() if wanted else ():
            row = columns.rows.get(node, -1)
            if row >= 0 and chosen[row]:
                allowed[row] = self._fits(wanted, limits, row, columns)
        return allowed[rows]

    @staticmethod
    def _fits(wanted: set[VolumeKey], limits: dict[str, int], row: int, columns: Columns) -> bool:
        limited = {key for key in wanted if key[0] in limits}
        if not limited:
            return True
        there: set[VolumeKey] = set()
        for pod in columns.pods[row].values():
            there |= _volumes(pod.namespace, pod.wants.claims, columns)
        if limited <= there:
            return True
        drivers = {driver for driver, _ in limited - there}
        return all(sum(key[0] == driver for key in there | limited) <= limits[driver] for driver in drivers)

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        return single(self.name, _REASON, True, rows)
