"""The node IPAM controller: gives each node its pod CIDR."""

from __future__ import annotations

from typing import ClassVar

from controllermanager.controller import Controller, Key
from controllermanager.plans import nodeipam as plans
from controllermanager.plans.nodeipam import NODES


class NodeIpamController(Controller):
    name: ClassVar[str] = "node-ipam-controller"
    workers: ClassVar[int] = (
        1  # One after the other, each seeing the last one's write: no share is given twice.
    )

    def setup(self) -> None:
        self._nodes = self.watch(NODES, self.enqueue)

    async def sync(self, key: Key) -> float | None:
        node = self._nodes.store.get(key)
        config = self.context.config
        if node is None or not config.allocate_node_cidrs or (node.get("spec") or {}).get("podCIDR"):
            return None
        used = [cidr for n in self._nodes.store.values() if (cidr := (n.get("spec") or {}).get("podCIDR"))]
        return await self.executor.run(
            plans.plan(node, used, config.cluster_cidr, config.node_cidr_mask_size)
        )
