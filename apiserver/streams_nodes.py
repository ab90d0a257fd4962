"""Connections to the nodes' agents: one gRPC channel a node, mutual TLS, kept while the node answers there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apimachinery import errors, resources
from apimachinery.errors import StatusError
from apiserver.request import Object, Reader

if TYPE_CHECKING:
    import grpc.aio

ENDPOINT_ANNOTATION = "pybernetes.io/agent-endpoint"
NODES = resources.get("nodes")
_CONNECT_MILLISECONDS = 5000
_RECONNECT_MILLISECONDS = 200
_KEEPALIVE_MILLISECONDS = 310_000
_MAX_MESSAGE = 4 << 20


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the apiserver shows to agents, and the CA that signs theirs. PEM files."""

    ca_file: Path
    cert_file: Path
    key_file: Path


@dataclass(slots=True)
class _Agent:
    endpoint: str
    channel: grpc.aio.Channel
    stub: Any


class NodeAgents:
    """Stubs of the nodes' agents by node name.

    An agent must show a certificate of the cluster's CA with the node's name among its DNS names, as only that node's
    has (`pki.issue_node`). gRPC is loaded with the first call.
    """

    def __init__(self, reader: Reader, certificates: Certificates) -> None:
        self._reader = reader
        self._certificates = certificates
        self._agents: dict[str, _Agent] = {}

    async def stub(self, node_name: str) -> Any:
        """The NodeAgent stub of a node. Raises StatusError when the node or its endpoint is not known."""
        node = self._reader.get(NODES, "", node_name)
        if node is None:
            raise errors.not_found("nodes", node_name)
        endpoint = (node["metadata"].get("annotations") or {}).get(ENDPOINT_ANNOTATION)
        if not endpoint:
            raise unreachable(
                f'node "{node_name}" has not said where its agent answers ({ENDPOINT_ANNOTATION})'
            )
        known = self._agents.get(node_name)
        if known is not None and known.endpoint == endpoint:
            return known.stub
        agent = self._agents[node_name] = self._connect(node_name, endpoint)
        if known is not None:
            await known.channel.close(grace=None)
        await self._forget_gone()
        return agent.stub

    def _connect(self, node_name: str, endpoint: str) -> _Agent:
        import grpc.aio

        from apiserver import nodeagent_pb2_grpc

        files = self._certificates
        credentials = grpc.ssl_channel_credentials(
            files.ca_file.read_bytes(), files.key_file.read_bytes(), files.cert_file.read_bytes()
        )
        options = [
            ("grpc.ssl_target_name_override", node_name),
            ("grpc.min_reconnect_backoff_ms", _CONNECT_MILLISECONDS),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MILLISECONDS),
            ("grpc.max_reconnect_backoff_ms", 5 * _RECONNECT_MILLISECONDS),
            # A node that vanishes in the middle of a stream is noticed. Servers take no more pings than this.
            ("grpc.keepalive_time_ms", _KEEPALIVE_MILLISECONDS),
            ("grpc.keepalive_timeout_ms", _CONNECT_MILLISECONDS),
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.enable_http_proxy", 0),
        ]
        channel = grpc.aio.secure_channel(endpoint, credentials, options)
        return _Agent(endpoint, channel, nodeagent_pb2_grpc.NodeAgentStub(channel))

    async def _forget_gone(self) -> None:
        """Close channels of nodes that were deleted."""
        for name in [n for n in self._agents if self._reader.get(NODES, "", n) is None]:
            await self._agents.pop(name).channel.close(grace=None)

    async def close(self) -> None:
        """End all calls and close all channels."""
        agents, self._agents = list(self._agents.values()), {}
        for agent in agents:
            await agent.channel.close(grace=None)


def unreachable(detail: str) -> StatusError:
    """What Kubernetes answers when a node does not."""
    return errors.internal(f"error dialing backend: {detail}")


@asynccontextmanager
async def calls() -> AsyncIterator[None]:
    """Turns what gRPC raises inside into StatusError."""
    import grpc

    try:
        yield
    except grpc.aio.AioRpcError as err:
        raise from_grpc(err) from err


def from_grpc(err: Any) -> StatusError:
    """The API's error for an agent's. `err` is a grpc.aio.AioRpcError."""
    import grpc

    detail = err.details() or str(err.code())
    code = err.code()
    if code == grpc.StatusCode.NOT_FOUND:
        return StatusError(404, "NotFound", detail)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
        return errors.bad_request(detail)
    if code == grpc.StatusCode.PERMISSION_DENIED:
        return StatusError(403, "Forbidden", detail)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return unreachable(detail)
    return errors.internal(detail)


def container_ref(pod: Object, container: str) -> Any:
    from apiserver import nodeagent_pb2 as pb

    meta = pod["metadata"]
    return pb.ContainerRef(
        namespace=meta["namespace"], pod=meta["name"], uid=meta.get("uid", ""), container=container
    )
