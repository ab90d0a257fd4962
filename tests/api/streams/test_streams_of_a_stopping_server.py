"""A server that is told to end ends what it streams, at the nodes too."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fakeagent import FakeAgent, serve
from servers import serving
from streamclient import FLAGS, PODS, SECONDS, Client


async def test_a_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data, *FLAGS) as server:
        agent = FakeAgent()
        node_server, endpoint = await serve(agent, data / "pki", "n1")
        api = server.client()
        note = {"pybernetes.io/agent-endpoint": endpoint}
        assert api.post("/api/v1/nodes", {"metadata": {"name": "n1", "annotations": note}}).code == 201
        spec = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
        assert api.post(PODS, {"metadata": {"name": "p"}, "spec": spec}).code == 201
        api.close()
        client = Client(server, tmp_path)
        async with client.websocket("p/exec?command=forever&stdout=1", "v4.channel.k8s.io") as ws:
            await ws.receive()
            async with client.session.get(f"{client.url}{PODS}/p/log?follow=true") as answer:
                assert await answer.content.readexactly(7) == b"line 0\n"
                assert server.process is not None
                server.process.terminate()
                async with asyncio.timeout(SECONDS):
                    assert {await agent.ended.get(), await agent.ended.get()} == {"exec", "logs"}
                    assert await asyncio.to_thread(server.process.wait) == 0
        await client.session.close()
        await node_server.stop(None)
