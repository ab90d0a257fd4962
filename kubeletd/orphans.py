"""What is left of pods that are no more: deleted, or deleted by force, while no agent ran."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from kubeletd.interfaces import MountError
from kubeletd.parts import Parts
from kubeletd.runtime.interface import ContainerState, RuntimeFailure

log = logging.getLogger(__name__)

_GRACE = 10.0  # seconds; how long the pod wanted is no longer known


class Orphans:
    """Removals under way, by uid; one that fails is tried again when it is found again."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def found(self, uid: str, containers: Sequence[ContainerState]) -> None:
        """No pod of this node has that uid: its containers (there may be none) and its files are removed."""
        if uid in self._tasks:
            return
        task = asyncio.create_task(self._remove(uid, containers), name=f"remove orphan {uid}")
        self._tasks[uid] = task
        task.add_done_callback(lambda _: self._tasks.pop(uid, None))

    async def _remove(self, uid: str, containers: Sequence[ContainerState]) -> None:
        names = {f"{c.identity.namespace}/{c.identity.pod}" for c in containers} or {"unknown"}
        log.info("removing what is left of pod %s (%s)", ", ".join(names), uid)
        runtime = self._parts.runtime
        apps = [c for c in containers if c.identity.kind != "sandbox"]
        sandboxes = [c for c in containers if c.identity.kind == "sandbox"]
        try:
            await asyncio.gather(*(runtime.stop(c.id, _GRACE) for c in apps if c.status == "running"))
            for container in [*apps, *sandboxes]:
                await runtime.remove(container.id)
            await runtime.forget_pod(uid)
            await self._parts.volumes.unmount_all(uid)
            self._parts.addresses.release(uid)
        except (RuntimeFailure, MountError, OSError) as error:
            log.warning("pod %s is left over: %s", uid, error)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
