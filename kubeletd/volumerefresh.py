"""Brings the volumes of running pods up to date when what they show has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from apimachinery.errors import StatusError
from kubeletd.interfaces import MountError, Record, Volumes
from kubeletd.podworker import PodWorker

REFRESH_SECONDS = 60.0
_REFRESHED = ("configMap", "secret", "downwardAPI", "projected")


class VolumeRefresh:
    """One node's. `workers` are its pods as they are; `record` makes an event of a pod."""

    def __init__(self, volumes: Volumes, workers: Mapping[str, PodWorker], record: Record) -> None:
        self._volumes = volumes
        self._workers = workers
        self._record = record
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # changed once more while they were refreshed

    def changed(self, uid: str) -> None:
        """An object that the pod's volumes show is another one."""
        if uid not in self._workers:
            return
        if uid in self._tasks:
            self._again.add(uid)
            return
        task = self._tasks[uid] = asyncio.create_task(self._refresh(uid), name=f"refresh {uid}")
        task.add_done_callback(lambda _: self._tasks.pop(uid, None))

    async def run(self) -> None:
        """Renews tokens in time, and makes up for a change whose notice got lost."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            for uid, worker in list(self._workers.items()):
                volumes = worker.pod["spec"].get("volumes") or ()
                shown = any(kind in volume for volume in volumes for kind in _REFRESHED)
                if shown or self._volumes.renewed(uid):
                    self.changed(uid)
                    if uid in self._tasks:
                        await asyncio.wait([self._tasks[uid]])

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self, uid: str) -> None:
        self._again.add(uid)
        while uid in self._again:
            self._again.discard(uid)
            worker = self._workers.get(uid)
            if worker is None or worker.state.stopping:
                return
            try:
                await self._volumes.refresh(worker.pod, worker.facts())
            except (MountError, StatusError, OSError) as error:
                self._record(worker.pod, "", "Warning", "FailedMount", str(error))
