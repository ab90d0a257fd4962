"""Everything an agent measures, in one place: what its server, its documents and its evictions read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kubeletd.interfaces import PodOnNode, ProbeKey, Prober
from kubeletd.runtime.interface import EngineInfo, Runtime
from kubeletd.stats import Figures
from kubeletd.stats_disks import Disks
from kubeletd.stats_model import VolumeFigures

if TYPE_CHECKING:
    from kubeletd.csi.node import CsiNode
    from kubeletd.metrics_documents import Documents


class Measures:
    """`capacity` is the node's memory in bytes and processors, `shared` whether other nodes have the same machine."""

    def __init__(
        self,
        node_name: str,
        runtime: Runtime,
        root: Path | None,
        prober: Prober,
        pods: Callable[[], Sequence[PodOnNode]],
        engine: Callable[[], EngineInfo | None],
        capacity: Callable[[], tuple[int, float]],
        clock: Callable[[], float],
        *,
        shared: bool,
        csi: CsiNode | None = None,
    ) -> None:
        self.node_name = node_name
        self.runtime = runtime
        self.started_at = clock()
        self.evictions: Counter[str] = Counter()  # by signal
        self.pods = pods
        self._prober = prober
        self._engine = engine
        self._capacity = capacity
        self.shared = shared
        self.figures = Figures(runtime, pods, lambda: capacity()[0], clock, shared=shared)
        self.disks = Disks(runtime, root, self._image_root, clock)
        self._csi = csi

    def _image_root(self) -> str:
        engine = self._engine()
        return engine.root_dir if engine is not None else ""

    async def volumes(self, pod: PodOnNode) -> Sequence[VolumeFigures]:
        """What drivers say of the pod's volumes."""
        if self._csi is None or not self._csi.has_volumes(pod.uid):
            return ()
        from kubeletd.csi.figures import of_pod

        return await of_pod(self._csi, pod.pod)

    @property
    def probe_counts(self) -> Mapping[ProbeKey, int]:
        return self._prober.counts

    @property
    def cores(self) -> float:
        return self._capacity()[1]

    @cached_property
    def documents(self) -> Documents:
        # Most agents are never asked for any.
        from kubeletd.metrics_documents import Documents

        return Documents(self)

    async def close(self) -> None:
        await self.figures.close()
