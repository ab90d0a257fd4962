"""Exec over WebSocket: its channels, how it ends, and who may."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from fakeagent import FakeAgent
from servers import Server
from streamclient import PODS, SECONDS, Client, messages


async def test_exec_echoes_and_ends_when_stdin_is_closed(agent: FakeAgent, client: Client) -> None:
    async with client.websocket("p/exec?command=cat&stdin=1&stdout=1&stderr=1", "v5.channel.k8s.io") as ws:
        assert ws.protocol == "v5.channel.k8s.io"
        await ws.send_bytes(b"\x00hello ")
        await ws.send_bytes(b"\x00world")
        await ws.send_bytes(b"\xff\x00")
        found = await messages(ws)
    assert found[1] == b"hello world"
    assert json.loads(found[3]) == {"metadata": {}, "status": "Success"}


async def test_an_exit_code_is_a_status(agent: FakeAgent, client: Client) -> None:
    async with client.websocket("p/exec?command=exit&command=3&stdout=1&stderr=1", "v4.channel.k8s.io") as ws:
        found = await messages(ws)
    status = json.loads(found[3])
    assert found[2] == b"going\n"
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert status["message"].startswith("command terminated with non-zero exit code: ")


async def test_a_command_that_cannot_be_run_is_an_error(agent: FakeAgent, client: Client) -> None:
    async with client.websocket("p/exec?command=missing&stdout=1", "v4.channel.k8s.io") as ws:
        found = await messages(ws)
    status = json.loads(found[3])
    assert (status["status"], status["reason"]) == ("Failure", "InternalError")
    assert 'exec: "missing": not found in $PATH' in status["message"]


async def test_base64_channels_are_text(agent: FakeAgent, client: Client) -> None:
    async with client.websocket("p/exec?command=cat&stdin=1&stdout=1", "v4.base64.channel.k8s.io") as ws:
        await ws.send_str("0aGk=")
        async with asyncio.timeout(SECONDS):
            assert (await ws.receive()).data == "1"
            assert (await ws.receive()).data == "1aGk="


async def test_a_terminal_is_resized(agent: FakeAgent, client: Client) -> None:
    path = "p/exec?command=sizes&command=0&stdin=1&stdout=1&tty=1"
    async with client.websocket(path, "v4.channel.k8s.io") as ws:
        await ws.send_bytes(b'\x04{"Width":132,"Height":43}')
        assert (await messages(ws))[1] == b"132x43\n"


async def test_a_client_that_goes_ends_the_command(agent: FakeAgent, client: Client) -> None:
    async with asyncio.timeout(SECONDS):
        async with client.websocket("p/exec?command=forever&stdout=1", "v4.channel.k8s.io") as ws:
            await ws.receive()
            assert (await ws.receive()).data == b"\x01here\n"
        assert await agent.ended.get() == "exec"


async def test_a_client_that_does_not_read_holds_the_node_back(agent: FakeAgent, client: Client) -> None:
    async with client.websocket("p/exec?command=big&command=64&stdout=1", "v4.channel.k8s.io") as ws:
        taken = -1
        async with asyncio.timeout(SECONDS):
            while taken != agent.taken or not taken:  # until the agent is held
                taken = agent.taken
                await asyncio.sleep(0.3)
        assert taken < 48 << 20
        found = await messages(ws)
    assert len(found[1]) == 64 << 20


async def test_reading_rights_alone_run_no_commands(
    agent: FakeAgent, streaming: Server, client: Client
) -> None:
    api = streaming.client()
    role = {
        "metadata": {"name": "looker"},
        "rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}],
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    subjects = [{"kind": "User", "name": "looker", "apiGroup": "rbac.authorization.k8s.io"}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "looker"}
    assert api.post(f"{rbac}/roles", role).code == 201
    binding = {"metadata": {"name": "looker"}, "subjects": subjects, "roleRef": reference}
    assert api.post(f"{rbac}/rolebindings", binding).code == 201
    api.close()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.session.ws_connect(
            f"{client.url}{PODS}/p/exec?command=cat&stdout=1",
            protocols=("v5.channel.k8s.io",),
            headers={"Impersonate-User": "looker"},
        )
    assert refused.value.status == 403
