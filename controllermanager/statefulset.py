"""The StatefulSet controller."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta, selectors
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import statefulset as plans
from controllermanager.plans.claimretention import CLAIMS
from controllermanager.plans.revisions import REVISIONS
from controllermanager.plans.statefulset import STATEFUL_SETS
from controllermanager.plans.views import PodView, by_controller, object_by_controller, object_by_namespace


class StatefulSetController(Controller):
    name: ClassVar[str] = "statefulset-controller"

    def setup(self) -> None:
        self._sets = self.watch(STATEFUL_SETS, self.enqueue)
        self._sets.add_index("namespace", object_by_namespace)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("controller", by_controller)
        self._revisions = self.watch(REVISIONS, self._revision_changed)
        self._revisions.add_index("controller", object_by_controller)
        self._claims = self.watch(CLAIMS, self._claim_changed)
        self._claims.add_index("namespace", object_by_namespace)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        for pod in (old, new):
            owner = pod.controller if pod is not None else None
            if pod is not None and owner is not None and owner.kind == "StatefulSet":
                self.queue.add((pod.namespace, owner.name))
        if new is not None and new.controller is None and not new.deleting:
            for found in self._sets.by_index("namespace", new.namespace):
                selector = selectors.from_label_selector(found["spec"].get("selector"))
                if not selector.empty and selector.matches(new.labels):
                    self.enqueue(None, found)

    def _revision_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        owner = meta.controller_of(obj)
        if owner is not None and owner["kind"] == "StatefulSet":
            self.queue.add((obj["metadata"]["namespace"], owner["name"]))

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
        mine = self._pods.by_index("controller", uid)
        orphans = self._pods.by_index("controller", ("", namespace))
        claims = {each["metadata"]["name"]: each for each in self._claims.by_index("namespace", namespace)}
        snapshot = plans.Snapshot(
            owner, [*mine, *orphans], self._revisions.by_index("controller", uid), claims
        )
        plan = plans.plan(snapshot, self.context.now())
        await self.executor.run(plan.first)
        _, failure = await self.executor.batch(plan.pods)
        delay = await self.executor.run(plan.last)
        if failure is not None:
            raise failure
        return delay
