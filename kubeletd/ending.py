"""How containers end: hooks, signals, and what is to be told about it."""

from __future__ import annotations

import asyncio
import logging

from kubeletd import podfiles, translate
from kubeletd.interfaces import HookFailure, Pod
from kubeletd.parts import Parts
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.adoption import LOST_EXIT_CODE, LOST_MESSAGE
from kubeletd.runtime.interface import ContainerNotFound, RuntimeFailure

log = logging.getLogger(__name__)

_MINIMUM_GRACE = 2.0  # seconds left for the stop signal after a preStop hook took all of the grace period


class Endings:
    """The endings of one pod's containers, and what is remembered about them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._hooked: set[str] = set()  # containers whose preStop hook has been begun
        self._killed_by_oom: set[str] = set()

    def forget(self, container_id: str) -> None:
        self._hooked.discard(container_id)
        self._killed_by_oom.discard(container_id)

    def out_of_memory(self, container_id: str) -> None:
        """The engine said that the kernel killed one of its processes."""
        self._killed_by_oom.add(container_id)

    async def stop(self, pod: Pod, pod_ip: str, attempt: int, instruction: do.StopContainer) -> ev.Event:
        """The outcome of a StopContainer."""
        name, container_id = instruction.name, instruction.id
        grace = instruction.deadline - self._parts.clock()
        await self._pre_stop(pod, pod_ip, instruction, grace)
        left = instruction.deadline - self._parts.clock()
        if grace > 0:
            left = max(left, min(_MINIMUM_GRACE, grace))
        try:
            await self._parts.runtime.stop(container_id, left)
            return await self.ended(pod, name, container_id, attempt)
        except RuntimeFailure as error:
            log.warning("container %s of %s is not stopped: %s", name, translate.display(pod), error)
            return ev.StopFailed(name, container_id)

    async def _pre_stop(self, pod: Pod, pod_ip: str, instruction: do.StopContainer, grace: float) -> None:
        try:
            container = translate.find_container(pod, instruction.name)[0]
        except KeyError:
            return
        handler = (container.get("lifecycle") or {}).get("preStop")
        if not handler or grace <= 0 or instruction.id in self._hooked:
            return
        self._hooked.add(instruction.id)
        try:
            async with asyncio.timeout(grace):
                await self._parts.hooks.run(pod, container, handler, instruction.id, pod_ip)
        except HookFailure as error:
            text = f"PreStopHook failed: {error}"
            self._parts.record(pod, instruction.name, "Warning", "FailedPreStopHook", text)
        except TimeoutError:
            log.info("the preStop hook of %s took all of its grace period", instruction.name)

    async def ended(self, pod: Pod, name: str, container_id: str, attempt: int) -> ev.Exited:
        """How a container ended, by asking the engine. Raises RuntimeFailure."""
        try:
            state = await self._parts.runtime.inspect(container_id)
        except ContainerNotFound:
            return self.lost(name, container_id)
        if state.oom_killed:
            self._killed_by_oom.add(container_id)
        at = state.finished_at or self._parts.clock()
        return await self._exited(pod, name, container_id, attempt, state.exit_code, at)

    async def told(
        self, pod: Pod, name: str, container_id: str, attempt: int, exit_code: int, at: float
    ) -> ev.Exited:
        """How a container ended, by the engine's event."""
        if exit_code == LOST_EXIT_CODE and container_id not in self._killed_by_oom:
            # Killed by whom? The engine knows of an OOM kill even where its event got lost.
            try:
                return await self.ended(pod, name, container_id, attempt)
            except RuntimeFailure as error:
                log.debug("container %s: %s", container_id, error)
        return await self._exited(pod, name, container_id, attempt, exit_code, at)

    def lost(self, name: str, container_id: str) -> ev.Exited:
        """The container is not there any more."""
        now = self._parts.clock()
        return ev.Exited(name, container_id, LOST_EXIT_CODE, now, "ContainerStatusUnknown", LOST_MESSAGE)

    async def _exited(
        self, pod: Pod, name: str, container_id: str, attempt: int, exit_code: int, at: float
    ) -> ev.Exited:
        reason = "OOMKilled" if container_id in self._killed_by_oom else ""
        words = ""
        try:
            container = translate.find_container(pod, name)[0]
        except KeyError:
            container = {}
        if container and self._parts.root is not None:
            words = await podfiles.termination_message(
                self._parts.root, pod, container, attempt, exit_code, self._parts.runtime, container_id
            )
        return ev.Exited(name, container_id, exit_code, at, reason, words)
