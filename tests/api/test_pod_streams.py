"""Logs, exec, attach and port-forward through the API server to a node's agent, as clients and real kubectls do it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import pytest
import yaml
from fakeagent import FakeAgent, serve
from servers import Server, serving

KUBECTLS = {
    path.name.removeprefix("kubectl."): str(path)
    for directory in ("/usr/lib/google-cloud-sdk/bin", "/usr/local/bin")
    for path in sorted(Path(directory).glob("kubectl.1.*"))
}
if (plain := shutil.which("kubectl")) and not KUBECTLS:
    KUBECTLS["any"] = plain
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
WEBSOCKET = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"}
PODS = "/api/v1/namespaces/default/pods"
SECONDS = 20


FLAGS = ("--storage", "memory", "--disable-admission-plugins", "ServiceAccount")


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("streams") / "data"
    with serving(data, *FLAGS) as server:
        api = server.client()
        for name in ("n1", "impostor", "nowhere"):
            assert api.post("/api/v1/nodes", {"metadata": {"name": name}}).code == 201
        for name, node, containers in (
            ("p", "n1", ["c"]), ("two", "n1", ["a", "b"]), ("quiet", "n1", ["silent"]), ("lost", "nowhere", ["c"]),
            ("taken", "impostor", ["c"]), ("pending", "", ["c"]),
        ):  # fmt: skip
            spec: dict[str, Any] = {"containers": [{"name": c, "image": "i"} for c in containers]}
            if node:
                spec["nodeName"] = node
            assert api.post(PODS, {"metadata": {"name": name}, "spec": spec}).code == 201
        waiting = {"name": "silent", "state": {"waiting": {"reason": "ContainerCreating"}}, "ready": False,
                   "restartCount": 0, "image": "i", "imageID": ""}  # fmt: skip
        status = {"phase": "Pending", "containerStatuses": [waiting]}
        assert api.patch(f"{PODS}/quiet/status", {"status": status}).code == 200
        running = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        assert api.patch(f"{PODS}/p/status", {"status": running}).code == 200
        api.close()
        yield server


@pytest.fixture
async def agent(streaming: Server) -> AsyncIterator[FakeAgent]:
    """The agent of n1; the node called impostor points at it too."""
    made = FakeAgent()
    server, endpoint = await serve(made, streaming.data / "pki", "n1")
    api = streaming.client()
    for name in ("n1", "impostor"):
        note = {"metadata": {"annotations": {"pybernetes.io/agent-endpoint": endpoint}}}
        assert api.patch(f"/api/v1/nodes/{name}", note).code == 200
    api.close()
    yield made
    await server.stop(None)


class Client:
    """An aiohttp session with the administrator's certificate."""

    def __init__(self, server: Server, tmp_path: Path) -> None:
        config = yaml.safe_load((server.data / "admin.conf").read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        tls = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        (tmp_path / "admin.pem").write_bytes(
            b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"])
        )
        tls.load_cert_chain(tmp_path / "admin.pem")
        self.url: str = cluster["server"]
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls))

    def websocket(self, path: str, *protocols: str) -> Any:
        return self.session.ws_connect(f"{self.url}{PODS}/{path}", protocols=protocols, max_msg_size=0)

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}{PODS}/{path}") as answer:
            text = await answer.text()
            return answer.status, json.loads(text)["message"] if answer.status >= 400 else text


@pytest.fixture
async def client(streaming: Server, tmp_path: Path) -> AsyncIterator[Client]:
    made = Client(streaming, tmp_path)
    yield made
    await made.session.close()


async def messages(ws: aiohttp.ClientWebSocketResponse) -> dict[int, bytes]:
    """All there is on each channel, to the end."""
    found: dict[int, list[bytes]] = {}
    async with asyncio.timeout(SECONDS):
        async for message in ws:
            found.setdefault(message.data[0], []).append(message.data[1:])
    return {channel: b"".join(parts) for channel, parts in found.items()}


# Logs


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


# Exec over WebSocket


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


# Port-forward over plain WebSocket channels


async def test_port_forward_channels(agent: FakeAgent, client: Client) -> None:
    async with client.websocket("p/portforward?ports=80&ports=81", "v4.channel.k8s.io") as ws:
        async with asyncio.timeout(SECONDS):
            opened = [(await ws.receive()).data for _ in range(4)]
            assert opened == [b"\x00P\x00", b"\x01P\x00", b"\x02Q\x00", b"\x03Q\x00"]
            assert b"connection refused" in (await ws.receive()).data
            await ws.send_bytes(b"\x00ping")
            assert (await ws.receive()).data == b"\x00<ping>"


async def test_the_nodes_documents(agent: FakeAgent, client: Client) -> None:
    node = f"{client.url}/api/v1/nodes/n1/proxy"
    async with client.session.get(f"{node}/stats/summary?only_cpu_and_memory=true") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await answer.json() == {"node": {}}
    async with client.session.get(f"{node}/nothing") as answer:
        assert answer.status == 404


async def test_http_through_the_proxy(agent: FakeAgent, streaming: Server, client: Client) -> None:
    async def echo(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        body = await request.text()
        return aiohttp.web.Response(text=f"{request.method} {request.path_qs} {body}", status=203)

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(echo))
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    url = f"{client.url}{PODS}/p:{port}/proxy/a/b%20c?d=e"
    async with client.session.post(url, data="hi") as answer:
        assert (answer.status, await answer.text()) == (203, "POST /a/b%20c?d=e hi")
    for method in ("GET", "HEAD"):
        bare = f"{PODS}/p:{port}/proxy"
        async with client.session.request(method, f"{client.url}{bare}?d=e", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (301, f"{bare}/?d=e")
    await runner.cleanup()
    async with client.session.get(url) as answer:
        assert answer.status == 503
        assert "error trying to reach service" in (await answer.json())["message"]


# Real kubectls


async def kubectl(
    server: Server,
    version: str,
    *arguments: str,
    stdin: bytes = b"",
    environment: dict[str, str] | None = None,
) -> tuple[int, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        KUBECTLS[version], "--kubeconfig", str(server.data / "admin.conf"), *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out, err


TRANSPORTS = [pytest.param(WEBSOCKET, id="websocket"), pytest.param(SPDY, id="spdy")]


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("version", sorted(KUBECTLS))
async def test_kubectl_exec(
    agent: FakeAgent, streaming: Server, version: str, transport: dict[str, str]
) -> None:
    big = os.urandom(3 << 20)
    # WebSocket clients before v5 could not say that input is at its end: kubectl has v5 from the start.
    code, out, err = await kubectl(
        streaming, version, "exec", "-i", "p", "--", "cat", stdin=big, environment=transport
    )
    assert (code, out == big, err) == (0, True, b"")
    code, _, err = await kubectl(streaming, version, "exec", "p", "--", "exit", "3", environment=transport)
    assert (code, err) == (3, b"going\ncommand terminated with exit code 3\n")
    code, _, err = await kubectl(streaming, version, "exec", "p", "--", "missing", environment=transport)
    assert code == 1
    assert b'exec: "missing": not found in $PATH' in err
    code, out, _ = await kubectl(streaming, version, "exec", "p", "--", "big", "8", environment=transport)
    assert (code, len(out)) == (0, 8 << 20)
    code, out, _ = await kubectl(streaming, version, "attach", "p", environment=transport)
    assert (code, b"attached\n" in out) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("version", sorted(KUBECTLS))
async def test_kubectl_port_forward(
    agent: FakeAgent, streaming: Server, version: str, transport: dict[str, str]
) -> None:
    process = await asyncio.create_subprocess_exec(
        KUBECTLS[version], "--kubeconfig", str(streaming.data / "admin.conf"), "port-forward", "p", ":80", ":81",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **transport},
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            ports: dict[str, int] = {}
            while len(ports) < 2:
                line = (await process.stdout.readline()).decode()
                assert line, await process.stderr.read()
                if line.startswith("Forwarding from 127.0.0.1:"):
                    here, _, there = line.removeprefix("Forwarding from 127.0.0.1:").strip().partition(" -> ")
                    ports[there] = int(here)
            talks = (_talk(ports["80"], f"hello {i}".encode()) for i in range(5))
            assert await asyncio.gather(*talks) == [f"<hello {i}>".encode() for i in range(5)]
            assert await _talk(ports["81"], b"hello") == b""
            assert b"connection refused" in await process.stderr.readline()
    finally:
        process.terminate()
        await process.wait()


async def _talk(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer
