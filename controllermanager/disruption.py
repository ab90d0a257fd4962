"""The disruption controller: keeps the status of PodDisruptionBudgets."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta, resources
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import disruption as plans
from controllermanager.plans.disruption import BUDGETS
from controllermanager.plans.views import PodView, by_namespace, object_by_namespace

_SCALED = (
    resources.get("replicasets", "apps"),
    resources.get("statefulsets", "apps"),
    resources.get("replicationcontrollers"),
)
DEPLOYMENTS = resources.get("deployments", "apps")


def _replicas(obj: dict[str, Any]) -> int:
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


class DisruptionController(Controller):
    name: ClassVar[str] = "disruption-controller"
    source: ClassVar[str] = "controllermanager"

    def setup(self) -> None:
        self._budgets = self.watch(BUDGETS, self.enqueue)
        self._budgets.add_index("namespace", object_by_namespace)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("namespace", by_namespace)
        self._deployments = self.watch(DEPLOYMENTS, self._scale_changed)
        self._scaled = [self.watch(resource, self._scale_changed) for resource in _SCALED]
        for informer in self._scaled:
            informer.add_index("namespace", object_by_namespace)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        pod = new if new is not None else old
        assert pod is not None
        for budget in self._budgets.by_index("namespace", pod.namespace):
            if any(p is not None and plans.selects(budget, p.labels) for p in (old, new)):
                self.enqueue(None, budget)

    def _scale_changed(self, old: Any, new: Any) -> None:
        if old is not None and new is not None and _replicas(old) == _replicas(new):
            return
        for budget in self._budgets.by_index("namespace", (new or old)["metadata"]["namespace"]):
            self.enqueue(None, budget)

    async def sync(self, key: Key) -> float | None:
        budget = self._budgets.store.get(key)
        if budget is None:
            return None
        namespace = key[0]
        pods = self._pods.by_index("namespace", namespace)
        snapshot = plans.Snapshot(budget, pods, self._scales(namespace))
        return await self.executor.run(plans.plan(snapshot, self.context.now()))

    def _scales(self, namespace: str) -> dict[str, tuple[str, int]]:
        scales: dict[str, tuple[str, int]] = {}
        for informer in self._scaled:
            for obj in informer.by_index("namespace", namespace):
                owner = meta.controller_of(obj)
                above = self._deployments.get(namespace, owner["name"]) if owner is not None else None
                top = obj if above is None else above
                scales[obj["metadata"]["uid"]] = (top["metadata"]["uid"], _replicas(top))
        return scales
