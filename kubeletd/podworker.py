"""Carries out what `podstate` decides about one pod, and tells it what came of it."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apimachinery.errors import StatusError
from kubeletd import podfiles, translate
from kubeletd.images import Images, ImageTrouble, shown_id
from kubeletd.interfaces import (
    HookFailure,
    Hooks,
    MountError,
    Pod,
    PodConfigError,
    PodFacts,
    Prober,
    ProbeResult,
    ResolveEnvironment,
    Sources,
    Volumes,
)
from kubeletd.network import Addresses, AddressesExhausted
from kubeletd.podstate import PodState, plan_of, step
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.adoption import LOST_EXIT_CODE, LOST_MESSAGE
from kubeletd.podstate.model import Step
from kubeletd.runtime.interface import (
    ContainerNotFound,
    EngineUnavailable,
    ImageNotFound,
    Runtime,
    RuntimeEvent,
    RuntimeFailure,
    StartError,
)

log = logging.getLogger(__name__)

_MINIMUM_GRACE = 2.0  # seconds left for the stop signal after a preStop hook took all of the grace period


@dataclass(slots=True)
class Parts:
    """What a worker works with; one set a node."""

    runtime: Runtime
    images: Images
    volumes: Volumes
    sources: Sources
    resolve: ResolveEnvironment
    prober: Prober
    hooks: Hooks
    addresses: Addresses
    root: Path | None  # None: nothing is kept in files (simulated nodes)
    dns: translate.NodeDns
    record: Callable[[Pod, str, str, str, str], None]  # pod, container, Normal|Warning, reason, message
    delete: Callable[[Pod], Awaitable[None]]  # the pod's final delete; raises StatusError, OSError
    changed: Callable[[str], None]  # the pod's status may be another one
    flush: Callable[[str], Awaitable[None]]  # its status as it is now reaches the API
    facts: Callable[[], PodFacts]  # the node's, without a pod's address
    clock: Callable[[], float]
    memory_capacity: int = 0


class PodWorker:
    """One pod. `post` is synchronous: the decision is made at once, what it asks for runs as tasks."""

    def __init__(
        self, pod: Pod, parts: Parts, over: Callable[[str], None], state: PodState | None = None
    ) -> None:
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.state = state or PodState(plan=plan_of(pod))
        self._parts = parts
        self._over = over
        self._events: deque[ev.Event] = deque()
        self._stepping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._preparing: dict[str, asyncio.Task[Any]] = {}  # the part of a preparation that may be cancelled
        self._stops: dict[str, asyncio.Task[None]] = {}
        self._hooked: set[str] = set()  # containers whose preStop hook has been begun
        self._deferred: dict[str, RuntimeEvent] = {}
        self._killed_by_oom: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._paths: dict[str, str] | None = None
        self._closed = False

    def update(self, pod: Pod, gone: bool = False) -> None:
        """The API's pod changed, or is no more."""
        self.pod = pod
        self.post(ev.PodChanged(plan_of(pod, gone)))

    def post(self, event: ev.Event) -> None:
        if self._closed:
            return
        self._events.append(event)
        if self._stepping:
            return
        self._stepping = True
        before = self.state
        try:
            while self._events:
                now = self._parts.clock()
                self.state, instructions = step(self.state, self._events.popleft(), now)
                for instruction in instructions:
                    self._begin(instruction)
        finally:
            self._stepping = False
        self._set_timer()
        if self.state != before:
            self._parts.changed(self.uid)
        if self.state.over:
            self._over(self.uid)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state.wake_at:
            delay = max(0.0, self.state.wake_at - self._parts.clock())
            # A timer that fires early (clocks differ by rounding) would only be set again.
            self._timer = asyncio.get_running_loop().call_later(delay + 0.001, self.post, ev.Tick())

    async def close(self) -> None:
        """Ends the worker, not the pod: containers are left as they are."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._tasks, *self._preparing.values(), *self._stops.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, instruction: do.Instruction) -> None:
        match instruction:
            case do.Record():
                self._record(instruction.container, instruction.type, instruction.reason, instruction.message)
            case do.StartProbes():
                container = translate.find_container(self.pod, instruction.name)[0]
                self._parts.prober.start(
                    self.pod, container, instruction.id, self.facts().pod_ip, instruction.started_at
                )
            case do.StopProbes():
                self._parts.prober.stop(self.uid, instruction.name, kinds=instruction.only)
            case do.Cancel():
                task = self._preparing.get(instruction.name)
                if task is not None:
                    task.cancel()
            case do.StopContainer():
                earlier = self._stops.pop(instruction.id, None)
                if earlier is not None:
                    earlier.cancel()
                task = self._stops[instruction.id] = self._spawn(instruction)
                task.add_done_callback(functools.partial(self._stopped, instruction.id))
            case _:
                self._spawn(instruction)

    def _stopped(self, container_id: str, task: asyncio.Task[None]) -> None:
        if self._stops.get(container_id) is task:
            del self._stops[container_id]

    def _spawn(self, instruction: do.Instruction) -> asyncio.Task[None]:
        task = asyncio.create_task(
            self._carry_out(instruction), name=f"{type(instruction).__name__} {self.uid}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry_out(self, instruction: do.Instruction) -> None:
        try:
            outcome = await self._perform(instruction)
        except Exception as error:
            log.exception("%s of pod %s failed", instruction, translate.display(self.pod))
            outcome = _failure(instruction, str(error))
        self.post(outcome)
        if isinstance(instruction, do.Start):
            deferred = self._deferred.pop(instruction.id, None)
            if deferred is not None:
                self.on_engine(deferred)

    def _record(self, container: str, kind: str, reason: str, message: str) -> None:
        self._parts.record(self.pod, container, kind, reason, message)

    def facts(self) -> PodFacts:
        """The node's facts with the pod's address."""
        facts = self._parts.facts()
        ip = facts.host_ip if translate.host_network(self.pod) else self.state.sandbox.ip
        return PodFacts(
            pod_ip=ip,
            pod_ips=(ip,) if ip else (),
            host_ip=facts.host_ip,
            host_ips=facts.host_ips,
            node_name=facts.node_name,
            allocatable=facts.allocatable,
        )

    async def _perform(self, instruction: do.Instruction) -> ev.Event:
        parts = self._parts
        match instruction:
            case do.SetUp():
                try:
                    self._paths = await parts.volumes.mount_all(self.pod, self.facts())
                except MountError as error:
                    return ev.SetUpFailed(error.message)
                return ev.SetUpDone()
            case do.TearDown():
                try:
                    await parts.volumes.unmount_all(self.uid)
                except (MountError, OSError) as error:
                    log.warning("pod %s is not cleaned up: %s", translate.display(self.pod), error)
                    return ev.TornDown(False)
                parts.addresses.release(self.uid)
                parts.images.forget(self.uid)
                return ev.TornDown(True)
            case do.CreateSandbox():
                return await self._create_sandbox(instruction)
            case do.StartSandbox():
                try:
                    await parts.runtime.start(instruction.id)
                except RuntimeFailure as error:
                    if "ddress already in use" in error.message:
                        parts.addresses.release(self.uid)
                    return ev.SandboxFailed(f"Failed to create pod sandbox: {error.message}", instruction.id)
                return ev.SandboxStarted(instruction.id)
            case do.RemoveSandbox():
                return ev.SandboxRemoved(instruction.id, await self._remove(instruction.id))
            case do.Remove():
                return ev.Removed(instruction.id, instruction.name, await self._remove(instruction.id))
            case do.Prepare():
                return await self._prepare(instruction)
            case do.Start():
                return await self._start(instruction)
            case do.RunPostStart():
                return await self._post_start(instruction)
            case do.StopContainer():
                return await self._stop(instruction)
            case do.DeleteObject():
                return await self._delete_object()
            case _:
                raise AssertionError(f"{instruction} has no outcome")

    async def _create_sandbox(self, instruction: do.CreateSandbox) -> ev.Event:
        parts = self._parts
        host = translate.host_network(self.pod)
        try:
            ip = "" if host else await parts.addresses.acquire(self.uid)
            if parts.root is not None:
                podfiles.write(parts.root, self.pod, ip, parts.dns)
            spec = translate.sandbox_spec(self.pod, instruction.attempt, ip, parts.dns.domain)
            sandbox_id = await parts.runtime.create_sandbox(spec)
        except (RuntimeFailure, AddressesExhausted, OSError) as error:
            return ev.SandboxFailed(f"Failed to create pod sandbox: {error}")
        return ev.SandboxCreated(sandbox_id, ip)

    async def _remove(self, container_id: str) -> bool:
        try:
            await self._parts.runtime.remove(container_id)
        except RuntimeFailure as error:
            log.warning("container %s is not removed: %s", container_id, error)
            return False
        self._hooked.discard(container_id)
        self._killed_by_oom.discard(container_id)
        return True

    async def _prepare(self, instruction: do.Prepare) -> ev.Event:
        name, attempt = instruction.name, instruction.attempt
        # Only what makes nothing may be cancelled: a create under way would leave a container behind.
        gathering = asyncio.ensure_future(self._gather(instruction))
        self._preparing[name] = gathering
        try:
            spec, image_id = await gathering
        except asyncio.CancelledError:
            if self._closed:
                raise
            return ev.Cancelled(name, attempt)
        except ImageTrouble as error:
            return ev.PrepareFailed(
                name, attempt, error.reason, error.message, error.later_reason, error.later_message,
                error.retry_after,
            )  # fmt: skip
        except PodConfigError as error:
            self._record(name, "Warning", "Failed", f"Error: {error.message}")
            return ev.PrepareFailed(name, attempt, error.reason, error.message)
        except (StatusError, EngineUnavailable, ConnectionError, TimeoutError) as error:
            log.info("container %s of %s waits: %s", name, translate.display(self.pod), error)
            return ev.PrepareFailed(name, attempt, "", str(error))
        finally:
            self._preparing.pop(name, None)
        try:
            container_id = await self._parts.runtime.create_container(spec)
        except EngineUnavailable as error:
            return ev.PrepareFailed(name, attempt, "", error.message)
        except ImageNotFound:
            return ev.PrepareFailed(name, attempt, "", "")  # it went away since it was looked at: look again
        except RuntimeFailure as error:
            self._record(name, "Warning", "Failed", f"Error: {error.message}")
            return ev.PrepareFailed(name, attempt, error.reason, error.message)
        self._record(name, "Normal", "Created", "Container created")
        return ev.Prepared(name, attempt, container_id, image_id, spec.identity.spec_hash)

    async def _gather(self, instruction: do.Prepare) -> Any:
        """The container's spec and image id, with everything it refers to read."""
        parts, pod = self._parts, self.pod
        container, kind = translate.find_container(pod, instruction.name)
        namespace = pod["metadata"]["namespace"]
        secrets = []
        for reference in pod["spec"].get("imagePullSecrets") or ():
            secret = await parts.sources.get("Secret", namespace, reference.get("name") or "")
            if secret is not None:
                secrets.append(secret)

        def record(type: str, reason: str, message: str) -> None:
            self._record(instruction.name, type, reason, message)

        image = await parts.images.ensure(pod, container, secrets, record)
        facts = self.facts()
        env = await parts.resolve(pod, container, parts.sources, facts)
        if self._paths is None:
            self._paths = await parts.volumes.mount_all(pod, facts)
        mounts = await parts.volumes.container_mounts(pod, container, self._paths, dict(env))
        if parts.root is not None:
            mounts += podfiles.mounts(parts.root, pod, container, instruction.attempt)
        target = (
            self.state.record(container.get("targetContainerName") or "").id if kind == "ephemeral" else ""
        )
        spec = translate.container_spec(
            pod,
            container,
            kind,
            instruction.attempt,
            sandbox_id=instruction.sandbox_id,
            env=env,
            mounts=mounts,
            image=container["image"],
            image_user=image.user,
            memory_capacity=parts.memory_capacity,
            target_container_id=target,
        )
        if parts.root is not None:
            spec = podfiles.with_seccomp(parts.root, spec)
        return spec, shown_id(image)

    async def _start(self, instruction: do.Start) -> ev.Event:
        try:
            await self._parts.runtime.start(instruction.id)
        except EngineUnavailable as error:
            return ev.StartFailed(instruction.name, instruction.id, error.message, unknown=True)
        except StartError as error:
            return ev.StartFailed(
                instruction.name, instruction.id, error.message, error.reason, error.exit_code
            )
        except RuntimeFailure as error:
            return ev.StartFailed(instruction.name, instruction.id, error.message)
        return ev.Started(instruction.name, instruction.id, self._parts.clock())

    async def _post_start(self, instruction: do.RunPostStart) -> ev.Event:
        container = translate.find_container(self.pod, instruction.name)[0]
        try:
            await self._parts.hooks.run(
                self.pod, container, container["lifecycle"]["postStart"], instruction.id, self.facts().pod_ip
            )
        except HookFailure as error:
            return ev.HookDone(instruction.name, instruction.id, False, f"PostStartHook failed: {error}")
        return ev.HookDone(instruction.name, instruction.id, True)

    async def _stop(self, instruction: do.StopContainer) -> ev.Event:
        parts, name, container_id = self._parts, instruction.name, instruction.id
        grace = instruction.deadline - parts.clock()
        await self._pre_stop(instruction, grace)
        left = instruction.deadline - parts.clock()
        if grace > 0:
            left = max(left, min(_MINIMUM_GRACE, grace))
        try:
            await parts.runtime.stop(container_id, left)
            return await self._ended(name, container_id)
        except RuntimeFailure as error:
            log.warning("container %s of %s is not stopped: %s", name, translate.display(self.pod), error)
            return ev.StopFailed(name, container_id)

    async def _pre_stop(self, instruction: do.StopContainer, grace: float) -> None:
        try:
            container = translate.find_container(self.pod, instruction.name)[0]
        except KeyError:
            return
        handler = (container.get("lifecycle") or {}).get("preStop")
        if not handler or grace <= 0 or instruction.id in self._hooked:
            return
        self._hooked.add(instruction.id)
        try:
            async with asyncio.timeout(grace):
                await self._parts.hooks.run(self.pod, container, handler, instruction.id, self.facts().pod_ip)
        except HookFailure as error:
            self._record(instruction.name, "Warning", "FailedPreStopHook", f"PreStopHook failed: {error}")
        except TimeoutError:
            log.info("the preStop hook of %s took all of its grace period", instruction.name)

    async def _ended(self, name: str, container_id: str) -> ev.Exited:
        """How a container ended, by asking the engine. Raises RuntimeFailure."""
        try:
            state = await self._parts.runtime.inspect(container_id)
        except ContainerNotFound:
            return self._lost(name, container_id)
        reason = "OOMKilled" if state.oom_killed or container_id in self._killed_by_oom else ""
        at = state.finished_at or self._parts.clock()
        return ev.Exited(
            name, container_id, state.exit_code, at, reason, await self._last_words(name, state.exit_code)
        )

    def _lost(self, name: str, container_id: str) -> ev.Exited:
        now = self._parts.clock()
        return ev.Exited(name, container_id, LOST_EXIT_CODE, now, "ContainerStatusUnknown", LOST_MESSAGE)

    async def _last_words(self, name: str, exit_code: int) -> str:
        try:
            container = translate.find_container(self.pod, name)[0]
        except KeyError:
            return ""
        record = self.state.record(name)
        if self._parts.root is None:
            return ""
        return await podfiles.termination_message(
            self._parts.root, self.pod, container, record.attempt, exit_code, self._parts.runtime, record.id
        )

    async def _delete_object(self) -> ev.Event:
        try:
            await self._parts.flush(self.uid)
            await self._parts.delete(self.pod)
        except (StatusError, OSError, TimeoutError) as error:
            if isinstance(error, StatusError) and error.code in (404, 409):
                return ev.ObjectDeleted(True)  # gone, or another pod has its name by now
            log.warning("pod %s is not deleted from the API: %s", translate.display(self.pod), error)
            return ev.ObjectDeleted(False)
        return ev.ObjectDeleted(True)

    def on_probe(self, result: ProbeResult) -> None:
        self.post(ev.Probed(result.container, result.container_id, result.kind, result.ok, result.message))

    def on_engine(self, event: RuntimeEvent) -> None:
        """Something happened to one of the pod's containers."""
        assert event.identity is not None
        if event.identity.kind == "sandbox":
            if event.action in ("died", "removed"):
                self.post(ev.SandboxDied(event.id))
            return
        name = event.identity.container
        record = self.state.record(name)
        if record.id != event.id:
            return
        if event.action == "oom":
            self._killed_by_oom.add(event.id)
        elif event.action == "started":
            self.post(ev.Started(name, event.id, event.time))
        elif record.step is Step.STARTING:
            # The start's own outcome says more about why it ended.
            self._deferred[event.id] = event
        elif event.action == "removed":
            self.post(self._lost(name, event.id))
        elif record.step is Step.RUNNING and event.id not in self._stops:
            self._spawn_ended(name, event)

    def _spawn_ended(self, name: str, event: RuntimeEvent) -> None:
        task = asyncio.create_task(self._tell_ended(name, event), name=f"ended {event.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_ended(self, name: str, event: RuntimeEvent) -> None:
        if event.exit_code == LOST_EXIT_CODE and event.id not in self._killed_by_oom:
            # Killed by whom? The engine knows of an OOM kill even where its event got lost.
            try:
                self.post(await self._ended(name, event.id))
                return
            except RuntimeFailure as error:
                log.debug("container %s: %s", event.id, error)
        reason = "OOMKilled" if event.id in self._killed_by_oom else ""
        words = await self._last_words(name, event.exit_code)
        self.post(ev.Exited(name, event.id, event.exit_code, event.time, reason, words))

    async def reconcile(self, found: Mapping[str, str]) -> None:
        """Compares with all of the pod's containers the engine has (id → status): events may have been lost."""
        box = self.state.sandbox
        if box.id and found.get(box.id) != "running" and box.ready_at:
            self.post(ev.SandboxDied(box.id))
        for name, record in list(self.state.containers.items()):
            status = found.get(record.id) if record.id else None
            if record.step is Step.CREATED and status == "running":
                self.post(ev.Started(name, record.id, self._parts.clock()))
            elif record.step is Step.CREATED and status is None:
                self.post(self._lost(name, record.id))
            elif record.step is Step.RUNNING and record.stop is None and status != "running":
                try:
                    self.post(await self._ended(name, record.id))
                except RuntimeFailure as error:
                    log.debug("container %s: %s", record.id, error)

    def knows(self, container_id: str, name: str) -> bool:
        """Whether a container is the pod's as it should be, or may be: one being made has no id yet."""
        state = self.state
        if not name:
            return container_id == state.sandbox.id or not state.sandbox.id
        record = state.record(name)
        if container_id == record.id or container_id in record.dead or record.step is Step.PREPARING:
            return True
        return container_id in state.strays


def _failure(instruction: do.Instruction, message: str) -> ev.Event:
    """The outcome of an instruction that broke in a way nobody foresaw."""
    match instruction:
        case do.SetUp():
            return ev.SetUpFailed(message)
        case do.TearDown():
            return ev.TornDown(False)
        case do.CreateSandbox():
            return ev.SandboxFailed(message)
        case do.StartSandbox():
            return ev.SandboxFailed(message, instruction.id)
        case do.RemoveSandbox():
            return ev.SandboxRemoved(instruction.id, False)
        case do.Remove():
            return ev.Removed(instruction.id, instruction.name, False)
        case do.Prepare():
            return ev.PrepareFailed(instruction.name, instruction.attempt, "CreateContainerError", message)
        case do.Start():
            return ev.StartFailed(instruction.name, instruction.id, message, unknown=True)
        case do.RunPostStart():
            return ev.HookDone(instruction.name, instruction.id, False, message)
        case do.StopContainer():
            return ev.StopFailed(instruction.name, instruction.id)
        case do.DeleteObject():
            return ev.ObjectDeleted(False)
        case _:
            return ev.Tick()
