"""The NodeAgent gRPC service (proto/nodeagent.proto): logs, exec, attach, port-forward and figures.

Mutual TLS: only the API server's certificate is let in. Errors are gRPC statuses whose details are for people.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Any

import grpc

from kubeletd import netns
from kubeletd import nodeagent_pb2 as pb
from kubeletd import nodeagent_pb2_grpc as pb_grpc
from kubeletd.interfaces import NodeView, PodOnNode, ServerOptions
from kubeletd.runtime.interface import (
    ContainerNotFound,
    ContainerNotRunning,
    ContainerState,
    LogOptions,
    ProcessStream,
    RuntimeFailure,
)
from kubeletd.stats_rates import Rate
from kubeletd.wire import PIECE, carry

_CHUNK = PIECE
_CLIENT = "system:kube-apiserver"


def _client_name(context: Any) -> str:
    names = context.auth_context().get("x509_common_name") or [b""]
    return bytes(names[0]).decode()


class Agent(pb_grpc.NodeAgentServicer):  # type: ignore[misc]
    def __init__(self, view: NodeView, *, secure: bool) -> None:
        self._view = view
        self._secure = secure

    async def _admit(self, context: Any) -> None:
        if self._secure and _client_name(context) != _CLIENT:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only the API server may ask a node")

    async def _pod(self, context: Any, namespace: str, name: str, uid: str) -> PodOnNode:
        pod = self._view.find_pod(namespace, name, uid)
        if pod is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f'pods "{name}" not found on node {self._view.node_name}'
            )
        assert pod is not None
        return pod

    async def _container(self, context: Any, ref: Any, *, previous: bool = False) -> ContainerState:
        pod = await self._pod(context, ref.namespace, ref.pod, ref.uid)
        state = (pod.previous if previous else pod.containers).get(ref.container)
        if state is None:
            which = "previous terminated container" if previous else "container"
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f'{which} "{ref.container}" in pod "{ref.pod}" not found'
            )
        assert state is not None
        return state

    async def Logs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._admit(context)
        state = await self._container(context, request.container, previous=request.previous)
        since = 0.0
        if request.since_time:
            since = datetime.fromisoformat(request.since_time.replace("Z", "+00:00")).timestamp()
        elif request.HasField("since_seconds"):
            since = time.time() - request.since_seconds
        options = LogOptions(
            follow=request.follow and not request.previous,
            timestamps=request.timestamps,
            since=since,
            tail=request.tail_lines if request.HasField("tail_lines") else -1,
            stdout=request.stream != "Stderr",
            stderr=request.stream != "Stdout",
        )
        left = request.limit_bytes if request.HasField("limit_bytes") else None
        try:
            async with aclosing(self._view.runtime.logs(state.id, options)) as pieces:
                async for data in pieces:
                    piece = data if left is None else data[:left]
                    yield pb.Chunk(data=piece)
                    if left is not None:
                        left -= len(piece)
                        if left <= 0:
                            return
        except ContainerNotFound:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"unable to retrieve container logs for {state.identity.container}"
            )
        except RuntimeFailure as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, error.message)

    async def Exec(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for output in self._session(request_iterator, context, attach=False):
            yield output

    async def Attach(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for output in self._session(request_iterator, context, attach=True):
            yield output

    async def _session(self, inputs: AsyncIterator[Any], context: Any, *, attach: bool) -> AsyncIterator[Any]:
        await self._admit(context)
        first = await anext(aiter(inputs), None)
        if first is None or first.WhichOneof("input") != "start":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message must carry start")
        assert first is not None
        start = first.start
        state = await self._container(context, start.container)
        runtime = self._view.runtime
        try:
            if attach:
                stream = await runtime.attach(
                    state.id, stdin=start.stdin, tty=start.tty, stdout=start.stdout, stderr=start.stderr
                )
            else:
                stream = await runtime.exec(
                    state.id,
                    tuple(start.command),
                    stdin=start.stdin,
                    tty=start.tty,
                    stdout=start.stdout,
                    stderr=start.stderr,
                )
        except (ContainerNotRunning, ContainerNotFound):
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, f'container not found ("{start.container.container}")'
            )
            return
        except RuntimeFailure as error:
            yield pb.StreamOutput(exit=pb.Exit(code=getattr(error, "exit_code", 1), error=error.message))
            return
        feeder = asyncio.create_task(_feed(inputs, stream))
        try:
            while (piece := await stream.read()) is not None:
                kind, data = piece
                for offset in range(0, len(data), _CHUNK):
                    part = data[offset : offset + _CHUNK]
                    yield pb.StreamOutput(stdout=part) if kind == "stdout" else pb.StreamOutput(stderr=part)
            yield pb.StreamOutput(exit=pb.Exit(code=await stream.exit_code()))
        except RuntimeFailure as error:
            yield pb.StreamOutput(exit=pb.Exit(code=getattr(error, "exit_code", 1), error=error.message))
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)
            await stream.close()

    async def PortForward(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await self._admit(context)
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("input") != "target":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first message must carry target")
        assert first is not None
        target = first.target
        pod = await self._pod(context, target.namespace, target.pod, target.uid)
        if pod.sandbox is None or pod.sandbox.status != "running":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"pod {target.pod} is not running")
        assert pod.sandbox is not None
        try:
            connected = await netns.connect(
                await self._view.runtime.network_namespace(pod.sandbox), target.port
            )
            wire = await carry(connected)
        except OSError as error:
            await context.abort(
                grpc.StatusCode.UNAVAILABLE,
                f"failed to connect to localhost:{target.port} inside namespace of pod {target.pod}: "
                f"{error.strerror or error}",
            )
            return
        # Connected: the API server waits for this before it sends anything.
        await context.send_initial_metadata(())

        async def feed() -> None:
            async for message in request_iterator:
                await wire.write(message.data)
            wire.end()

        feeder = asyncio.create_task(feed())
        try:
            while data := await wire.read():
                yield pb.Chunk(data=data)
        except ConnectionError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)
            wire.close()

    async def Stats(self, request: Any, context: Any) -> Any:
        await self._admit(context)
        figures = await self._view.measures.figures.read()
        response = pb.StatsResponse(
            time_nanoseconds=int(figures.at * 1e9),
            cpu_nanoseconds=figures.cpu_nanoseconds,
            memory_working_set=figures.memory_working_set,
            cpu=_rate(figures.rate),
        )
        for pod in figures.pods:
            metadata = pod.on_node.pod["metadata"]
            item = response.pods.add(
                namespace=metadata["namespace"], name=metadata["name"], uid=pod.on_node.uid
            )
            for container in pod.containers:
                item.containers.add(
                    name=container.name,
                    cpu_nanoseconds=container.usage.cpu_nanoseconds,
                    memory_working_set=container.usage.memory_working_set,
                    cpu=_rate(container.rate),
                )
        return response

    async def Document(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._admit(context)
        document = await self._view.measures.documents.get(request.path)
        if document is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "404 page not found")
        assert document is not None
        yield pb.DocumentPart(content_type=document.content_type)
        for offset in range(0, len(document.body), _CHUNK):
            yield pb.DocumentPart(data=document.body[offset : offset + _CHUNK])


def _rate(rate: Rate | None) -> Any:
    if rate is None:
        return None
    return pb.Rate(nanocores=rate.nanocores, window_nanoseconds=int(rate.window * 1e9))


async def _feed(inputs: AsyncIterator[Any], stream: ProcessStream) -> None:
    async for message in inputs:
        kind = message.WhichOneof("input")
        if kind == "stdin":
            await stream.write(message.stdin)
        elif kind == "resize":
            await stream.resize(message.resize.width, message.resize.height)
        elif kind == "stdin_closed":
            await stream.close_stdin()
    # The other side has nothing more to say.
    await stream.close_stdin()


class AgentServer:
    """A listening server. `port` is the one it has."""

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.port = port

    async def close(self, grace_seconds: float) -> None:
        await self._server.stop(grace_seconds)


async def serve(view: NodeView, options: ServerOptions) -> AgentServer:
    """Listens as `options` say. Raises OSError where the address is taken."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_NodeAgentServicer_to_server(Agent(view, secure=bool(options.certificate)), server)
    unix = options.address.startswith("unix")
    address = options.address if unix else f"{options.address}:{options.port}"
    try:
        if options.certificate:
            credentials = grpc.ssl_server_credentials(
                [(options.key, options.certificate)],
                root_certificates=options.client_ca,
                require_client_auth=True,
            )
            port = server.add_secure_port(address, credentials)
        else:
            port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from error
    await server.start()
    return AgentServer(server, port)
