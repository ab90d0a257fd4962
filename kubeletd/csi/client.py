"""Calls of drivers and plugins over their sockets. Importing this loads gRPC: it is done when a socket appears."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kubeletd import csi_pb2 as csi
from kubeletd import csi_pb2_grpc as csi_grpc
from kubeletd import pluginregistration_pb2 as registration
from kubeletd import pluginregistration_pb2_grpc as registration_grpc
from kubeletd.csi.errors import DriverError
from kubeletd.csi.model import Driver

CALL_SECONDS = 120.0
_HELLO_SECONDS = 10.0
_LONGEST = 100  # bytes of a socket's path: the kernel takes 107
# Some servers refuse a path, which gRPC would send, as the name of a host.
_OPTIONS = (("grpc.default_authority", "localhost"), ("grpc.max_reconnect_backoff_ms", 5000))


def _refused(error: grpc.aio.AioRpcError) -> DriverError:
    code = "".join(part.title() for part in error.code().name.split("_"))
    return DriverError(code, error.details() or "")


class Socket:
    """A channel to a socket, which need not be there yet. Close it."""

    def __init__(self, path: Path) -> None:
        self._directory = -1
        target = str(path)
        if len(os.fsencode(path)) > _LONGEST:
            self._directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            target = f"/proc/self/fd/{self._directory}/{path.name}"
        self.channel = grpc.aio.insecure_channel(f"unix://{target}", options=_OPTIONS)

    async def close(self) -> None:
        await self.channel.close(None)
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1


class DriverClient:
    """A driver's Node service."""

    def __init__(self, path: Path) -> None:
        self._socket = Socket(path)
        self._stub = csi_grpc.NodeStub(self._socket.channel)

    async def call(self, method: str, request: Mapping[str, Any], seconds: float = CALL_SECONDS) -> Any:
        """`method` by its name in the interface, `request` its fields. Raises DriverError."""
        message = getattr(csi, f"{method}Request")(**request)
        try:
            return await getattr(self._stub, method)(message, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from error

    async def describe(self, name: str, root: str) -> Driver:
        """What the driver says of itself and this node. Raises DriverError."""
        info = await self.call("NodeGetInfo", {}, _HELLO_SECONDS)
        able = await self.call("NodeGetCapabilities", {}, _HELLO_SECONDS)
        kinds = csi.NodeServiceCapability.RPC.Type
        return Driver(
            name=name,
            node_id=info.node_id,
            capabilities=frozenset(
                kinds.Name(one.rpc.type) for one in able.capabilities if one.rpc.type in kinds.values()
            ),
            max_volumes=info.max_volumes_per_node,
            topology=dict(info.accessible_topology.segments),
            root=root,
        )

    async def close(self) -> None:
        await self._socket.close()


class Registrar:
    """The socket on which a plugin registers."""

    def __init__(self, path: Path) -> None:
        self._socket = Socket(path)
        self._stub = registration_grpc.RegistrationStub(self._socket.channel)

    async def info(self) -> Any:
        """PluginInfo. Raises DriverError."""
        try:
            return await self._stub.GetInfo(registration.InfoRequest(), timeout=_HELLO_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from error

    async def notify(self, error: str) -> None:
        """Tells the plugin what came of it; "" is that all is well. Raises DriverError."""
        message = registration.RegistrationStatus(plugin_registered=not error, error=error)
        try:
            await self._stub.NotifyRegistrationStatus(message, timeout=_HELLO_SECONDS)
        except grpc.aio.AioRpcError as failure:
            raise _refused(failure) from failure

    async def close(self) -> None:
        await self._socket.close()
