"""The DaemonSet controller."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta
from apimachinery.resources import Resource
from controllermanager.controller import Key
from controllermanager.plans import daemonset as plans
from controllermanager.plans.daemonset import DAEMON_SETS
from controllermanager.plans.nodehealth import NODES
from controllermanager.revisioned import RevisionedController


class DaemonSetController(RevisionedController):
    name: ClassVar[str] = "daemonset-controller"
    sets: ClassVar[Resource] = DAEMON_SETS

    def setup(self) -> None:
        super().setup()
        self._nodes = self.watch(NODES, self._node_changed)

    def _node_changed(self, old: Any, new: Any) -> None:
        """Heartbeats change nothing here: only labels and taints, and nodes that come and go."""
        if old is not None and new is not None:
            same_taints = (old.get("spec") or {}).get("taints") == (new.get("spec") or {}).get("taints")
            if same_taints and meta.labels(old) == meta.labels(new):
                return
        for found in self._sets.store.values():
            self.enqueue(None, found)

    async def sync(self, key: Key) -> float | None:
        owner = self._sets.store.get(key)
        if owner is None:
            return None
        uid = owner["metadata"]["uid"]
        snapshot = plans.Snapshot(
            owner,
            self.pods_of(uid, key[0]),
            self._revisions.by_index("controller", uid),
            list(self._nodes.store.values()),
        )
        context = self.context
        plan = plans.plan(snapshot, context.now(), iter(context.suffixes()))
        await self.executor.run(plan.first)
        failure: Exception | None = None
        for actions in (plan.deletes, plan.creates):
            done, error = await self.executor.batch(actions)
            failure = failure or error
            for event in plans.events(owner, actions[:done]):
                await self.executor.one(event)
        delay = await self.executor.run(plan.last)
        if failure is not None:
            raise failure
        return delay
