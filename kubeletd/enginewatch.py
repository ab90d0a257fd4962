"""What the engine tells of a node's containers: each event to its pod's worker, and lists as the net under them.

An engine may hang without closing its socket. While it tells nothing by itself it is asked now and then whether it is
there; what that means for the node `enginehealth` decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kubeletd import enginehealth
from kubeletd.enginehealth import Signs
from kubeletd.orphans import Orphans
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podworker import PodWorker
from kubeletd.runtime.interface import ContainerState, EngineInfo, Image, RuntimeEvent, RuntimeFailure

log = logging.getLogger(__name__)

RELIST_SECONDS = 300.0
PING_SECONDS = 10.0


class EngineWatch:
    """One node's. `workers` are its pods as they are; `changed` is told when the engine is there again, or no more.

    `info` and `images` are what the engine last told, None and nothing before it is there. It is asked whether it is
    there every `ping_seconds`, and has as long to answer.
    """

    def __init__(
        self,
        parts: Parts,
        workers: Mapping[str, PodWorker],
        changed: Callable[[], None],
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._parts = parts
        self._workers = workers
        self._changed = changed
        self._ping_seconds = ping_seconds
        self._signs = Signs()
        self._heard = False  # an event came since it was last asked
        self._orphans = Orphans(parts)
        self.info: EngineInfo | None = None
        self.images: Sequence[Image] = ()

    @property
    def trouble(self) -> str:
        """Why the node cannot be ready, as its condition says it; "" if it can."""
        return enginehealth.trouble(self._signs)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._relist())
            group.create_task(self._ask())

    async def close(self) -> None:
        await self._orphans.close()

    async def _follow(self) -> None:
        async for event in self._parts.runtime.events():
            self._heard = True
            if event.action == "resync":
                self._see(connected=True)
                await self._reconcile()
            elif event.action == "lost":
                self._see(connected=False)
            else:
                self._dispatch(event)

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        silent_since = 0.0
        while True:
            if not silent_since:
                await asyncio.sleep(self._ping_seconds)
            asked_at = loop.time()
            busy_for = self._parts.runtime.busy_for()
            if self._heard and not silent_since:
                self._heard = False
                self._see(busy_for=busy_for)
                continue
            try:
                await self._parts.runtime.ping(self._ping_seconds)
            except RuntimeFailure as error:
                if not silent_since:
                    silent_since = asked_at
                    log.warning("%s", error)
                self._see(silent_for=loop.time() - silent_since, busy_for=busy_for)
                # One that refuses does so at once.
                await asyncio.sleep(max(0.0, asked_at + self._ping_seconds - loop.time()))
                continue
            was_down = bool(self.trouble)
            self._see(silent_for=0.0, busy_for=busy_for)
            if silent_since:
                silent_since = 0.0
                log.info("the container runtime answers again")
                if was_down:
                    await self._reconcile()

    def _see(self, **signs: Any) -> None:
        before = self.trouble
        self._signs = replace(self._signs, **signs)
        if self.trouble != before:
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
