"""The cluster's network on the engine, which the agents of its nodes share: whoever comes first makes it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from kubeletd.runtime.dockerengine import Engine
from kubeletd.runtime.dockerstream import EngineError
from kubeletd.runtime.interface import SandboxFailure

_PATIENCE = 5.0  # seconds
_POLL = 0.05


async def ensure(engine: Engine, name: str, config: dict[str, Any]) -> None:
    """Raises SandboxFailure, EngineUnavailable."""
    if await _exists(engine, name):
        return
    try:
        await engine.call("POST", "/networks/create", body=config)
    except EngineError as refused:
        # Another node's agent may have been faster. The engine refuses a second network on the subnet from then on,
        # and shows the first one when it is complete.
        if not await _appears(engine, name):
            raise SandboxFailure(f"cannot create network {name}: {refused.message}") from refused


async def _exists(engine: Engine, name: str) -> bool:
    try:
        await engine.call("GET", f"/networks/{quote(name)}")
    except EngineError as error:
        if error.status == 404:
            return False
        raise SandboxFailure(error.message) from error
    return True


async def _appears(engine: Engine, name: str) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            while not await _exists(engine, name):  # noqa: ASYNC110
                await asyncio.sleep(_POLL)
    except TimeoutError:
        return False
    return True
