"""A node agent in the test's process: the real protocol over mutual TLS, with commands made up for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from apiserver import nodeagent_pb2 as pb
from apiserver import nodeagent_pb2_grpc as pb_grpc
from apiserver import pki


class FakeAgent(pb_grpc.NodeAgentServicer):  # type: ignore[misc]
    """`ended` collects the names of calls that came to their end, whoever ended them."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.taken = 0
        self.stats = pb.StatsResponse(time_nanoseconds=10**18)

    async def Logs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            if request.container.container == "silent":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such container")
            lines = [f"line {i}\n" for i in range(5)]
            if request.HasField("tail_lines"):
                lines = lines[len(lines) - request.tail_lines :]
            for line in lines:
                yield pb.Chunk(data=line.encode())
            if request.follow:
                await asyncio.Event().wait()
        finally:
            self.ended.put_nowait("logs")

    async def Exec(self, inputs: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            start = (await anext(aiter(inputs))).start
            # No engine starts a process in no time; kubectl 1.30 and 1.31 lose what comes before they listen.
            await asyncio.sleep(0.05)
            match list(start.command):
                case ["cat"]:
                    async for given in inputs:
                        if given.WhichOneof("input") == "stdin_closed":
                            break
                        yield pb.StreamOutput(stdout=given.stdin)
                    yield pb.StreamOutput(exit=pb.Exit(code=0))
                case ["exit", code]:
                    yield pb.StreamOutput(stderr=b"going\n")
                    yield pb.StreamOutput(exit=pb.Exit(code=int(code)))
                case ["missing"]:
                    yield pb.StreamOutput(exit=pb.Exit(code=127, error='exec: "missing": not found in $PATH'))
                case ["big", megabytes]:
                    for _ in range(int(megabytes) * 16):
                        yield pb.StreamOutput(stdout=b"x" * 65536)
                        self.taken += 65536
                    yield pb.StreamOutput(exit=pb.Exit(code=0))
                case ["count"]:
                    total = 0
                    async for given in inputs:
                        if given.WhichOneof("input") == "stdin_closed":
                            break
                        total += len(given.stdin)
                    yield pb.StreamOutput(stdout=f"{total}\n".encode())
                    yield pb.StreamOutput(exit=pb.Exit(code=0))
                case ["sizes", count]:
                    async for given in inputs:
                        if given.WhichOneof("input") == "resize":
                            yield pb.StreamOutput(
                                stdout=f"{given.resize.width}x{given.resize.height}\n".encode()
                            )
                            break
                    yield pb.StreamOutput(exit=pb.Exit(code=int(count)))
                case ["forever"]:
                    yield pb.StreamOutput(stdout=b"here\n")
                    await asyncio.Event().wait()
        finally:
            self.ended.put_nowait("exec")

    async def Attach(self, inputs: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await anext(aiter(inputs))
        yield pb.StreamOutput(stdout=b"attached\n")
        yield pb.StreamOutput(exit=pb.Exit(code=7))

    async def PortForward(self, inputs: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            target = (await anext(aiter(inputs))).target
            if target.port == 81:
                await context.abort(
                    grpc.StatusCode.UNAVAILABLE, "dial tcp4 127.0.0.1:81: connect: connection refused"
                )
            await context.send_initial_metadata(())  # connected
            async for given in inputs:
                yield pb.Chunk(data=b"<" + given.data + b">")
        finally:
            self.ended.put_nowait("forward")

    async def Stats(self, request: Any, context: Any) -> Any:
        return self.stats

    async def Document(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if request.path != "/stats/summary?only_cpu_and_memory=true":
            await context.abort(grpc.StatusCode.NOT_FOUND, "404 page not found")
        yield pb.DocumentPart(content_type="application/json")
        yield pb.DocumentPart(data=b'{"node":')
        yield pb.DocumentPart(data=b"{}}")


async def serve(agent: FakeAgent, pki_dir: Path, certificate_of: str) -> tuple[grpc.aio.Server, str]:
    """Start an agent that shows the certificate of a node. Returns the server and its endpoint."""
    ca = pki.CertificateAuthority.load(pki_dir)
    credential = pki.issue_node(ca, certificate_of)
    server = grpc.aio.server()
    pb_grpc.add_NodeAgentServicer_to_server(agent, server)
    credentials = grpc.ssl_server_credentials(
        [(credential.key, credential.certificate)], ca.pem, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    return server, f"127.0.0.1:{port}"
