"""An agent that begins while its engine does not answer: the node's heartbeat goes on, and everybody knows why it is
not ready."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from apimachinery import resources
from kubeclient.client import Client
from kubeclient.config import Config
from kubeclient.informer import Informer
from kubeletd import enginehealth
from kubeletd.agent import NodeAgent
from kubeletd.feed import Feed, own_name, pods_node
from kubeletd.options import Options
from kubeletd.run import simulated_node
from kubeletd.runtime.interface import EngineInfo, EngineUnavailable
from kubeletd.runtime.simulated import SimulatedRuntime
from pytest_pybernetes.servers import KubeServer

NODES, LEASES = resources.get("nodes"), resources.get("leases", "coordination.k8s.io")


async def of_node(client: Client, name: str) -> tuple[dict[str, Any], Any]:
    """The Ready condition of a node, and its Lease, None where there is none."""
    node = await client.get(NODES, name)
    found = {c["type"]: c for c in (node.get("status") or {}).get("conditions") or ()}
    leases, _ = await client.list(LEASES, "kube-node-lease")
    return found.get("Ready", {}), next((each for each in leases if each["metadata"]["name"] == name), None)


async def test_a_node_whose_engine_is_not_there_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enginehealth, "SILENCE", 0.01)
    answering = False

    async def opened(self: SimulatedRuntime) -> EngineInfo:
        if not answering:
            raise EngineUnavailable("no answer")
        return await self.info()

    monkeypatch.setattr(SimulatedRuntime, "open", opened)
    server = KubeServer(tmp_path)
    server.start()
    try:
        config = Config.from_kubeconfig(server.kubeconfig)
        async with Client(config) as client:
            before = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fine"}
            body = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "n"},
                "spec": {"podCIDR": "10.1.1.0/24"},
            }
            made = await client.create(NODES, body)
            await client.update(NODES, {**made, "status": {"conditions": [before]}}, subresource="status")
            feeds = (
                Feed(Informer(client, resources.get("pods")), pods_node),
                Feed(Informer(client, NODES), own_name),
            )
            options = Options(kubeconfig=str(server.kubeconfig), node_name="n", runtime="simulated")
            agent: NodeAgent = simulated_node(options, "n", client, *feeds)
            tasks = [
                asyncio.create_task(run) for run in (agent.run(), *(feed.informer.run() for feed in feeds))
            ]

            async def until(wanted: tuple[str, str]) -> Any:
                deadline = time.monotonic() + 30
                while True:
                    ready, lease = await of_node(client, "n")
                    if (ready["status"], ready["message"]) == wanted and lease is not None:
                        return lease
                    assert time.monotonic() < deadline, (ready, lease)
                    await asyncio.sleep(0.05)

            lease = await until(("False", "container runtime is down"))
            assert lease["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
            answering = True
            await until(("True", "kubelet is posting ready status"))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        server.stop()
