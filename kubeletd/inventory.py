"""The containers a node's engine has, asked for until it tells: without them no pod may be touched."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from kubeletd.network import Addresses
from kubeletd.runtime.interface import (
    ContainerNotFound,
    ContainerState,
    EngineInfo,
    Image,
    Runtime,
    RuntimeFailure,
)

log = logging.getLogger(__name__)

_RETRY = 1.0


async def open_runtime(runtime: Runtime) -> tuple[EngineInfo, Sequence[Image]]:
    """The engine and its images, once it answers."""
    while True:
        try:
            return await runtime.open(), await runtime.images()
        except RuntimeFailure as error:
            log.warning("the container runtime is not ready: %s", error)
            await asyncio.sleep(_RETRY)


async def containers_by_pod(runtime: Runtime, addresses: Addresses) -> dict[str, list[ContainerState]]:
    """All of this node's containers, inspected, by their pod's uid; the addresses they have are reserved."""
    found: defaultdict[str, list[ContainerState]] = defaultdict(list)
    for container in await _all_containers(runtime):
        found[container.identity.uid].append(container)
        if container.identity.kind == "sandbox":
            addresses.reserve(container.identity.uid, container.ip)
    return dict(found)


async def _all_containers(runtime: Runtime) -> list[ContainerState]:
    while True:
        try:
            return await _inspected(runtime, await runtime.list_containers())
        except RuntimeFailure as error:
            log.warning("containers cannot be adopted yet: %s", error)
            await asyncio.sleep(_RETRY)


async def _inspected(runtime: Runtime, found: Sequence[ContainerState]) -> list[ContainerState]:
    async def inspect(container: ContainerState) -> ContainerState | None:
        try:
            return await runtime.inspect(container.id)
        except ContainerNotFound:
            return None

    return [state for state in await asyncio.gather(*map(inspect, found)) if state is not None]
