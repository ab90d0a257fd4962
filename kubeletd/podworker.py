"""Carries out what `podstate` decides about one pod, and tells it what came of it."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Callable, Mapping

from apimachinery.errors import StatusError
from kubeletd import translate
from kubeletd.ending import Endings
from kubeletd.interfaces import HookFailure, MountError, Pod, PodConfigError, PodFacts, ProbeResult
from kubeletd.network import AddressesExhausted
from kubeletd.parts import Parts
from kubeletd.podstate import PodState, plan_of, step
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.model import SandboxStep, Step
from kubeletd.podstate.sizes import UNSIZED
from kubeletd.preparation import Gathered, gather, prepare
from kubeletd.resizing import resize
from kubeletd.runtime.interface import EngineUnavailable, RuntimeEvent, RuntimeFailure, StartError
from kubeletd.sandboxes import sandbox_spec

log = logging.getLogger(__name__)


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
        self._preparing: dict[
            str, asyncio.Task[Gathered]
        ] = {}  # the part of a preparation that may be cancelled
        self._stops: dict[str, asyncio.Task[None]] = {}
        self._deferred: dict[str, RuntimeEvent] = {}
        self._endings = Endings(parts)
        self._timer: asyncio.TimerHandle | None = None
        self._paths: dict[str, str] = {}
        self._closed = False

    def update(self, pod: Pod, gone: bool = False, resize_pending: tuple[str, str] | None = None) -> None:
        """The API's pod changed, or is no more; `pod` has the resources that the node has allocated to it."""
        self.pod = pod
        if self._parts.csi is not None and (gone or pod["metadata"].get("deletionTimestamp")):
            self._parts.csi.ending(self.uid)
        self.post(ev.PodChanged(plan_of(pod, gone, resize_pending)))

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
        except Exception:
            # A mistake of ours about one pod must not take the node's other pods with it.
            log.exception("pod %s cannot be looked after", translate.display(self.pod))
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
        if self._parts.csi is not None:
            self._parts.csi.over(self.uid)
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
                stopping = self._stops[instruction.id] = self._spawn(instruction)
                stopping.add_done_callback(functools.partial(self._stopped, instruction.id))
            case do.Prepare():
                self._preparing[instruction.name] = asyncio.create_task(self._gather(instruction))
                self._spawn(instruction)
            case _:
                self._spawn(instruction)

    async def _gather(self, instruction: do.Prepare) -> Gathered:
        container, kind = translate.find_container(self.pod, instruction.name)
        seen = container.get("targetContainerName") if kind == "ephemeral" else None
        target = self.state.record(seen).id if seen else ""
        record = functools.partial(self._record, instruction.name)
        return await gather(self._parts, self.pod, instruction, self._paths, self.facts(), target, record)

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
            node_labels=facts.node_labels,
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
                    await parts.runtime.forget_pod(self.uid)
                    await parts.volumes.unmount_all(self.uid)
                except (MountError, RuntimeFailure, OSError) as error:
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
                gathering = self._preparing[instruction.name]
                record = functools.partial(self._record, instruction.name)
                try:
                    return await prepare(parts, self.pod, instruction, gathering, record)
                finally:
                    del self._preparing[instruction.name]
            case do.Start():
                return await self._start(instruction)
            case do.RunPostStart():
                return await self._post_start(instruction)
            case do.Resize():
                return await resize(parts, self.pod, instruction)
            case do.StopContainer():
                attempt = self.state.record(instruction.name).attempt
                return await self._endings.stop(self.pod, self.facts().pod_ip, attempt, instruction)
            case do.DeleteObject():
                return await self._delete_object()
            case _:
                raise AssertionError(f"{instruction} has no outcome")

    async def _create_sandbox(self, instruction: do.CreateSandbox) -> ev.Event:
        try:
            spec = await sandbox_spec(self._parts, self.pod, instruction.attempt)
            sandbox_id = await self._parts.runtime.create_sandbox(spec)
        except (RuntimeFailure, AddressesExhausted, PodConfigError, StatusError, OSError) as error:
            return ev.SandboxFailed(f"Failed to create pod sandbox: {error}")
        return ev.SandboxCreated(sandbox_id, spec.ip)

    async def _remove(self, container_id: str) -> bool:
        try:
            await self._parts.runtime.remove(container_id)
        except RuntimeFailure as error:
            log.warning("container %s is not removed: %s", container_id, error)
            return False
        self._endings.forget(container_id)
        return True

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
            self._endings.out_of_memory(event.id)
        elif event.action == "started":
            self.post(ev.Started(name, event.id, event.time))
        elif record.step is Step.STARTING:
            # The start's own outcome says more about why it ended.
            self._deferred[event.id] = event
        elif event.action == "removed":
            self.post(self._endings.lost(name, event.id))
        elif record.step is Step.RUNNING and event.id not in self._stops:
            self._spawn_ended(name, event)

    def _spawn_ended(self, name: str, event: RuntimeEvent) -> None:
        task = asyncio.create_task(self._tell_ended(name, event), name=f"ended {event.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell_ended(self, name: str, event: RuntimeEvent) -> None:
        attempt = self.state.record(name).attempt
        self.post(await self._endings.told(self.pod, name, event.id, attempt, event.exit_code, event.time))

    def standing(self) -> dict[str, SandboxStep | Step]:
        """Where each of the pod's containers stands, by id."""
        steps: dict[str, SandboxStep | Step] = {r.id: r.step for r in self.state.containers.values()}
        return {**steps, self.state.sandbox.id: self.state.sandbox.step}

    async def reconcile(self, found: Mapping[str, str], before: Mapping[str, SandboxStep | Step]) -> None:
        """Compares with all of the pod's containers the engine has (id → status): events may have been lost.

        `before` is what was `standing` when the engine was asked; what has moved since is not judged.
        """
        box = self.state.sandbox
        stood = box.step is SandboxStep.READY and before.get(box.id) is box.step
        if stood and found.get(box.id) != "running":
            self.post(ev.SandboxDied(box.id))
        for name, record in list(self.state.containers.items()):
            if before.get(record.id) is not record.step:
                continue
            status = found.get(record.id) if record.id else None
            if record.step is Step.CREATED and status == "running":
                self.post(ev.Started(name, record.id, self._parts.clock()))
            elif record.step is Step.CREATED and status is None:
                self.post(self._endings.lost(name, record.id))
            elif record.step is Step.RUNNING and record.stop is None and status != "running":
                try:
                    self.post(await self._endings.ended(self.pod, name, record.id, record.attempt))
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
        case do.Resize():
            return ev.Resized(instruction.name, instruction.id, UNSIZED, False, message)
        case do.StopContainer():
            return ev.StopFailed(instruction.name, instruction.id)
        case do.DeleteObject():
            return ev.ObjectDeleted(False)
        case _:
            return ev.Tick()
