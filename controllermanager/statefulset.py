"""The StatefulSet controller."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery.resources import Resource
from controllermanager.controller import Key
from controllermanager.plans import statefulset as plans
from controllermanager.plans.claimretention import CLAIMS
from controllermanager.plans.statefulset import STATEFUL_SETS
from controllermanager.plans.views import object_by_namespace
from controllermanager.revisioned import RevisionedController


class StatefulSetController(RevisionedController):
    name: ClassVar[str] = "statefulset-controller"
    sets: ClassVar[Resource] = STATEFUL_SETS

    def setup(self) -> None:
        super().setup()
        self._claims = self.watch(CLAIMS, self._claim_changed)
        self._claims.add_index("namespace", object_by_namespace)

    def _claim_changed(self, old: Any, new: Any) -> None:
        """A pod may wait for a new claim in the place of one that is gone."""
        if new is not None:
            return
        for found in self._sets.by_index("namespace", old["metadata"]["namespace"]):
            if found["spec"].get("volumeClaimTemplates"):
                self.enqueue(None, found)

    async def sync(self, key: Key) -> float | None:
        owner = self._sets.store.get(key)
        if owner is None:
            return None
        uid, namespace = owner["metadata"]["uid"], key[0]
        # A pod of that name that nobody or someone else controls stands in the way; the creation will say so.
        pods = self.pods_of(uid, namespace)
        claims = {each["metadata"]["name"]: each for each in self._claims.by_index("namespace", namespace)}
        snapshot = plans.Snapshot(owner, pods, self._revisions.by_index("controller", uid), claims)
        plan = plans.plan(snapshot, self.context.now())
        await self.executor.run(plan.first)
        _, failure = await self.executor.batch(plan.pods)
        delay = await self.executor.run(plan.last)
        if failure is not None:
            raise failure
        return delay
