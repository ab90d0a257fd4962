"""Writes what drivers say of this node: its CSINode object, the Node's labels of topology and node ids."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from apimachinery import resources
from apimachinery.errors import StatusError
from kubeclient.client import Client
from kubeletd.csi.errors import RegistrationError
from kubeletd.csi.model import Driver, csi_node_driver, label_collision

NODES = resources.get("nodes")
CSI_NODES = resources.get("csinodes", "storage.k8s.io")
NODE_IDS = "csi.volume.kubernetes.io/nodeid"
_ATTEMPTS = 5

Entries = list[dict[str, Any]]


class NodeObjects:
    """One node's; everything it does raises StatusError, OSError, TimeoutError."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._writing = asyncio.Lock()

    async def ensure(self) -> None:
        """There is a CSINode, if there is no driver yet either."""
        await self._change(lambda entries: entries)

    async def add(self, driver: Driver) -> None:
        """Raises RegistrationError too: the driver's topology is not the node's."""
        await self._label(driver)
        entry = csi_node_driver(driver)

        def without(entries: Entries) -> Entries:
            return [one for one in entries if one["name"] != driver.name]

        def replaced(entries: Entries) -> Entries:
            return entries if entry in entries else [*without(entries), entry]

        # An entry is never changed, only taken out and put in.
        await self._change(lambda entries: entries if entry in entries else without(entries))
        await self._change(replaced)

    async def remove(self, driver: str) -> None:
        await self.keep(lambda name: name != driver)

    async def keep(self, wanted: Callable[[str], bool]) -> None:
        """Takes out the drivers that are not wanted."""
        await self._change(lambda entries: [one for one in entries if wanted(one["name"])])
        node = await self._client.get(NODES, self._node)
        ids = _node_ids(node)
        left = {name: value for name, value in ids.items() if wanted(name)}
        if left != ids:
            await self._annotate(left)

    async def _change(self, change: Callable[[Entries], Entries]) -> None:
        async with self._writing:
            for attempt in range(_ATTEMPTS):
                try:
                    await self._change_once(change)
                    return
                except StatusError as error:
                    if error.code != 409 or attempt == _ATTEMPTS - 1:
                        raise

    async def _change_once(self, change: Callable[[Entries], Entries]) -> None:
        try:
            found = await self._client.get(CSI_NODES, self._node)
        except StatusError as error:
            if error.code != 404:
                raise
            await self._client.create(CSI_NODES, await self._made(change([])))
            return
        before = found["spec"].get("drivers") or []
        after = change(list(before))
        if after != before:
            await self._client.update(CSI_NODES, {**found, "spec": {**found["spec"], "drivers": after}})

    async def _made(self, entries: Entries) -> dict[str, Any]:
        node = await self._client.get(NODES, self._node)
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": node["metadata"]["uid"]}
        return {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": self._node, "ownerReferences": [owner]},
            "spec": {"drivers": entries},
        }

    async def _label(self, driver: Driver) -> None:
        node = await self._client.get(NODES, self._node)
        labels = node["metadata"].get("labels") or {}
        topology = dict(driver.topology or {})
        collision = label_collision(labels, topology)
        if collision:
            raise RegistrationError(collision)
        if any(key not in labels for key in topology):
            await self._client.patch(NODES, self._node, {"metadata": {"labels": topology}}, kind="merge")
        ids = _node_ids(node)
        if ids.get(driver.name) != driver.node_id:
            await self._annotate({**ids, driver.name: driver.node_id})

    async def _annotate(self, ids: dict[str, str]) -> None:
        text = orjson.dumps(ids).decode() if ids else None
        patch = {"metadata": {"annotations": {NODE_IDS: text}}}
        await self._client.patch(NODES, self._node, patch, kind="merge")


def _node_ids(node: dict[str, Any]) -> dict[str, str]:
    text = (node["metadata"].get("annotations") or {}).get(NODE_IDS)
    try:
        found = orjson.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
