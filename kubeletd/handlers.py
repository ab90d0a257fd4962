"""Lifecycle handlers: what postStart and preStop run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kubeletd import httpget
from kubeletd.interfaces import Container, HookFailure, Pod
from kubeletd.runtime.interface import Runtime, RuntimeFailure


class LifecycleHooks:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def run(
        self, pod: Pod, container: Container, handler: Mapping[str, Any], container_id: str, pod_ip: str
    ) -> None:
        """Runs a LifecycleHandler to its end; the caller limits its time. Raises HookFailure."""
        metadata = pod["metadata"]
        which = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        whose = f'for Container "{container["name"]}" in Pod "{which}"'
        if "exec" in handler:
            command = tuple(handler["exec"].get("command") or ())
            shown = " ".join(command)
            try:
                result = await self._runtime.exec_sync(container_id, command, 0)
            except RuntimeFailure as error:
                raise HookFailure(
                    f"Exec lifecycle hook ([{shown}]) {whose} failed - error: {error}"
                ) from error
            if result.exit_code != 0:
                output = result.output.decode(errors="replace")
                raise HookFailure(
                    f"Exec lifecycle hook ([{shown}]) {whose} failed - error: "
                    f"command '{shown}' exited with {result.exit_code}: , message: {output!r}"
                )
        elif "httpGet" in handler:
            action = handler["httpGet"]
            try:
                # Any answer will do: only a hook that cannot be delivered has failed.
                await httpget.get(action, container, pod_ip)
            except (OSError, ValueError) as error:
                path = action.get("path", "/")
                raise HookFailure(f"HTTP lifecycle hook ({path}) {whose} failed - error: {error}") from error
        elif "sleep" in handler:
            await asyncio.sleep(handler["sleep"]["seconds"])
        elif "tcpSocket" in handler:
            try:
                port = httpget.port_number(handler["tcpSocket"]["port"], container)
                _, writer = await asyncio.open_connection(handler["tcpSocket"].get("host") or pod_ip, port)
            except (OSError, ValueError) as error:
                raise HookFailure(f"TCP lifecycle hook {whose} failed - error: {error}") from error
            writer.close()
