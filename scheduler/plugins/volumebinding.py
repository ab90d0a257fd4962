"""Volumes and nodes: bound volumes must be reachable, unbound ones that wait must find or get a volume there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scheduler.columns import Columns, Mask, Rows
from scheduler.framework import Rejection, RowIndexes, Scope, single
from scheduler.plugins.nodeaffinity import any_term_mask
from scheduler.requirements import Requirements
from scheduler.views import Claim, StorageClass, Volume

_CONFLICT = "node(s) had volume node affinity conflict"
_NOT_FOUND = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
_NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(frozen=True, slots=True)
class ClaimChoice:
    """How a claim that waited for its pod is to be served: by this existing volume, or ("") by provisioning."""

    namespace: str
    claim: str
    volume: str


def _claims(wants: Requirements, columns: Columns) -> list[Claim]:
    known = (columns.storage.claims.get((wants.namespace, name)) for name in wants.claims)
    return [claim for claim in known if claim is not None]


def _waits(claim: Claim, columns: Columns) -> bool:
    storage_class = columns.storage.classes.get(claim.storage_class)
    return not claim.volume and storage_class is not None and storage_class.waits


def _suits(volume: Volume, claim: Claim, columns: Columns) -> bool:
    key = claim.namespace, claim.name
    if volume.claimed_by is not None:
        return volume.claimed_by == key
    return (
        volume.available
        and columns.storage.promised.get(volume.name, key) == key
        and volume.storage_class == claim.storage_class
        and volume.storage >= claim.storage
        and set(claim.access_modes) <= set(volume.access_modes)
    )


def _suitable(claim: Claim, columns: Columns) -> list[Volume]:
    """Existing volumes for a claim, the smallest first."""
    found = [v for v in columns.storage.volumes.values() if _suits(v, claim, columns)]
    return sorted(found, key=lambda v: (v.storage, v.name))


def _reach(volume: Volume, columns: Columns) -> Mask:
    return np.ones(columns.count, np.bool_) if volume.terms is None else any_term_mask(volume.terms, columns)


def _provisionable(claim: Claim, storage_class: StorageClass, columns: Columns) -> Mask:
    """Nodes for which a volume of this class could be made."""
    if storage_class.provisioner in ("", _NO_PROVISIONER):
        return np.zeros(columns.count, np.bool_)
    allowed = np.full(columns.count, not storage_class.topologies, np.bool_)
    for topology in storage_class.topologies:
        term = np.ones(columns.count, np.bool_)
        for key, values in topology:
            column = columns.label(key)
            term &= columns.lookup(column, (value in values for value in column.values))
        allowed |= term
    return allowed


def choose(wants: Requirements, columns: Columns, row: int) -> list[ClaimChoice] | None:
    """How each waiting claim would be served on this node; None where one could not be."""
    taken: set[str] = set()
    choices = []
    for claim in _claims(wants, columns):
        if not _waits(claim, columns):
            continue
        if claim.selected_node and claim.selected_node != columns.node_name(row):
            return None
        volumes = () if claim.selected_node else _suitable(claim, columns)
        found = next((v.name for v in volumes if v.name not in taken and _reach(v, columns)[row]), "")
        if (
            not found
            and not _provisionable(claim, columns.storage.classes[claim.storage_class], columns)[row]
        ):
            return None
        taken.add(found)
        choices.append(ClaimChoice(claim.namespace, claim.name, found))
    return choices


class VolumeBinding:
    name: ClassVar[str] = "VolumeBinding"
    scope: ClassVar[Scope] = Scope.NODE

    def impossible(self, wants: Requirements, columns: Columns) -> str:
        """Why the pod can go nowhere, whatever the node; "" where that is not so."""
        for name in wants.claims:
            claim = columns.storage.claims.get((wants.namespace, name))
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim.deleted:
                return f'persistentvolumeclaim "{name}" is being deleted'
            if not claim.bound and not _waits(claim, columns):
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return bool(wants.claims)

    def _masks(self, wants: Requirements, columns: Columns) -> tuple[Mask, Mask, Mask]:
        """Nodes not failing by: volume not found, volume out of reach, no volume for a waiting claim."""
        found, reached, served = (np.ones(columns.count, np.bool_) for _ in range(3))
        waiting = []
        for claim in _claims(wants, columns):
            if _waits(claim, columns):
                waiting.append(claim)
                continue
            volume = columns.storage.volumes.get(claim.volume)
            if volume is None:
                found[:] = False
            else:
                reached &= _reach(volume, columns)
        for claim in waiting:
            storage_class = columns.storage.classes[claim.storage_class]
            mask = _provisionable(claim, storage_class, columns)
            if claim.selected_node:
                chosen = columns.rows.get(claim.selected_node, -1)
                mask &= np.arange(columns.count) == chosen
            else:
                for volume in _suitable(claim, columns):
                    mask |= _reach(volume, columns)
            served &= mask
        if len(waiting) > 1:
            # Two claims must not count on one volume: only the nodes left are looked at one by one.
            for row in np.flatnonzero(found & reached & served).tolist():
                if columns.nodes[row] is not None:
                    served[row] = choose(wants, columns, row) is not None
        return found, reached, served

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        found, reached, served = self._masks(wants, columns)
        allowed: Mask = (found & reached & served)[rows]
        return allowed

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        found, reached, _ = (mask[rows] for mask in self._masks(wants, columns))
        return [
            *single(self.name, _NOT_FOUND, False, rows[~found]),
            *single(self.name, _CONFLICT, False, rows[found & ~reached]),
            *single(self.name, _NO_VOLUME, False, rows[found & reached]),
        ]


class VolumeZone:
    """A bound volume that says its zone or region is used only there."""

    name: ClassVar[str] = "VolumeZone"
    scope: ClassVar[Scope] = Scope.NODE

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return any(volume.zones for volume in self._volumes(wants, columns))

    def _volumes(self, wants: Requirements, columns: Columns) -> list[Volume]:
        known = (columns.storage.volumes.get(claim.volume) for claim in _claims(wants, columns))
        return [volume for volume in known if volume is not None]

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        mask = np.ones(columns.count, np.bool_)
        for volume in self._volumes(wants, columns):
            for key, zones in volume.zones:
                column = columns.label(key)
                mask &= columns.lookup(column, (value in zones for value in column.values))
        return mask[rows]

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        return single(self.name, "node(s) had no available volume zone", False, rows)


class VolumeRestrictions:
    """A claim with ReadWriteOncePod serves one pod in the whole cluster."""

    name: ClassVar[str] = "VolumeRestrictions"
    scope: ClassVar[Scope] = Scope.CLUSTER

    def applies(self, wants: Requirements, columns: Columns) -> bool:
        return any("ReadWriteOncePod" in claim.access_modes for claim in _claims(wants, columns))

    def mask(self, wants: Requirements, columns: Columns, rows: Rows) -> Mask:
        used = any(
            "ReadWriteOncePod" in claim.access_modes
            and (claim.namespace, claim.name) in columns.storage.users
            for claim in _claims(wants, columns)
        )
        return np.full(columns.count, not used, np.bool_)[rows]

    def explain(self, wants: Requirements, columns: Columns, rows: RowIndexes) -> list[Rejection]:
        reason = (
            "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        )
        return single(self.name, reason, True, rows)
