"""A runtime without containers: what an image would do is told by the pod's annotations.

| annotation | meaning |
|---|---|
| simulated.pybernetes.io/start-seconds | how long a container's start takes (default 0) |
| simulated.pybernetes.io/ready-seconds | how long after its start probes succeed (default 0) |
| simulated.pybernetes.io/run-seconds | when it exits by itself (default: never) |
| simulated.pybernetes.io/exit-code | with which code (default 0) |
| simulated.pybernetes.io/stop-seconds | how long it takes to end when asked to (default 0) |
| simulated.pybernetes.io/cpu | cores it keeps busy, as a number (default: what it requests) |
| simulated.pybernetes.io/memory | bytes it holds (default: what it requests) |

A name after a dot applies to that container only: `simulated.pybernetes.io/exit-code.migrate: "1"`. Images are all
here, but for those whose name contains `missing`. Time is the event loop's, so a test with a loop whose clock it
drives drives the containers too.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubeletd.accounts import Accounts
from kubeletd.runtime.interface import (
    ContainerFiles,
    ContainerNotFound,
    ContainerSpec,
    ContainerState,
    EngineInfo,
    ExecResult,
    Image,
    ImageNotFound,
    LogOptions,
    ProcessStream,
    RegistryAuth,
    Resources,
    RuntimeEvent,
    RuntimeFailure,
    SandboxSpec,
    Usage,
)

PREFIX = "simulated.pybernetes.io/"
_EVENTS_KEPT = 10_000
_TERMINATED, _KILLED = 143, 137


def setting(annotations: Mapping[str, str], container: str, name: str, default: float) -> float:
    """A number an annotation gives, the container's own first; the default where it gives none."""
    text = annotations.get(f"{PREFIX}{name}.{container}", annotations.get(PREFIX + name))
    try:
        return default if text is None else float(text)
    except ValueError:
        return default


class SimulatedRuntime:
    """One node's imaginary containers."""

    name = "simulated"

    def __init__(self, clock: Callable[[], float], cpus: int = 4, memory: int = 8 << 30) -> None:
        self._clock = clock
        self._cpus = cpus
        self._memory = memory
        self._ids = itertools.count(1)
        self._states: dict[str, ContainerState] = {}
        self._specs: dict[str, ContainerSpec] = {}
        self._exits: dict[str, asyncio.TimerHandle] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._events: asyncio.Queue[RuntimeEvent] = asyncio.Queue(_EVENTS_KEPT)

    async def open(self) -> EngineInfo:
        return await self.info()

    async def close(self) -> None:
        for timer in self._exits.values():
            timer.cancel()
        self._exits.clear()

    async def info(self) -> EngineInfo:
        return EngineInfo(
            name="simulated",
            version="1.0.0",
            api_version="",
            kernel_version=os.uname().release,
            os_image="simulated",
            operating_system="linux",
            architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
            cpus=self._cpus,
            memory=self._memory,
            cgroup_version=2,
            cgroup_driver="",
        )

    async def ping(self, patience: float) -> None:
        return

    def busy_for(self) -> float:
        return 0.0

    def _tell(self, action: str, state: ContainerState) -> None:
        event = RuntimeEvent(
            action,  # type: ignore[arg-type]
            state.id,
            state.identity,
            self._clock(),
            state.exit_code,
        )
        if self._events.full():
            # Nobody listens, or too slowly: what they missed they learn by listing.
            while not self._events.empty():
                self._events.get_nowait()
            event = RuntimeEvent("resync")
        self._events.put_nowait(event)

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        yield RuntimeEvent("resync")
        while True:
            yield await self._events.get()

    async def list_containers(self) -> list[ContainerState]:
        return list(self._states.values())

    def _state(self, container_id: str) -> ContainerState:
        try:
            return self._states[container_id]
        except KeyError:
            raise ContainerNotFound(f"No such container: {container_id}") from None

    async def inspect(self, container_id: str) -> ContainerState:
        return self._state(container_id)

    def _make(self, state: ContainerState) -> str:
        self._states[state.id] = state
        return state.id

    def _new_id(self, uid: str) -> str:
        return f"{uid.replace('-', '')[:32]:0<32}{next(self._ids):032x}"

    async def create_sandbox(self, spec: SandboxSpec) -> str:
        state = ContainerState(
            self._new_id(spec.identity.uid), spec.identity, "created", created_at=self._clock(), ip=spec.ip
        )
        return self._make(state)

    async def create_container(self, spec: ContainerSpec) -> str:
        container_id = self._new_id(spec.identity.uid)
        self._specs[container_id] = spec
        return self._make(
            ContainerState(container_id, spec.identity, "created", image=spec.image, created_at=self._clock())
        )

    async def start(self, container_id: str) -> None:
        state = self._state(container_id)
        if state.status == "running":
            return
        spec = self._specs.get(container_id)
        if spec is not None:
            seconds = setting(spec.annotations, spec.identity.container, "start-seconds", 0.0)
            if seconds:
                await asyncio.sleep(seconds)
                state = self._state(container_id)
        state = self._states[container_id] = replace(state, status="running", started_at=self._clock())
        self._ended[container_id] = asyncio.Event()
        self._tell("started", state)
        if spec is not None:
            name, annotations = spec.identity.container, spec.annotations
            run = setting(annotations, name, "run-seconds", -1.0)
            if run >= 0:
                code = int(setting(annotations, name, "exit-code", 0))
                loop = asyncio.get_running_loop()
                self._exits[container_id] = loop.call_later(run, self.exit, container_id, code)

    def exit(self, container_id: str, code: int) -> None:
        """The container's process ends; also for tests that break things."""
        timer = self._exits.pop(container_id, None)
        if timer is not None:
            timer.cancel()
        state = self._states.get(container_id)
        if state is None or state.status != "running":
            return
        state = replace(state, status="exited", finished_at=self._clock(), exit_code=code)
        self._states[container_id] = state
        self._ended.pop(container_id).set()
        self._tell("died", state)

    async def stop(self, container_id: str, grace_seconds: float) -> None:
        state = self._states.get(container_id)
        if state is None or state.status != "running":
            return
        spec = self._specs.get(container_id)
        seconds = setting(spec.annotations, spec.identity.container, "stop-seconds", 0.0) if spec else 0.0
        if seconds:
            try:
                async with asyncio.timeout(min(seconds, max(grace_seconds, 0.0))):
                    await self._ended[container_id].wait()
            except TimeoutError:
                self.exit(container_id, _KILLED if seconds > grace_seconds else _TERMINATED)
            return
        self.exit(container_id, _TERMINATED if grace_seconds > 0 else _KILLED)

    async def update(self, container_id: str, resources: Resources) -> None:
        self._state(container_id)
        if container_id in self._specs:
            self._specs[container_id] = replace(self._specs[container_id], resources=resources)

    async def kill(self, container_id: str, signal: str = "SIGKILL") -> None:
        self.exit(container_id, _KILLED if signal == "SIGKILL" else _TERMINATED)

    async def remove(self, container_id: str) -> None:
        self.exit(container_id, _KILLED)
        self._specs.pop(container_id, None)
        state = self._states.pop(container_id, None)
        if state is not None:
            self._tell("removed", state)

    async def exec_sync(
        self, container_id: str, command: tuple[str, ...], timeout: float, limit: int = 10240
    ) -> ExecResult:
        self._state(container_id)
        return ExecResult(0, b"")

    async def exec(self, container_id: str, command: tuple[str, ...], **streams: Any) -> ProcessStream:
        raise RuntimeFailure("a simulated container runs no commands")

    async def attach(self, container_id: str, **streams: Any) -> ProcessStream:
        raise RuntimeFailure("a simulated container has no streams")

    async def logs(self, container_id: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        state = self._state(container_id)
        yield f"simulated container {state.identity.container}\n".encode()

    async def usage(self, container_id: str) -> Usage:
        """As busy as its annotations say, else as it asked to be."""
        state, spec = self._state(container_id), self._specs.get(container_id)
        if spec is None or state.status != "running":
            return Usage(0, 0)
        seconds, name = self._clock() - state.started_at, spec.identity.container
        cores = setting(spec.annotations, name, "cpu", spec.resources.cpu_request_milli / 1000)
        memory = int(setting(spec.annotations, name, "memory", spec.resources.memory_request))
        return Usage(int(seconds * cores * 1e9), memory, memory_usage=memory, memory_rss=memory, processes=1)

    async def files(self, container_id: str) -> ContainerFiles:
        return ContainerFiles()

    async def image(self, reference: str) -> Image | None:
        return None if "missing" in reference else Image(id=f"sha256:{reference}", tags=(reference,))

    async def accounts(self, image_id: str) -> Accounts | None:
        return None

    async def images(self) -> list[Image]:
        return []

    async def pull(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        image = await self.image(reference)
        if image is None:
            raise ImageNotFound(f"{reference}: not found")
        return image

    async def remove_image(self, image_id: str) -> None:
        return

    async def show_image(self, image_id: str, uid: str, volume: str, target: Path) -> None:
        return

    async def forget_images(self, uid: str) -> None:
        return

    async def forget_pod(self, uid: str) -> None:
        return

    async def network_namespace(self, sandbox: ContainerState) -> str:
        return ""
