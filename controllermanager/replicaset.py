"""The ReplicaSet and ReplicationController controllers."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import resources
from apimachinery.resources import Resource
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import replicaset as plans
from controllermanager.plans.views import (
    MetaView,
    PodView,
    by_controller,
    object_by_controller,
    object_by_namespace,
)


class ReplicaSetController(Controller):
    name: ClassVar[str] = "replicaset-controller"
    resource: ClassVar[Resource] = resources.get("replicasets", "apps")

    def setup(self) -> None:
        self._owners = self.watch(self.resource, self._owner_changed)
        self._owners.add_index("namespace", object_by_namespace)
        self._owners.add_index("controller", object_by_controller)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("controller", by_controller)

    def _owner_changed(self, old: Any, new: Any) -> None:
        self.enqueue(old, new)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        before = old.controller if old is not None else None
        after = new.controller if new is not None else None
        if before is not None and (after is None or after.uid != before.uid):
            self._enqueue_owner(old, before.kind, before.name)
        if after is not None:
            self._enqueue_owner(new, after.kind, after.name)
        elif new is not None and not new.deleting and (old is None or old.labels != new.labels or before):
            for owner in self._owners.by_index("namespace", new.namespace):
                selector = plans.selector_of(owner, self.resource)
                if not selector.empty and selector.matches(new.labels):
                    self.enqueue(None, owner)

    def _enqueue_owner(self, pod: PodView | None, kind: str, name: str) -> None:
        if pod is not None and kind == self.resource.kind:
            self.queue.add((pod.namespace, name))

    async def sync(self, key: Key) -> float | None:
        owner = self._owners.store.get(key)
        if owner is None:
            return None
        namespace = key[0]
        mine = self._pods.by_index("controller", owner["metadata"]["uid"])
        orphans = self._pods.by_index("controller", ("", namespace))
        snapshot = plans.Snapshot(owner, self.resource, [*mine, *orphans], self._related(owner, mine))
        context = self.context
        plan = plans.plan(snapshot, context.now(), iter(context.suffixes()))
        await self.executor.run(plan.claims)
        changes = plan.creates or plan.deletes
        failure: Exception | None = None
        if changes:
            done, failure = await self.executor.batch(changes)
            for event in plans.events(owner, self.resource, changes[:done], str(failure) if failure else ""):
                await self.executor.one(event)
            if failure is None and (owner := self._owners.store.get(key)) is None:
                return None
            # The pods just created or deleted are in the informer already.
            snapshot = plans.Snapshot(owner or snapshot.owner, self.resource, (), ())
        current = self._pods.by_index("controller", snapshot.owner["metadata"]["uid"])
        delay = await self.executor.run(
            plans.plan_status(snapshot, current, str(failure or ""), plan.reason, context.now())
        )
        if failure is not None:
            raise failure
        if len(changes) >= plans.BURST:
            return 0.0
        return delay

    def _related(self, owner: dict[str, Any], mine: list[PodView]) -> list[PodView]:
        controller = MetaView.of(owner).controller
        if controller is None:
            return mine
        siblings = self._owners.by_index("controller", controller.uid)
        related: list[PodView] = []
        for sibling in siblings:
            related += self._pods.by_index("controller", sibling["metadata"]["uid"])
        return related


class ReplicationControllerController(ReplicaSetController):
    name: ClassVar[str] = "replicationcontroller-controller"
    source: ClassVar[str] = "replication-controller"
    resource: ClassVar[Resource] = resources.get("replicationcontrollers")
