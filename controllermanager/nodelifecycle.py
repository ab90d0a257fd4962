"""The node lifecycle controller: heartbeats, conditions and taints of nodes, readiness of lost nodes' pods."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from apimachinery import resources
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import nodehealth as plans
from controllermanager.plans.nodehealth import NODES, EvictionBudget, Heartbeat
from controllermanager.plans.views import by_node

LEASES = resources.get("leases", "coordination.k8s.io")
_LEASE_NAMESPACE = "kube-node-lease"


class NodeLifecycleController(Controller):
    name: ClassVar[str] = "node-lifecycle-controller"
    source: ClassVar[str] = "node-controller"
    workers: ClassVar[int] = 4

    def setup(self) -> None:
        self._heartbeats: dict[str, Heartbeat] = {}
        self._ready: dict[str, str] = {}
        self._budget = EvictionBudget(self.context.config.node_eviction_rate)
        self._leases = self.watch(LEASES)
        self._pods = self.watch(PODS)
        self._pods.add_index("node", by_node)
        self._nodes = self.watch(NODES, self._node_changed)

    def _node_changed(self, old: Any, new: Any) -> None:
        if new is None:
            name = old["metadata"]["name"]
            self._heartbeats.pop(name, None)
            self._ready.pop(name, None)
            self.context.recorder.event(
                {"kind": "Node", "apiVersion": "v1", "name": name, "uid": old["metadata"]["uid"]},
                "Normal",
                "RemovingNode",
                f"Node {name} event: Removing Node {name} from Controller",
                component=self.source,
            )
            return
        self.enqueue(old, new)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_around())
            tasks.create_task(super().run())

    async def _look_around(self) -> None:
        """Silence makes no events: every node is looked at once a period."""
        await self._nodes.synced()
        while True:
            for key in self._nodes.store:
                self.queue.add(key)
            await asyncio.sleep(self.context.config.node_monitor_period)

    async def sync(self, key: Key) -> float | None:
        node = self._nodes.store.get(key)
        if node is None:
            return None
        name, now = key[1], asyncio.get_running_loop().time()
        sign = plans.sign_of_life(node, self._leases.get(_LEASE_NAMESPACE, name))
        heartbeat = self._heartbeats.get(name)
        if heartbeat is None:
            self.context.recorder.event(
                {"kind": "Node", "apiVersion": "v1", "name": name, "uid": node["metadata"]["uid"]},
                "Normal",
                "RegisteredNode",
                f"Node {name} event: Registered Node {name} in Controller",
                component=self.source,
            )
        if heartbeat is None or heartbeat.sign != sign:
            heartbeat = self._heartbeats[name] = Heartbeat(sign, now)
        if not self._leases.following:
            heartbeat.at = now  # Nobody can be heard: that is no silence of the node's.
        if plans.is_lost(heartbeat, now, self.context.config.node_monitor_grace_period):
            await self.executor.run(plans.unknown_conditions(node, self.context.now()))
            node = self._nodes.store.get(key)
            if node is None:
                return None
            # The change of status that we made is no sign of life.
            heartbeat.sign = plans.sign_of_life(node, self._leases.get(_LEASE_NAMESPACE, name))
        await self._follow_readiness(name, node)
        return await self.executor.run(plans.taints(node, self._may_evict(node, now), self.context.now()))

    async def _follow_readiness(self, name: str, node: dict[str, Any]) -> None:
        ready = plans.ready_of(node)
        before = self._ready.get(name)
        if ready != "True":
            pods = self._pods.by_index("node", name)
            await self.executor.run(plans.not_ready_pods(node, pods, self.context.now()))
            if before == "True":
                text = f"Node {name} status is now: NodeNotReady"
                await self.executor.one(plans.node_event(node, "NodeNotReady", text))
        self._ready[name] = ready

    def _may_evict(self, node: dict[str, Any], now: float) -> bool:
        """Whether the node may have its NoExecute taint (now, or keep it)."""
        if plans.ready_of(node) == "True":
            return False
        rate = self._budget.allowed_rate(list(self._nodes.store.values()))
        if plans.is_evicting(node):
            return any(plans.ready_of(n) == "True" for n in self._nodes.store.values())
        return self._budget.take(rate, now)
