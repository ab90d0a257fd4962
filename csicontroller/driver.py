"""Calls of the driver's Identity and Controller services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from csicontroller import csi_pb2 as csi
from csicontroller import csi_pb2_grpc as csi_grpc

log = logging.getLogger(__name__)

_OPTIONS = (("grpc.default_authority", "localhost"), ("grpc.max_reconnect_backoff_ms", 5000))
_HELLO_SECONDS = 10.0
_AGAIN_SECONDS = 1.0


class DriverError(Exception):
    """The driver refused a call, or could not be asked. `code` is gRPC's, as Go spells it."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {details}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Features:
    """What the driver says it can do. `capabilities` are names of ControllerServiceCapability."""

    name: str
    capabilities: frozenset[str] = frozenset()
    topology: bool = False


class Driver:
    """`seconds` is what each call gets. Close it."""

    def __init__(self, address: str, seconds: float) -> None:
        target = address if address.startswith("unix:") else f"unix:{address}"
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._seconds = seconds
        self._identity = csi_grpc.IdentityStub(self._channel)
        self._controller = csi_grpc.ControllerStub(self._channel)

    async def call(self, method: str, request: Mapping[str, Any], seconds: float = 0) -> Any:
        """`method` by its name in the interface, `request` its fields. Raises DriverError."""
        message = getattr(csi, f"{method}Request")(**request)
        stub = self._controller if hasattr(self._controller, method) else self._identity
        try:
            return await getattr(stub, method)(message, timeout=seconds or self._seconds)
        except grpc.aio.AioRpcError as error:
            code = "".join(part.title() for part in error.code().name.split("_"))
            raise DriverError(code, error.details() or "") from error

    async def features(self) -> Features:
        """Asks until the driver answers."""
        while True:
            try:
                return await self._features()
            except DriverError as error:
                log.warning("the driver does not answer yet: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _features(self) -> Features:
        name = (await self.call("GetPluginInfo", {}, _HELLO_SECONDS)).name
        plugin = await self.call("GetPluginCapabilities", {}, _HELLO_SECONDS)
        kinds = csi.PluginCapability.Service
        services = {one.service.type for one in plugin.capabilities if one.HasField("service")}
        rpcs: frozenset[str] = frozenset()
        if kinds.CONTROLLER_SERVICE in services:
            able = await self.call("ControllerGetCapabilities", {}, _HELLO_SECONDS)
            known = csi.ControllerServiceCapability.RPC.Type
            rpcs = frozenset(
                known.Name(one.rpc.type) for one in able.capabilities if one.rpc.type in known.values()
            )
        return Features(name, rpcs, kinds.VOLUME_ACCESSIBILITY_CONSTRAINTS in services)

    async def close(self) -> None:
        await self._channel.close(None)
