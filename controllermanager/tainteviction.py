"""The taint eviction controller: moves pods away from nodes with NoExecute taints they do not tolerate."""

from __future__ import annotations

from typing import Any, ClassVar

from apimachinery import meta
from controllermanager.controller import PODS, Controller, Key
from controllermanager.plans import taints as plans
from controllermanager.plans.nodehealth import NODES
from controllermanager.plans.views import PodView, by_node


class TaintEvictionController(Controller):
    """Keys are a node's."""

    name: ClassVar[str] = "taint-eviction-controller"
    workers: ClassVar[int] = 8

    def setup(self) -> None:
        self._nodes = self.watch(NODES, self._node_changed)
        self._pods = self.watch(PODS, self._pod_changed)
        self._pods.add_index("node", by_node)
        self._seen: dict[
            str, dict[str, str]
        ] = {}  # by node: when we first saw a taint that does not say since when

    def _node_changed(self, old: Any, new: Any) -> None:
        before = ((old or {}).get("spec") or {}).get("taints")
        if new is not None and (new.get("spec") or {}).get("taints") != before:
            self.enqueue(old, new)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        if new is None or not new.node or new.deleting:
            return
        if old is None or old.node != new.node or old.tolerations != new.tolerations:
            node = self._nodes.get("", new.node)
            if node is not None and (node.get("spec") or {}).get("taints"):
                self.queue.add(("", new.node))

    async def sync(self, key: Key) -> float | None:
        node = self._nodes.store.get(key)
        if node is None:
            self._seen.pop(key[1], None)
            return None
        now = self.context.now()
        node, seen = plans.dated(node, self._seen.get(key[1], {}), meta.rfc3339(now))
        if seen:
            self._seen[key[1]] = seen
        else:
            self._seen.pop(key[1], None)
        return await self.executor.run(plans.plan(node, self._pods.by_index("node", key[1]), now))
