"""Port-forward over plain WebSocket channels."""

from __future__ import annotations

import asyncio

from fakeagent import FakeAgent
from streamclient import SECONDS, Client


async def test_port_forward_channels(agent: FakeAgent, client: Client) -> None:
    async with client.websocket("p/portforward?ports=80&ports=81", "v4.channel.k8s.io") as ws:
        async with asyncio.timeout(SECONDS):
            opened = [(await ws.receive()).data for _ in range(4)]
            assert opened == [b"\x00P\x00", b"\x01P\x00", b"\x02Q\x00", b"\x03Q\x00"]
            assert b"connection refused" in (await ws.receive()).data
            await ws.send_bytes(b"\x00ping")
            assert (await ws.receive()).data == b"\x00<ping>"
