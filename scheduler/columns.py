"""The cluster as columns: one row a node, one numpy array a property, kept up to date in O(what changed).

Rows of removed nodes are reused. Nothing the scheduler decides depends on the order of rows: equal scores are told
apart by `rank`, a hash of the node's name and the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scheduler.podcounts import PodCounts
from scheduler.requirements import CPU, EPHEMERAL, MEMORY, PODS, Requirements
from scheduler.storage import Storage
from scheduler.views import Node, Pod, Taint

Mask: TypeAlias = npt.NDArray[np.bool_]
Vector: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.int32]
Rows: TypeAlias = npt.NDArray[np.intp] | slice

RANK_BITS = 40
_FIRST_ROWS = 16
# Beyond this many changes since a cached vector was made, making it anew is as cheap as mending it.
_LOG_LIMIT = 1 << 16


class LabelColumn:
    """One label key's values as codes: 0 where a node has no such label, else an index into `values`."""

    __slots__ = ("codes", "index", "key", "values")

    def __init__(self, key: str, rows: int) -> None:
        self.key = key
        self.codes: Codes = np.zeros(rows, np.int32)
        self.values: list[str | None] = [None]
        self.index: dict[str, int] = {}

    def set(self, row: int, value: str | None) -> None:
        if value is None:
            self.codes[row] = 0
            return
        code = self.index.get(value)
        if code is None:
            code = self.index[value] = len(self.values)
            self.values.append(value)
        self.codes[row] = code


class Columns:
    """The snapshot every decision is made on.

    `count`: rows in use, including holes (`present` is False there). `resources`: resource name → index of its row in
    `allocatable` and `requested` (shape resources × rows; cpu in millicores, others in units). `scored`: cpu and memory
    as scores see them, where a container that asks for nothing still counts. `node_generation` moves when anything
    but pods changes. `changed`: rows whose pods or node changed, in order; `changed_base` is the number of entries
    dropped from its front.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.count = 0
        self.node_generation = 0
        self.resources: dict[str, int] = {CPU: 0, MEMORY: 1, EPHEMERAL: 2, PODS: 3}
        self.present: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.unschedulable: Mask = np.zeros(_FIRST_ROWS, np.bool_)
        self.taint_sets: Codes = np.zeros(_FIRST_ROWS, np.int32)
        self.rank: Vector = np.zeros(_FIRST_ROWS, np.int64)
        self.allocatable: Vector = np.zeros((4, _FIRST_ROWS), np.int64)
        self.requested: Vector = np.zeros((4, _FIRST_ROWS), np.int64)
        self.scored: Vector = np.zeros((2, _FIRST_ROWS), np.int64)
        self.taints: list[tuple[Taint, ...]] = [()]
        self.rows: dict[str, int] = {}
        self.nodes: list[Node | None] = []
        self.pods: list[dict[str, Pod]] = []
        self.where: dict[str, tuple[Pod, str]] = {}
        self.ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        self.images: dict[str, dict[int, int]] = {}
        self.storage = Storage()
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.matching = PodCounts(self.namespaces)
        self.changed: list[int] = []
        self.changed_base = 0
        self._labels: dict[str, LabelColumn] = {}
        self._taint_codes: dict[tuple[Taint, ...], int] = {(): 0}
        self._holes: list[int] = []
        self._homeless: dict[str, dict[str, Pod]] = {}

    # Nodes

    def set_node(self, node: Node) -> bool:
        """Adds or replaces a node; False where nothing that matters here changed."""
        row = self.rows.get(node.name)
        if row is None:
            row = self._take_row(node.name)
        elif self.nodes[row] == node:
            return False
        before = self.nodes[row]
        self.nodes[row] = node
        self.unschedulable[row] = node.unschedulable
        self.taint_sets[row] = self._taint_code(node.taints)
        for name in node.allocatable:
            self._resource(name)
        for name, index in self.resources.items():
            self.allocatable[index, row] = node.allocatable.get(name, 0)
        for column in self._labels.values():
            column.set(row, node.labels.get(column.key))
        if before is None or before.images != node.images:
            self._set_images(row, before.images if before else (), node.images)
        self.node_generation += 1
        self._note(row)
        if before is None:
            for pod in self._homeless.pop(node.name, {}).values():
                self._settle(pod, row)
        return True

    def remove_node(self, name: str) -> None:
        """Forgets a node. Pods still bound to it are kept aside, should it come back."""
        row = self.rows.get(name)
        if row is None:
            return
        node = self.nodes[row]
        assert node is not None
        aside = dict(self.pods[row])
        for pod in aside.values():
            self._unsettle(pod, row)
        if aside:
            self._homeless[name] = aside
        self._set_images(row, node.images, ())
        del self.rows[name]
        self.nodes[row] = None
        self.present[row] = False
        self.allocatable[:, row] = 0
        for column in self._labels.values():
            column.set(row, None)
        self._holes.append(row)
        self.node_generation += 1
        self._note(row)

    def _take_row(self, name: str) -> int:
        if self._holes:
            row = self._holes.pop()
        else:
            row = self.count
            if row == len(self.present):
                self._grow(2 * row)
            self.count += 1
            self.nodes.append(None)
            self.pods.append({})
        self.rows[name] = row
        self.present[row] = True
        digest = blake2b(f"{self.seed}/{name}".encode(), digest_size=RANK_BITS // 8).digest()
        self.rank[row] = int.from_bytes(digest, "big")
        return row

    def _grow(self, size: int) -> None:
        more = size - len(self.present)
        for name in ("present", "unschedulable", "taint_sets", "rank"):
            setattr(self, name, np.pad(getattr(self, name), (0, more)))
        for name in ("allocatable", "requested", "scored"):
            setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, more))))
        for column in self._labels.values():
            column.codes = np.pad(column.codes, (0, more))
        self.matching.grow(size)

    def _resource(self, name: str) -> int:
        index = self.resources.get(name)
        if index is None:
            index = self.resources[name] = len(self.resources)
            self.allocatable = np.pad(self.allocatable, ((0, 1), (0, 0)))
            self.requested = np.pad(self.requested, ((0, 1), (0, 0)))
        return index

    def _taint_code(self, taints: tuple[Taint, ...]) -> int:
        code = self._taint_codes.get(taints)
        if code is None:
            code = self._taint_codes[taints] = len(self.taints)
            self.taints.append(taints)
        return code

    def _set_images(self, row: int, old: Sequence[tuple[str, int]], new: Sequence[tuple[str, int]]) -> None:
        for name, _ in old:
            holders = self.images[name]
            del holders[row]
            if not holders:
                del self.images[name]
        for name, size in new:
            self.images.setdefault(name, {})[row] = size

    def label(self, key: str) -> LabelColumn:
        """The column of a label key: made when first asked for, then kept up to date."""
        column = self._labels.get(key)
        if column is None:
            column = self._labels[key] = LabelColumn(key, len(self.present))
            for row, node in enumerate(self.nodes):
                if node is not None:
                    column.set(row, node.labels.get(key))
        return column

    # Pods

    def add_pod(self, pod: Pod, node: str) -> None:
        """Counts a pod on its node, once: adding it again replaces the first, wherever it was."""
        known = self.where.get(pod.uid)
        if known is not None:
            if known[1] == node and known[0].wants is pod.wants and known[0].terminating == pod.terminating:
                self.where[pod.uid] = (pod, node)
                row = self.rows.get(node)
                (self._homeless[node] if row is None else self.pods[row])[pod.uid] = pod
                return
            self.remove_pod(pod.uid)
        self.where[pod.uid] = (pod, node)
        row = self.rows.get(node)
        if row is None:
            self._homeless.setdefault(node, {})[pod.uid] = pod
        else:
            self._settle(pod, row)

    def remove_pod(self, uid: str) -> tuple[Pod, str] | None:
        """Forgets a pod; returns what it was and where, None where it was not known."""
        known = self.where.pop(uid, None)
        if known is None:
            return None
        pod, node = known
        row = self.rows.get(node)
        if row is not None:
            self._unsettle(pod, row)
            return known
        aside = self._homeless[node]
        del aside[uid]
        if not aside:
            del self._homeless[node]
        return known

    def _settle(self, pod: Pod, row: int) -> None:
        self.pods[row][pod.uid] = pod
        self._count(pod, row, 1)
        for protocol, ip, port in pod.wants.ports:
            holders = self.ports.setdefault((protocol, port), {}).setdefault(row, {})
            holders[ip] = holders.get(ip, 0) + 1

    def _unsettle(self, pod: Pod, row: int) -> None:
        del self.pods[row][pod.uid]
        self._count(pod, row, -1)
        for protocol, ip, port in pod.wants.ports:
            by_row = self.ports[protocol, port]
            holders = by_row[row]
            holders[ip] -= 1
            if not holders[ip]:
                del holders[ip]
            if not holders:
                del by_row[row]
            if not by_row:
                del self.ports[protocol, port]

    def _count(self, pod: Pod, row: int, sign: int) -> None:
        wants = pod.wants
        # `demand` may replace `requested` by a larger array, so it comes first.
        for index, _, amount in self.demand(wants):
            self.requested[index, row] += sign * amount
        self.scored[0, row] += sign * wants.scored_cpu
        self.scored[1, row] += sign * wants.scored_memory
        self.matching.count(pod, row, sign)
        self.storage.count(pod, sign)
        self._note(row)

    # What changed

    def _note(self, row: int) -> None:
        self.changed.append(row)
        if len(self.changed) > _LOG_LIMIT:
            half = _LOG_LIMIT // 2
            del self.changed[:half]
            self.changed_base += half

    @property
    def clock(self) -> int:
        """The number of changes so far; pass it to `changes_since` later."""
        return self.changed_base + len(self.changed)

    def changes_since(self, clock: int) -> list[int] | None:
        """Rows changed since then, each once; None where that is too long ago to tell."""
        if clock < self.changed_base:
            return None
        return list(dict.fromkeys(self.changed[clock - self.changed_base :]))

    # Small questions

    @property
    def node_count(self) -> int:
        return len(self.rows)

    def demand(self, wants: Requirements) -> list[tuple[int, str, int]]:
        """(resource index, resource name, amount) of what a pod requests."""
        return [(self._resource(name), name, amount) for name, amount in wants.requests.items()]

    def node_name(self, row: int) -> str:
        node = self.nodes[row]
        assert node is not None
        return node.name

    def lookup(self, column: LabelColumn, accepted: Iterable[bool]) -> Mask:
        """A mask over rows from one verdict per distinct value of a label."""
        table = np.fromiter(accepted, np.bool_, len(column.values))
        mask: Mask = table[column.codes[: self.count]]
        return mask


def snapshot(nodes: Iterable[Node], pods: Iterable[Pod] = (), seed: int = 0) -> Columns:
    """Columns of the given nodes, with the pods that are bound to them."""
    columns = Columns(seed)
    for node in nodes:
        columns.set_node(node)
    for pod in pods:
        if pod.node and not pod.finished:
            columns.add_pod(pod, pod.node)
    return columns
