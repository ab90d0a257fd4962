"""The ClusterRole aggregation controller."""

from __future__ import annotations

from typing import Any, ClassVar

from controllermanager.controller import Controller, Key
from controllermanager.plans import roleaggregation as plans
from controllermanager.plans.roleaggregation import CLUSTER_ROLES


class ClusterRoleAggregationController(Controller):
    name: ClassVar[str] = "clusterrole-aggregation-controller"
    workers: ClassVar[int] = 1

    def setup(self) -> None:
        self._roles = self.watch(CLUSTER_ROLES, self._changed)

    def _changed(self, old: Any, new: Any) -> None:
        """Any role may be what an aggregating one selects, or have been."""
        for role in self._roles_known():
            if plans.aggregates(role):
                self.enqueue(None, role)
        if new is not None and plans.aggregates(new):
            self.enqueue(None, new)

    def _roles_known(self) -> list[dict[str, Any]]:
        return list(self.context.informer(CLUSTER_ROLES).store.values())

    async def sync(self, key: Key) -> float | None:
        role = self._roles.store.get(key)
        if role is None:
            return None
        return await self.executor.run(plans.plan(role, self._roles.store.values()))
