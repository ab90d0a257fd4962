"""How a node stays usable: what it measures, what it evicts when short, the images it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apimachinery import quantity
from kubeletd import nodestatus
from kubeletd.eviction import EvictionSettings, Pressures, refusal
from kubeletd.eviction_plan import Eviction
from kubeletd.imagegc import ImageCollector, ImageGCSettings
from kubeletd.interfaces import Pod, PodOnNode
from kubeletd.nodestatus import NodeFindings, NodeSettings
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podworker import PodWorker
from kubeletd.runtime.interface import EngineInfo
from kubeletd.stats_measures import Measures


@dataclass(frozen=True, slots=True)
class UpkeepSettings:
    eviction: EvictionSettings = field(default_factory=EvictionSettings)
    image_gc: ImageGCSettings = field(default_factory=ImageGCSettings)


class Upkeep:
    """One node's. `workers` are its pods as they are; `record_node(type, reason, message)` makes an event of the node;
    `changed` is told when the node's conditions may be others.
    """

    def __init__(
        self,
        node: NodeSettings,
        settings: UpkeepSettings,
        parts: Parts,
        workers: Mapping[str, PodWorker],
        pods: Callable[[], Sequence[PodOnNode]],
        engine: Callable[[], EngineInfo | None],
        record_node: Callable[[str, str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._node = node
        self._parts = parts
        self._workers = workers
        self._engine = engine
        self._record_node = record_node
        self.measures = Measures(
            node.name,
            parts.runtime,
            parts.root,
            parts.prober,
            pods,
            engine,
            self._capacity,
            parts.clock,
            # A node that was given its memory has only a part of the machine.
            shared="memory" in node.capacity,
            csi=parts.csi,
        )
        self._collector = ImageCollector(
            parts.runtime,
            self.measures.disks,
            parts.root / "pulled-images.json" if parts.root else None,
            settings.image_gc,
            self._images_wanted,
            self._disk_stays_full,
            parts.clock,
        )
        self._pressures = Pressures(
            self.measures, settings.eviction, self._evict, changed, self._collector.reclaim, parts.clock
        )

    @property
    def conditions(self) -> frozenset[str]:
        """Of what the node is short."""
        return self._pressures.conditions

    def refusal(self, pod: Pod) -> tuple[str, str] | None:
        """(reason, message) if the node is too short of something to take the pod."""
        return refusal(pod, self.conditions)

    async def run(self) -> None:
        """Until cancelled. Simulated nodes are never short of anything."""
        if self._parts.root is None:
            return
        self._parts.images.on_pulled = self._collector.pulled
        self._collector.on_removed = self._parts.images.records.forget
        async with asyncio.TaskGroup() as group:
            group.create_task(self._collector.run())
            group.create_task(self._pressures.run())

    async def close(self) -> None:
        await self.measures.close()

    def _capacity(self) -> tuple[int, float]:
        """Memory in bytes, processors."""
        engine = self._engine()
        if engine is None:
            return 0, 0.0
        found = nodestatus.capacity(self._node, NodeFindings(engine=engine))
        return quantity.to_int(found["memory"]), quantity.to_milli(found["cpu"]) / 1000

    def _evict(self, eviction: Eviction) -> None:
        worker = self._workers.get(eviction.uid)
        if worker is not None and not worker.state.stopping:
            self._parts.record(worker.pod, "", "Warning", "Evicted", eviction.message)
            worker.post(ev.Rejected("Evicted", eviction.message, eviction.grace))

    def _images_wanted(self) -> set[str]:
        """The names of the images that pods of this node are made from or show."""
        found: set[Any] = set()
        for worker in self._workers.values():
            spec = worker.pod["spec"]
            found |= {c["image"] for c in [*spec["containers"], *(spec.get("initContainers") or ())]}
            found |= {v["image"].get("reference") for v in spec.get("volumes") or () if "image" in v}
        return found

    def _disk_stays_full(self, message: str) -> None:
        self._record_node("Warning", "FreeDiskSpaceFailed", message)
