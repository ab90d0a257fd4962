"""The pod garbage collector."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from apimachinery.errors import StatusError
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import podgc as plans
from controllermanager.plans.nodehealth import NODES

_PERIOD = 20.0  # seconds
_QUARANTINE = 40.0  # seconds a node must have been missing, at most
_ALL: Key = ("", "")


class PodGarbageCollector(Controller):
    """One key: all pods are looked at together."""

    name: ClassVar[str] = "pod-garbage-collector-controller"
    workers: ClassVar[int] = 1

    def setup(self) -> None:
        self._missing: dict[str, float] = {}
        self._quarantine = min(_QUARANTINE, self.context.config.node_monitor_grace_period)
        self._nodes = self.watch(NODES, self._node_changed)
        self._pods = self.watch(PODS)

    def _node_changed(self, old: Any, new: Any) -> None:
        if new is None:
            self.queue.add(_ALL)

    async def run(self) -> None:
        self.queue.add(_ALL)
        await super().run()

    async def sync(self, key: Key) -> float | None:
        now = asyncio.get_running_loop().time()
        pods = list(self._pods.store.values())
        names = {name for _, name in self._nodes.store}
        missing = plans.orphaned(pods, names)
        self._missing = {name: self._missing.get(name, now) for name in missing}
        due = [name for name, since in self._missing.items() if now - since >= self._quarantine]
        gone = [name for name in due if not await self._exists(name)]
        dead = [n["metadata"]["name"] for n in self._nodes.store.values() if plans.is_out_of_service(n)]
        for action in plans.plan(pods, set(gone), set(dead), self.context.now()):
            await self.executor.one(action)
        waits = [self._quarantine - (now - since) for name, since in self._missing.items() if name not in due]
        return max(0.05, min([_PERIOD, *waits]))

    async def _exists(self, name: str) -> bool:
        try:
            await self.context.client.get(NODES, name)
        except StatusError as error:
            if error.code != 404:
                raise
            return False
        return True
