"""The Deployment controller."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta, selectors
from apimachinery.errors import StatusError
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import deployment as plans
from controllermanager.plans.actions import Create
from controllermanager.plans.deployment_sets import DEPLOYMENTS, REPLICA_SETS
from controllermanager.plans.views import PodView, by_controller, object_by_controller, object_by_namespace


class DeploymentController(Controller):
    name: ClassVar[str] = "deployment-controller"

    def setup(self) -> None:
        self._deployments = self.watch(DEPLOYMENTS, self.enqueue)
        self._deployments.add_index("namespace", object_by_namespace)
        self._sets = self.watch(REPLICA_SETS, self._set_changed)
        self._sets.add_index("controller", object_by_controller)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("controller", by_controller)

    def _set_changed(self, old: Any, new: Any) -> None:
        owners = [meta.controller_of(obj) if obj is not None else None for obj in (old, new)]
        namespace = (new or old)["metadata"]["namespace"]
        for owner in owners:
            if owner is not None and owner["kind"] == "Deployment":
                self.queue.add((namespace, owner["name"]))
        if new is not None and owners[1] is None and not new["metadata"].get("deletionTimestamp"):
            for deployment in self._deployments.by_index("namespace", namespace):
                selector = selectors.from_label_selector(deployment["spec"].get("selector"))
                if not selector.empty and selector.matches(meta.labels(new)):
                    self.enqueue(None, deployment)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        """A pod that is gone or has ended may be the last one a Recreate rollout waits for."""
        if old is None or (new is not None and not (new.finished and not old.finished)):
            return
        owner = old.controller
        if owner is None or owner.kind != "ReplicaSet":
            return
        replica_set = self._sets.get(old.namespace, owner.name)
        controller = meta.controller_of(replica_set) if replica_set is not None else None
        if controller is None:
            return
        deployment = self._deployments.get(old.namespace, controller["name"])
        if deployment is not None and (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            self.enqueue(None, deployment)

    async def sync(self, key: Key) -> float | None:
        deployment = self._deployments.store.get(key)
        if deployment is None:
            return None
        mine = self._sets.by_index("controller", deployment["metadata"]["uid"])
        orphans = self._sets.by_index("controller", ("", key[0]))
        unfinished = {}
        if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            for replica_set in mine:
                uid = replica_set["metadata"]["uid"]
                unfinished[uid] = sum(1 for pod in self._pods.by_index("controller", uid) if not pod.finished)
        now = self.context.now()
        actions = plans.plan(plans.Snapshot(deployment, [*mine, *orphans], unfinished), now)
        create = next((action for action in actions if isinstance(action, Create)), None)
        try:
            return await self.executor.run(actions)
        except StatusError as error:
            if create is None:
                raise
            name = create.obj["metadata"]["name"]
            if error.reason == "AlreadyExists":
                existing = await self.context.client.get(REPLICA_SETS, name, key[0])
                again = plans.collision(deployment, existing)
                if again is not None:
                    await self.executor.one(again)
            elif self._sets.get(key[0], name) is None and error.code not in (404, 409):
                for action in plans.creation_failed(deployment, create, error.message, now):
                    await self.executor.one(action)
            raise
