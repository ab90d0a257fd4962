"""The streaming subresources of pods: log, exec, attach and portforward, from the client to the pod's node."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from apimachinery import errors
from apimachinery.errors import StatusError
from apiserver import streams_session as session
from apiserver import streams_target as target
from apiserver import streams_websocket as websocket
from apiserver.authz import Authorizer
from apiserver.connection import Connection
from apiserver.request import Attributes, Object, Reader, User
from apiserver.requestinfo import Query, RequestInfo
from apiserver.streams_nodes import Certificates, NodeAgents, calls, container_ref
from apiserver.streams_spdy import COMMAND_PROTOCOLS as SPDY_COMMAND_PROTOCOLS
from apiserver.streams_spdy import FORWARD_PROTOCOLS as SPDY_FORWARD_PROTOCOLS
from apiserver.streams_spdy import PROTOCOL_HEADER, SpdyCommand, SpdyForward, SpdyStream, Transport
from apiserver.streams_upgrade import upgrade

PODS_GROUP = ""
_UPGRADE_REQUIRED = "Upgrade request required"


class PodStreams:
    """Handlers of the streaming subresources; the caller has authorized the request."""

    def __init__(self, reader: Reader, authorizer: Authorizer, certificates: Certificates) -> None:
        self._reader = reader
        self._authorizer = authorizer
        self.agents = NodeAgents(reader, certificates)

    async def close(self) -> None:
        await self.agents.close()

    def _pod(self, info: RequestInfo) -> Object:
        from apimachinery import resources

        pod = self._reader.get(resources.get("pods"), info.namespace, info.name)
        if pod is None:
            raise errors.not_found("pods", info.name)
        return pod

    def _check_upgrade(self, request: web.BaseRequest, info: RequestInfo, user: User) -> str:
        """How the client wants to stream: `websocket` or `spdy`. Raises 400 and 403."""
        kind = request.headers.get("Upgrade", "").lower()
        if kind not in ("websocket", "spdy/3.1"):
            raise errors.bad_request(_UPGRADE_REQUIRED)
        if info.verb != "create":
            # A WebSocket has to be a GET: reading rights alone must not run commands.
            why = self._authorizer.authorize(
                Attributes(
                    user, "create", PODS_GROUP, "v1", "pods", info.subresource, info.namespace, info.name
                )
            )
            if why is not None:
                raise errors.forbidden("pods", info.name, why)
        return kind.partition("/")[0]

    # Logs

    async def log(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """GET pods/<name>/log; over a WebSocket where the client asks for one."""
        from apiserver import nodeagent_pb2 as pb

        protocol = websocket.reading_protocol(request)
        options = target.log_options(info.query)
        pod = self._pod(info)
        container = target.container_of(pod, options.container)
        headers = {"Content-Type": "text/plain", "Cache-Control": "no-cache, private"}
        node = pod["spec"].get("nodeName")
        if not node:
            return web.Response(headers=headers)
        message = pb.LogsRequest(
            container=container_ref(pod, container),
            follow=options.follow,
            previous=options.previous,
            timestamps=options.timestamps,
            tail_lines=options.tail_lines,
            limit_bytes=options.limit_bytes,
            since_seconds=options.since_seconds,
            since_time=options.since_time,
            stream=options.stream,
        )
        stub = await self.agents.stub(node)
        call = stub.Logs(message)
        try:
            async with calls():
                first = await call.read()
        except StatusError as err:
            why = target.why_no_log(self._pod(info), container, previous=options.previous)
            if err.code in (400, 404) and why:
                raise errors.bad_request(why) from err
            raise
        if protocol is not None:
            return await websocket.send_reading(request, protocol, call, first)
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await self._send_log(request, response, call, first)
        return response

    async def _send_log(
        self, request: web.BaseRequest, response: web.StreamResponse, call: Any, chunk: Any
    ) -> None:
        import grpc

        connection = request.protocol

        def changed() -> None:
            if connection.transport is None:
                call.cancel()

        if isinstance(connection, Connection):
            connection.on_change = changed
        try:
            await response.prepare(request)
            while chunk is not grpc.aio.EOF:
                await response.write(chunk.data)
                chunk = await call.read()
            await response.write_eof()
        except (grpc.aio.AioRpcError, ConnectionError):
            # The answer has begun: cutting it short is all that can still be said.
            response.force_close()
            if connection.transport is not None:
                connection.transport.close()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            call.cancel()
            if isinstance(connection, Connection):
                connection.on_change = None

    # Commands

    async def exec(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """GET (WebSocket) or POST (SPDY) pods/<name>/exec."""
        return await self._command(request, info, user, attach=False)

    async def attach(self, request: web.BaseRequest, info: RequestInfo, user: User) -> web.StreamResponse:
        """GET (WebSocket) or POST (SPDY) pods/<name>/attach."""
        return await self._command(request, info, user, attach=True)

    async def _command(
        self, request: web.BaseRequest, info: RequestInfo, user: User, *, attach: bool
    ) -> web.StreamResponse:
        from apiserver import nodeagent_pb2 as pb

        kind = self._check_upgrade(request, info, user)
        options = target.exec_options(info.query, attach=attach)
        pod = self._pod(info)
        if not attach:
            target.check_running(pod)
        container = target.container_of(pod, options.container)
        stub = await self.agents.stub(target.node_of(pod))
        start = pb.StreamStart(
            container=container_ref(pod, container),
            command=options.command,
            stdin=options.stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            tty=options.tty,
        )
        begin = stub.Attach if attach else stub.Exec
        if kind == "websocket":
            return await self._websocket_command(request, begin, start, attach=attach)
        return await self._spdy_command(request, begin, start, attach=attach)

    @staticmethod
    async def _websocket_command(
        request: web.BaseRequest, begin: Any, start: Any, *, attach: bool
    ) -> web.StreamResponse:
        asked = websocket.asked_protocols(request)
        protocol = websocket.choose(asked, websocket.COMMAND_PROTOCOLS)
        if protocol is None:
            raise errors.bad_request(f"unable to negotiate protocol: client supports {asked}, server accepts "
                                     f"{list(websocket.COMMAND_PROTOCOLS)}")  # fmt: skip
        socket = await websocket.accept(request, protocol)
        channels = websocket.WebSocketCommand(socket, protocol)
        try:
            await channels.open(stdout=start.stdout, stderr=start.stderr)
            await session.run_command(begin(), start, channels, attach=attach)
        finally:
            await socket.close()
        return socket

    @staticmethod
    async def _spdy_command(
        request: web.BaseRequest, begin: Any, start: Any, *, attach: bool
    ) -> web.StreamResponse:
        protocol = _spdy_protocol(request, SPDY_COMMAND_PROTOCOLS, "channel.k8s.io")
        response, connection = await upgrade(request, _spdy_headers(protocol))
        wanted = {"error"} | {kind for kind in ("stdin", "stdout", "stderr") if getattr(start, kind)}
        if start.tty and protocol != "channel.k8s.io" and protocol != "v2.channel.k8s.io":
            wanted.add("resize")
        channels = SpdyCommand(connection, protocol, wanted)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(channels.run())
            if await channels.opened():
                await session.run_command(begin(), start, channels, attach=attach)
            await connection.close()
            reading.cancel()
        return response

    # Ports

    async def portforward(
        self, request: web.BaseRequest, info: RequestInfo, user: User
    ) -> web.StreamResponse:
        """GET (WebSocket, or SPDY tunnelled in one) or POST (SPDY) pods/<name>/portforward."""
        kind = self._check_upgrade(request, info, user)
        pod = self._pod(info)
        stub = await self.agents.stub(target.node_of(pod))

        async def forward(port: int, stream: session.ByteStream) -> None:
            await session.forward(stub.PortForward(), _destination(pod, port), stream)

        if kind == "spdy":
            protocol = _spdy_protocol(request, SPDY_FORWARD_PROTOCOLS, SPDY_FORWARD_PROTOCOLS[0])
            response, connection = await upgrade(request, _spdy_headers(protocol))
            await _forward_over_spdy(connection, forward)
            return response
        asked = websocket.asked_protocols(request)
        if websocket.TUNNEL_PROTOCOL in asked:
            socket = await websocket.accept(request, websocket.TUNNEL_PROTOCOL)
            await _forward_over_spdy(websocket.WebSocketTunnel(socket), forward)
            return socket
        chosen = websocket.choose(asked, websocket.FORWARD_PROTOCOLS)
        if chosen is None:
            raise errors.bad_request(f"unable to negotiate protocol: client supports {asked}, server accepts "
                                     f"{[websocket.TUNNEL_PROTOCOL, *websocket.FORWARD_PROTOCOLS]}")  # fmt: skip
        return await self._forward_channels(request, chosen, info.query, forward)

    @staticmethod
    async def _forward_channels(
        request: web.BaseRequest, protocol: str, query: Query, forward: Any
    ) -> web.StreamResponse:
        ports = target.ports(query)
        socket = await websocket.accept(request, protocol)
        channels = websocket.WebSocketForward(socket, protocol, ports)

        async def carry(index: int, port: int) -> None:
            try:
                await forward(port, channels.stream(index))
            except StatusError as problem:
                await channels.fail(index, problem.message)

        try:
            await channels.open()
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(channels.pump())
                carrying = [group.create_task(carry(index, port)) for index, port in enumerate(ports)]
                # The client goes, or every port has ended: then the rest has nothing left to do.
                await asyncio.wait(
                    [reading, group.create_task(_all(carrying))], return_when=asyncio.FIRST_COMPLETED
                )
                for task in (reading, *carrying):
                    task.cancel()
        except* ConnectionError:
            pass
        await channels.close()
        return socket


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _forward_over_spdy(transport: Transport, forward: Any) -> None:
    async def one(port: int, stream: SpdyStream) -> None:
        await forward(port, stream)

    await SpdyForward(transport, one).run()


def _destination(pod: Object, port: int) -> Any:
    from apiserver import nodeagent_pb2 as pb

    meta = pod["metadata"]
    return pb.PortForwardTarget(
        namespace=meta["namespace"], pod=meta["name"], uid=meta.get("uid", ""), port=port
    )


def _spdy_protocol(request: web.BaseRequest, known: tuple[str, ...], default: str) -> str:
    """The client's first stream protocol that we know. Raises 403 where there is none."""
    offered = [p.strip() for value in request.headers.getall(PROTOCOL_HEADER, []) for p in value.split(",")]
    if not offered:
        return default
    chosen = next((protocol for protocol in offered if protocol in known), None)
    if chosen is None:
        text = "unable to upgrade: unable to negotiate protocol: "
        text += f"client supports {offered}, server accepts {list(known)}"
        raise StatusError(
            403, "Forbidden", text, headers={"X-Accepted-Stream-Protocol-Versions": ", ".join(known)}
        )
    return chosen


def _spdy_headers(protocol: str) -> dict[str, str]:
    return {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", PROTOCOL_HEADER: protocol}
