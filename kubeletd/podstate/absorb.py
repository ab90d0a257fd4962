"""How an event changes what is known about a pod. What to do about it is decided elsewhere."""

from __future__ import annotations

from dataclasses import replace

from kubeletd.podstate import events as ev
from kubeletd.podstate.instructions import Instruction, Record, StopProbes
from kubeletd.podstate.model import Ended, PodState, Removal, Sandbox, SandboxStep, Setup, Step
from kubeletd.podstate.plan import ContainerPlan, PodPlan
from kubeletd.podstate.resize import resize_over, resized
from kubeletd.podstate.restart import again, ended, preparation_delay
from kubeletd.podstate.sizes import UNSIZED, Sizes

SANDBOX_STABLE_AFTER = 60.0
RETRY = 1.0  # seconds until what the engine or the API did not do is asked again


def plan_for(state: PodState, name: str) -> ContainerPlan | None:
    return next((c for c in state.plan.containers if c.name == name), None)


def absorb(state: PodState, event: ev.Event, now: float) -> tuple[PodState, list[Instruction]]:
    """The state that knows of `event`, and what is to be told about it (events, probes ended)."""
    match event:
        case ev.Tick():
            return state, []
        case ev.PodChanged():
            return _pod_changed(state, event, now), []
        case ev.Rejected():
            if state.failed or state.finished:
                return state, []
            grace = state.plan.grace if event.grace is None else min(event.grace, state.plan.grace)
            deadline = min(state.deadline or now + grace, now + grace)
            return replace(state, failed=(event.reason, event.message), deadline=deadline), []
        case ev.SetUpDone() | ev.SetUpFailed() | ev.TornDown():
            return _setup(state, event, now)
        case (
            ev.SandboxCreated()
            | ev.SandboxStarted()
            | ev.SandboxFailed()
            | ev.SandboxDied()
            | ev.SandboxRemoved()
        ):
            return _sandbox(state, event, now)
        case ev.Stray():
            return (
                state if _known(state, event.id) else replace(state, strays=state.strays | {event.id})
            ), []
        case ev.Removed():
            return _removed(state, event, now), []
        case ev.ObjectDeleted():
            if event.ok:
                return replace(state, removal=Removal.DONE), []
            return replace(state, removal=Removal.NONE, removal_retry_at=now + RETRY), []
        case _:
            return _container(state, event, now)


def _known(state: PodState, container_id: str) -> bool:
    if container_id == state.sandbox.id:
        return True
    return any(container_id == r.id or container_id in r.dead for r in state.containers.values())


def _pod_changed(state: PodState, event: ev.PodChanged, now: float) -> PodState:
    plan, old = event.plan, state.plan
    if old.delete_grace is not None:  # a deletion is never taken back, nor its grace made longer
        shorter = min(old.delete_grace, old.delete_grace if plan.delete_grace is None else plan.delete_grace)
        plan = replace(plan, delete_grace=shorter, gone=plan.gone or old.gone)
    state = replace(state, plan=plan, started_at=state.started_at or now)
    if plan.delete_grace is not None and (old.delete_grace is None or plan.delete_grace < old.delete_grace):
        deadline = now + plan.delete_grace
        state = replace(state, deadline=min(state.deadline or deadline, deadline))
    for container in plan.containers:
        record = state.record(container.name)
        if record.step in (Step.WAITING, Step.EXITED) and record.retry_at and _replanned(old, container):
            state = state.change(container.name, retry_at=0.0, backoff=0.0, failures=0)
        if record.resize_error and record.sizes != container.sizes and _resized_again(old, container):
            state = state.change(container.name, resize_error="", resize_retry_at=0.0)
    return state


def _resized_again(old: PodPlan, container: ContainerPlan) -> bool:
    return any(c.name == container.name and c.sizes != container.sizes for c in old.containers)


def _replanned(old: PodPlan, container: ContainerPlan) -> bool:
    before = next((c for c in old.containers if c.name == container.name), None)
    return before is not None and before.spec_hash != container.spec_hash


def _setup(state: PodState, event: ev.Event, now: float) -> tuple[PodState, list[Instruction]]:
    match event:
        case ev.SetUpDone() if state.setup is Setup.RUNNING:
            return replace(state, setup=Setup.DONE, setup_failures=0, setup_message=""), []
        case ev.SetUpFailed() if state.setup is Setup.RUNNING:
            failures = state.setup_failures + 1
            return replace(
                state,
                setup=Setup.NONE,
                setup_failures=failures,
                setup_message=event.message,
                setup_retry_at=now + preparation_delay(failures),
            ), [Record("Warning", "FailedMount", event.message)] if event.message else []
        case ev.TornDown() if state.setup is Setup.TEARING:
            if event.ok:
                return replace(state, setup=Setup.TORN), []
            return replace(state, setup=Setup.DONE, cleanup_retry_at=now + RETRY), []
        case _:
            return state, []


def _sandbox(state: PodState, event: ev.Event, now: float) -> tuple[PodState, list[Instruction]]:
    box = state.sandbox
    match event:
        case ev.SandboxCreated():
            if box.step is not SandboxStep.CREATING:
                return replace(state, strays=state.strays | {event.id}), []
            return replace(
                state, sandbox=replace(box, step=SandboxStep.CREATED, id=event.id, ip=event.ip, message="")
            ), []
        case ev.SandboxStarted() if box.id == event.id and box.step is SandboxStep.STARTING:
            return replace(state, sandbox=replace(box, step=SandboxStep.READY, ready_at=now)), []
        case ev.SandboxFailed() if box.id == event.id and box.step in (
            SandboxStep.CREATING,
            SandboxStep.STARTING,
        ):
            failures = box.failures + 1
            step = SandboxStep.DEAD if event.id else SandboxStep.NONE
            return replace(
                state,
                sandbox=replace(
                    box,
                    step=step,
                    failures=failures,
                    retry_at=now + preparation_delay(failures),
                    message=event.message,
                ),
            ), [Record("Warning", "FailedCreatePodSandBox", event.message)]
        case ev.SandboxDied() if box.id == event.id and box.step in (
            SandboxStep.CREATED,
            SandboxStep.STARTING,
            SandboxStep.READY,
        ):
            stable = box.ready_at and now - box.ready_at > SANDBOX_STABLE_AFTER
            failures = 1 if stable else box.failures + 1
            retry_at = now if failures == 1 else now + preparation_delay(failures - 1)
            told: list[Instruction] = []
            if not state.stopping:
                told.append(
                    Record(
                        "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created."
                    )
                )
            return replace(
                state, sandbox=replace(box, step=SandboxStep.DEAD, failures=failures, retry_at=retry_at)
            ), told
        case ev.SandboxRemoved() if box.id == event.id and box.step is SandboxStep.REMOVING:
            if not event.ok:
                return replace(
                    state, sandbox=replace(box, step=SandboxStep.DEAD), cleanup_retry_at=now + RETRY
                ), []
            fresh = Sandbox(
                attempt=box.attempt + 1, failures=box.failures, retry_at=box.retry_at, message=box.message
            )
            return replace(state, sandbox=fresh), []
        case _:
            return state, []


def _removed(state: PodState, event: ev.Removed, now: float) -> PodState:
    state = replace(state, removing=state.removing - {event.id})
    if not event.ok:
        return replace(state, cleanup_retry_at=now + RETRY)
    if not event.name:
        return replace(state, strays=state.strays - {event.id})
    record = state.record(event.name)
    dead = tuple(i for i in record.dead if i != event.id)
    return state.change(event.name, dead=dead, id="" if record.id == event.id else record.id)


def _container(state: PodState, event: ev.Event, now: float) -> tuple[PodState, list[Instruction]]:
    match event:
        case ev.Prepared():
            record = state.record(event.name)
            if record.step is not Step.PREPARING or record.attempt != event.attempt:
                return (
                    state if _known(state, event.id) else replace(state, strays=state.strays | {event.id})
                ), []
            return state.change(
                event.name,
                step=Step.CREATED,
                id=event.id,
                image_id=event.image_id,
                volume_images=event.volume_images,
                user=event.user,
                failures=0,
                cancelling=False,
                spec_hash=event.spec_hash,
                sizes=_sizes(state, event),
                retry_at=0.0,
                flip_at=0.0,
                later_reason="",
                later_message="",
            ), []
        case ev.PrepareFailed():
            return _prepare_failed(state, event, now)
        case ev.PrepareWaits():
            record = state.record(event.name)
            if record.step is Step.PREPARING and record.attempt == event.attempt:
                state = state.change(event.name, reason=event.reason, message=event.message)
            return state, []
        case ev.Cancelled():
            record = state.record(event.name)
            if record.step is Step.PREPARING and record.attempt == event.attempt:
                state = state.change(event.name, step=Step.WAITING, cancelling=False, retry_at=0.0)
            return state, []
        case ev.Started():
            return _started(state, event)
        case ev.StartFailed():
            return _start_failed(state, event, now)
        case ev.Exited():
            record = state.record(event.name)
            if record.id != event.id or record.step not in (Step.CREATED, Step.STARTING, Step.RUNNING):
                return state, []
            reason = event.reason or ("Completed" if event.exit_code == 0 else "Error")
            return _exit(state, event.name, event.exit_code, reason, event.message, event.at)
        case ev.StopFailed():
            record = state.record(event.name)
            if record.id == event.id and record.stop is not None:
                state = state.change(event.name, stop=None, retry_at=now + RETRY)
            return state, []
        case ev.HookDone():
            return _hook_done(state, event)
        case ev.Resized():
            return resized(state, event, now)
        case ev.Probed():
            return _probed(state, event), []
        case _:
            return state, []


def _sizes(state: PodState, event: ev.Prepared) -> Sizes:
    if event.sizes is not None:
        return event.sizes
    plan = plan_for(state, event.name)
    return plan.sizes if plan is not None else UNSIZED


def _prepare_failed(
    state: PodState, event: ev.PrepareFailed, now: float
) -> tuple[PodState, list[Instruction]]:
    record = state.record(event.name)
    if record.step is not Step.PREPARING or record.attempt != event.attempt:
        return state, []
    failures = record.failures + 1
    delay = event.retry_after or preparation_delay(failures)
    flip = min(3.0, delay / 2) if event.later_reason else 0.0
    return state.change(
        event.name,
        step=Step.WAITING,
        cancelling=False,
        failures=failures,
        retry_at=now + delay,
        reason=event.reason,
        message=event.message,
        later_reason=event.later_reason,
        later_message=event.later_message,
        flip_at=now + flip if flip else 0.0,
    ), []


def _started(state: PodState, event: ev.Started) -> tuple[PodState, list[Instruction]]:
    record = state.record(event.name)
    if record.id != event.id or record.step not in (Step.CREATED, Step.STARTING):
        return state, []
    plan = plan_for(state, event.name)
    hook = plan is not None and plan.post_start
    state = state.change(
        event.name,
        step=Step.RUNNING,
        started_at=event.at,
        reason="",
        message="",
        hook="" if hook else "done",
        started=not hook and (plan is None or not plan.startup_probe),
        ready=plan is None or not plan.readiness_probe,
        retry_at=0.0,
        probing="",
        resize_restart="",
    )
    told: list[Instruction] = [Record("Normal", "Started", "Container started", event.name)]
    return state, told + (resize_over(state) if record.resize_restart else [])


def _start_failed(state: PodState, event: ev.StartFailed, now: float) -> tuple[PodState, list[Instruction]]:
    record = state.record(event.name)
    if record.id != event.id or record.step is not Step.STARTING:
        return state, []
    if event.unknown:
        return state.change(event.name, step=Step.CREATED, retry_at=now + RETRY), []
    told: list[Instruction] = [Record("Warning", "Failed", f"Error: {event.message}", event.name)]
    state, more = _exit(state, event.name, event.exit_code, event.reason, event.message, now)
    return state, told + more


def _exit(
    state: PodState, name: str, code: int, reason: str, message: str, at: float
) -> tuple[PodState, list[Instruction]]:
    record = state.record(name)
    end = Ended(
        id=record.id,
        exit_code=code,
        reason=reason,
        message=message,
        started_at=record.started_at,
        finished_at=at,
        image_id=record.image_id,
    )
    told: list[Instruction] = [StopProbes(name)] if record.probing else []
    to_resize = record.resize_restart == "stopping" and not state.stopping
    record = ended(replace(record, probing="", resize_restart=""), end, plan_for(state, name), state.plan)
    if to_resize:
        record = replace(again(record), reason="", message="", backoff=0.0, resize_restart="starting")
        return state.with_record(name, record), told
    if record.retry_at and not state.stopping:
        text = f"Back-off restarting failed container {name} in pod {state.plan.display}"
        told.append(Record("Warning", "BackOff", text, name))
    return state.with_record(name, record), told


def _hook_done(state: PodState, event: ev.HookDone) -> tuple[PodState, list[Instruction]]:
    record, plan = state.record(event.name), plan_for(state, event.name)
    if record.id != event.id or record.step is not Step.RUNNING or record.hook != "running":
        return state, []
    if event.ok:
        return state.change(event.name, hook="done", started=plan is None or not plan.startup_probe), []
    return state.change(event.name, hook="done", stop_reason="FailedPostStartHook"), [
        Record("Warning", "FailedPostStartHook", event.message, event.name)
    ]


def _probed(state: PodState, event: ev.Probed) -> PodState:
    record, plan = state.record(event.name), plan_for(state, event.name)
    if record.id != event.id or record.step is not Step.RUNNING or plan is None:
        return state
    if event.kind == "readiness":
        return state.change(event.name, ready=event.ok)
    if event.ok:
        return state.change(event.name, started=True) if event.kind == "startup" else state
    if record.stop_reason or state.stopping:
        return state
    return state.change(
        event.name,
        stop_reason=f"Container {event.name} failed {event.kind} probe, will be restarted",
        stop_grace=plan.startup_grace if event.kind == "startup" else plan.liveness_grace,
    )
