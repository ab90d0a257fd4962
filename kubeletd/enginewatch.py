"""What the engine tells of a node's containers: each event to its pod's worker, and lists as the net under them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from kubeletd.orphans import Orphans
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podworker import PodWorker
from kubeletd.runtime.interface import ContainerState, EngineInfo, Image, RuntimeEvent, RuntimeFailure

log = logging.getLogger(__name__)

RELIST_SECONDS = 300.0
_ENGINE_DOWN = "container runtime is down"


class EngineWatch:
    """One node's. `workers` are its pods as they are; `changed` is told when the engine is there again, or no more.

    `info` and `images` are what the engine last told, None and nothing before it is there.
    """

    def __init__(self, parts: Parts, workers: Mapping[str, PodWorker], changed: Callable[[], None]) -> None:
        self._parts = parts
        self._workers = workers
        self._changed = changed
        self._down = False
        self._orphans = Orphans(parts)
        self.info: EngineInfo | None = None
        self.images: Sequence[Image] = ()

    @property
    def trouble(self) -> str:
        """Why the node cannot be ready, as its condition says it; "" if it can."""
        return _ENGINE_DOWN if self._down else ""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._relist())

    async def close(self) -> None:
        await self._orphans.close()

    async def _follow(self) -> None:
        async for event in self._parts.runtime.events():
            if event.action == "resync":
                self._set_down(False)
                await self._reconcile()
            elif event.action == "lost":
                self._set_down(True)
            else:
                self._dispatch(event)

    def _set_down(self, down: bool) -> None:
        if down != self._down:
            self._down = down
            self._changed()

    def _dispatch(self, event: RuntimeEvent) -> None:
        worker = self._workers.get(event.identity.uid) if event.identity else None
        if worker is not None:
            worker.on_engine(event)

    async def _relist(self) -> None:
        """The net under the event stream."""
        while True:
            await asyncio.sleep(RELIST_SECONDS)
            await self._reconcile()

    async def _reconcile(self) -> None:
        """Compares all containers of this node with what the workers think there is."""
        # A list is old when it comes: only what stood so before it was asked for may be held against it.
        before = {uid: worker.standing() for uid, worker in self._workers.items()}
        try:
            found = await self._parts.runtime.list_containers()
            self.images = await self._parts.runtime.images()
            uids = await self._parts.volumes.uids()
        except (RuntimeFailure, OSError) as error:
            log.warning("containers are not listed: %s", error)
            return
        by_uid: dict[str, dict[str, ContainerState]] = {uid: {} for uid in uids}
        for container in found:
            by_uid.setdefault(container.identity.uid, {})[container.id] = container
        for uid, worker in list(self._workers.items()):
            containers = by_uid.get(uid, {})
            await worker.reconcile({c.id: c.status for c in containers.values()}, before.get(uid, {}))
            for container in containers.values():
                if not worker.knows(container.id, container.identity.container):
                    worker.post(ev.Stray(container.id))
        for uid, containers in by_uid.items():
            if uid not in self._workers:
                self._orphans.found(uid, list(containers.values()))
