"""exec, attach and port-forward of every kubectl there is, over WebSocket and over SPDY."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

import pytest
from fakeagent import FakeAgent
from servers import Server
from streamclient import SECONDS

KUBECTLS = {
    path.name.removeprefix("kubectl."): str(path)
    for directory in ("/usr/lib/google-cloud-sdk/bin", "/usr/local/bin")
    for path in sorted(Path(directory).glob("kubectl.1.*"))
}
if (plain := shutil.which("kubectl")) and not KUBECTLS:
    KUBECTLS["any"] = plain
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
WEBSOCKET = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"}


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
