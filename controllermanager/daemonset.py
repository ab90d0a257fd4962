"""The DaemonSet controller."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta, selectors
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import daemonset as plans
from controllermanager.plans.daemonset import DAEMON_SETS
from controllermanager.plans.nodehealth import NODES
from controllermanager.plans.revisions import REVISIONS
from controllermanager.plans.views import PodView, by_controller, object_by_controller, object_by_namespace


class DaemonSetController(Controller):
    name: ClassVar[str] = "daemonset-controller"

    def setup(self) -> None:
        self._sets = self.watch(DAEMON_SETS, self.enqueue)
        self._sets.add_index("namespace", object_by_namespace)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("controller", by_controller)
        self._revisions = self.watch(REVISIONS, self._revision_changed)
        self._revisions.add_index("controller", object_by_controller)
        self._nodes = self.watch(NODES, self._node_changed)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        for pod in (old, new):
            owner = pod.controller if pod is not None else None
            if pod is not None and owner is not None and owner.kind == "DaemonSet":
                self.queue.add((pod.namespace, owner.name))
        if new is not None and new.controller is None and not new.deleting:
            for found in self._sets.by_index("namespace", new.namespace):
                selector = selectors.from_label_selector(found["spec"].get("selector"))
                if not selector.empty and selector.matches(new.labels):
                    self.enqueue(None, found)

    def _revision_changed(self, old: Any, new: Any) -> None:
        obj = new if new is not None else old
        owner = meta.controller_of(obj)
        if owner is not None and owner["kind"] == "DaemonSet":
            self.queue.add((obj["metadata"]["namespace"], owner["name"]))

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
        mine = self._pods.by_index("controller", uid)
        orphans = self._pods.by_index("controller", ("", key[0]))
        snapshot = plans.Snapshot(
            owner,
            [*mine, *orphans],
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
