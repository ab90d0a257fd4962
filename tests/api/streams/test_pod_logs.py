"""Logs through the API server: whole, followed, over a WebSocket, and why there is none."""

from __future__ import annotations

import asyncio
from base64 import b64decode

import aiohttp
import pytest
from fakeagent import FakeAgent
from streamclient import PODS, SECONDS, Client


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("p/log", 200, "line 0\nline 1\nline 2\nline 3\nline 4\n"),
        ("p/log?tailLines=2", 200, "line 3\nline 4\n"),
        ("two/log?container=b&tailLines=1", 200, "line 4\n"),
        ("pending/log", 200, ""),
        ("two/log", 400, "a container name must be specified for pod two, choose one of: [a b]"),
        ("two/log?container=x", 400, "container x is not valid for pod two"),
        ("quiet/log", 400, 'container "silent" in pod "quiet" is waiting to start: ContainerCreating'),
        ("quiet/log?previous=true", 400, 'previous terminated container "silent" in pod "quiet" not found'),
        ("none/log", 404, 'pods "none" not found'),
        (
            "p/log?tailLines=-1",
            422,
            'PodLogOptions "" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
        ),
        ("pending/exec?command=x&stdout=1", 400, "Upgrade request required"),
    ],
)
async def test_logs_and_their_refusals(
    agent: FakeAgent, client: Client, path: str, code: int, text: str
) -> None:
    assert await client.get(path) == (code, text)


async def test_a_node_without_an_endpoint_is_an_error_that_says_so(agent: FakeAgent, client: Client) -> None:
    code, text = await client.get("lost/log")
    assert code == 500
    assert 'error dialing backend: node "nowhere" has not said where its agent answers' in text


async def test_another_nodes_certificate_is_not_believed(agent: FakeAgent, client: Client) -> None:
    code, text = await client.get("taken/log")
    assert code == 500
    assert "error dialing backend" in text
    assert agent.ended.empty()


async def test_a_followed_log_ends_at_the_node_when_the_client_goes(agent: FakeAgent, client: Client) -> None:
    async with asyncio.timeout(SECONDS):
        async with client.session.get(f"{client.url}{PODS}/p/log?follow=true") as answer:
            assert await answer.content.readexactly(7) == b"line 0\n"
        assert await agent.ended.get() == "logs"


@pytest.mark.parametrize("protocol", ["binary.k8s.io", "base64.binary.k8s.io", ""])
async def test_a_log_comes_over_a_websocket_too(agent: FakeAgent, client: Client, protocol: str) -> None:
    text = b""
    async with asyncio.timeout(SECONDS):
        async with client.session.ws_connect(
            f"{client.url}{PODS}/p/log", protocols=(protocol,) if protocol else ()
        ) as socket:
            assert (socket.protocol or "") == protocol
            async for message in socket:
                text += b64decode(message.data) if protocol.startswith("base64") else message.data
        assert text == b"line 0\nline 1\nline 2\nline 3\nline 4\n"
        assert await agent.ended.get() == "logs"


async def test_a_log_followed_over_a_websocket_ends_at_the_node_with_the_client(
    agent: FakeAgent, client: Client
) -> None:
    async with asyncio.timeout(SECONDS):
        async with client.session.ws_connect(f"{client.url}{PODS}/p/log?follow=true") as socket:
            assert await socket.receive_bytes() == b"line 0\n"
        assert await agent.ended.get() == "logs"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await client.session.ws_connect(f"{client.url}{PODS}/p/log", protocols=("v4.channel.k8s.io",))
