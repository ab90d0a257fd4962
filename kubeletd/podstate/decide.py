"""What to do next about a pod, from what is known alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kubeletd.podstate import instructions as do
from kubeletd.podstate.model import ContainerRecord, PodState, Removal, SandboxStep, Setup, Step, Stop
from kubeletd.podstate.plan import ContainerPlan
from kubeletd.podstate.resize import differs
from kubeletd.podstate.restart import again, backed_off, next_run, restarting_all, restarts, restarts_pod

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
MINIMUM_SIDECAR_GRACE = 2.0
KEPT_DEAD = 1  # ended containers kept per name beside the present one, for `logs --previous`
_SANDBOX_USABLE = (SandboxStep.CREATED, SandboxStep.STARTING, SandboxStep.READY)


class _Turn:
    """One decision in the making: the state as it will be, and the instructions so far."""

    def __init__(self, state: PodState, now: float) -> None:
        self.state = state
        self.now = now
        self.out: list[do.Instruction] = []

    def records(self, *kinds: str) -> Iterator[tuple[ContainerPlan, ContainerRecord]]:
        for plan in self.state.of_kind(*kinds):
            yield plan, self.state.record(plan.name)

    def every_record(self) -> list[tuple[str, ContainerRecord]]:
        return list(self.state.containers.items())

    def stop(self, name: str, deadline: float, message: str) -> None:
        """Stops a running container, unless a stop with an earlier deadline is under way."""
        record = self.state.record(name)
        if record.stop is not None and record.stop.deadline <= deadline:
            return
        if record.stop is None:
            if self.now < record.retry_at:
                return
            self.out.append(do.Record("Normal", "Killing", message, name))
        self.out.append(do.StopContainer(name, record.id, deadline))
        self.state = self.state.change(name, stop=Stop(deadline))

    def cancel(self, name: str) -> None:
        record = self.state.record(name)
        if not record.cancelling:
            self.out.append(do.Cancel(name, record.attempt))
            self.state = self.state.change(name, cancelling=True)

    def discard_created(self, name: str) -> None:
        """A container that was created and never started is of no use to anyone."""
        record = self.state.record(name)
        self.state = self.state.change(name, step=Step.WAITING, id="", retry_at=0.0)
        self.state = replace(self.state, strays=self.state.strays | {record.id})


def decide(state: PodState, now: float) -> tuple[PodState, list[do.Instruction]]:
    """The instructions due now; the state with them under way."""
    if state.over:
        return replace(state, wake_at=0.0), []
    turn = _Turn(state, now)
    _give_up_late(turn)
    if restarting_all(turn.state):
        _restart_all(turn)
    if not turn.state.stopping and not restarting_all(turn.state):
        _finish(turn)
    if turn.state.stopping:
        _terminate(turn)
    elif not restarting_all(turn.state):
        _resize(turn)
        _stop_single(turn)
        _advance(turn)
        _attend(turn)
    _clean(turn)
    _flip(turn)
    turn.state = replace(turn.state, wake_at=_wake(turn.state, now))
    return turn.state, turn.out


def _give_up_late(turn: _Turn) -> None:
    state = turn.state
    limit = state.plan.active_deadline
    if limit is None or not state.started_at or state.stopping or turn.now < state.started_at + limit:
        return
    turn.out.append(do.Record("Normal", "DeadlineExceeded", DEADLINE_MESSAGE))
    turn.state = replace(
        state, failed=("DeadlineExceeded", DEADLINE_MESSAGE), deadline=turn.now + state.plan.grace
    )


def _done(plan: ContainerPlan, record: ContainerRecord) -> bool:
    return (
        record.step is Step.EXITED and record.ended is not None and not restarts(plan, record.ended.exit_code)
    )


def _finish(turn: _Turn) -> None:
    """Sees that no container will run again: all have ended for good, or an init container has failed for good."""
    state = turn.state
    main = list(turn.records("container"))
    finished = bool(main) and all(_done(plan, record) for plan, record in main)
    if not state.initialized:
        finished = finished or any(
            _done(plan, record) and not record.completed for plan, record in turn.records("init")
        )
    if finished:
        turn.state = replace(state, finished=True, deadline=turn.now + state.plan.grace)


def _restart_all(turn: _Turn) -> None:
    """Ends every container at once, without grace. When none is left the pod begins anew, in the same sandbox."""
    for name, record in turn.every_record():
        if record.step is Step.RUNNING:
            turn.stop(name, turn.now, f"Stopping container {name}")
        elif record.step is Step.PREPARING:
            turn.cancel(name)
        elif record.step is Step.CREATED:
            turn.discard_created(name)
    own = [*turn.records("init", "sidecar", "container")]
    causes = {plan.name: record for plan, record in own if restarts_pod(plan, record)}
    if any(record.alive for _, record in turn.every_record()):
        return
    if any(turn.now < record.retry_at for record in causes.values()):
        return
    for plan, record in own:
        if record.step is Step.EXITED:
            record = backed_off(again(record), turn.now) if plan.name in causes else again(record)
            turn.state = turn.state.with_record(plan.name, record)
    turn.state = replace(turn.state, initialized=False)


def _stop_single(turn: _Turn) -> None:
    """Stops containers that are to be restarted: failed probes, a changed image, a failed hook."""
    for plan in turn.state.plan.containers:
        record = turn.state.record(plan.name)
        if record.step is Step.RUNNING and _outdated(plan, record) and not record.stop_reason:
            reason = f"Container {plan.name} definition changed, will be restarted"
            turn.state = turn.state.change(plan.name, stop_reason=reason, backoff=0.0)
        elif record.step is Step.CREATED and _outdated(plan, record):
            turn.discard_created(plan.name)
    for name, record in turn.every_record():
        if record.step is Step.RUNNING and record.stop_reason:
            grace = turn.state.plan.grace if record.stop_grace is None else record.stop_grace
            if record.stop is None:
                turn.stop(name, turn.now + grace, record.stop_reason)


def _outdated(plan: ContainerPlan, record: ContainerRecord) -> bool:
    """Whether the container is not what the spec says by now, such as its image."""
    return bool(record.spec_hash) and record.spec_hash != plan.spec_hash


def _resize(turn: _Turn) -> None:
    """Gives running containers what their spec says by now; those that must not notice it are restarted."""
    for plan, record in turn.records("init", "sidecar", "container"):
        if not differs(plan, record) or record.resizing or record.stop_reason:
            continue
        if record.sizes.changed(plan.sizes) & plan.restart_for:
            reason = f"Container {plan.name} resize requires restart"
            turn.state = turn.state.change(plan.name, stop_reason=reason, resize_restart="stopping")
        elif turn.now >= record.resize_retry_at:
            turn.out.append(do.Resize(plan.name, record.id))
            turn.state = turn.state.change(plan.name, resizing=True)


def _advance(turn: _Turn) -> None:
    state = turn.state
    if state.setup is Setup.NONE and turn.now >= state.setup_retry_at:
        turn.out.append(do.SetUp())
        turn.state = state = replace(state, setup=Setup.RUNNING)
    box = state.sandbox
    if box.step is SandboxStep.DEAD:
        _leave_sandbox(turn)
        return
    if box.step is SandboxStep.NONE and turn.now >= box.retry_at:
        _initialize_again(turn)
        turn.out.append(do.CreateSandbox(box.attempt))
        turn.state = replace(turn.state, sandbox=replace(box, step=SandboxStep.CREATING))
    elif box.step is SandboxStep.CREATED:
        turn.out.append(do.StartSandbox(box.id))
        turn.state = replace(state, sandbox=replace(box, step=SandboxStep.STARTING))
    if turn.state.sandbox.step in _SANDBOX_USABLE and turn.state.setup is Setup.DONE:
        blocked = False
        for plan in _wanted(turn):
            _bring_up(turn, plan, may_start=not blocked)
            record = turn.state.record(plan.name)
            # As in Kubernetes, a postStart hook holds back the containers after it.
            if plan.kind == "container" and plan.post_start and not record.failures:
                blocked = blocked or (record.step is not Step.EXITED and record.hook != "done")


def _leave_sandbox(turn: _Turn) -> None:
    """The sandbox is dead: everything in it ends, then it is removed, and init containers have to run again."""
    alive = False
    for name, record in turn.every_record():
        if record.step is Step.RUNNING:
            turn.stop(name, turn.now + turn.state.plan.grace, f"Stopping container {name}")
        elif record.step is Step.PREPARING:
            turn.cancel(name)
        elif record.step is Step.CREATED:
            turn.discard_created(name)
        alive = alive or turn.state.record(name).alive
    if alive or turn.now < turn.state.cleanup_retry_at:
        return
    _initialize_again(turn)
    box = turn.state.sandbox
    turn.out.append(do.RemoveSandbox(box.id))
    turn.state = replace(turn.state, sandbox=replace(box, step=SandboxStep.REMOVING))


def _initialize_again(turn: _Turn) -> None:
    """What init containers did they did in another sandbox."""
    for plan, record in turn.records("init"):
        if record.step is Step.EXITED and record.completed:
            turn.state = turn.state.with_record(plan.name, again(record))
    turn.state = replace(turn.state, initialized=False)


def _wanted(turn: _Turn) -> list[ContainerPlan]:
    """The containers that should be up now: init ones in turn, each sidecar started before what follows it."""
    wanted = turn.state.of_kind("ephemeral")
    sidecars_and_main = turn.state.of_kind("sidecar", "container")
    if turn.state.initialized:
        return wanted + sidecars_and_main
    for plan, record in turn.records("init", "sidecar"):
        if plan.kind == "sidecar":
            wanted.append(plan)
            if record.step is not Step.RUNNING or not record.started:
                return wanted
        elif not record.completed:
            return [*wanted, plan]
    turn.state = replace(turn.state, initialized=True)
    return turn.state.of_kind("ephemeral") + sidecars_and_main


def _bring_up(turn: _Turn, plan: ContainerPlan, may_start: bool) -> None:
    record = turn.state.record(plan.name)
    if turn.now < record.retry_at:
        return
    box = turn.state.sandbox
    if record.step is Step.WAITING:
        record = replace(record, step=Step.PREPARING)
    elif record.step is Step.EXITED and record.ended and restarts(plan, record.ended.exit_code):
        record = next_run(record, turn.now)
    elif record.step is Step.CREATED and box.step is SandboxStep.READY and may_start:
        turn.out.append(do.Start(plan.name, record.id))
        turn.state = turn.state.with_record(plan.name, replace(record, step=Step.STARTING))
        return
    else:
        return
    turn.out.append(do.Prepare(plan.name, record.attempt, box.id))
    turn.state = turn.state.with_record(plan.name, record)


def _attend(turn: _Turn) -> None:
    """Runs hooks and probes of running containers."""
    for plan in turn.state.plan.containers:
        record = turn.state.record(plan.name)
        if record.step is not Step.RUNNING or record.stop is not None:
            continue
        if plan.post_start and record.hook == "":
            turn.out.append(do.RunPostStart(plan.name, record.id))
            turn.state = turn.state.change(plan.name, hook="running")
        elif record.hook == "done" and not record.probing and plan.kind in ("sidecar", "container"):
            turn.out.append(do.StartProbes(plan.name, record.id, record.started_at))
            turn.state = turn.state.change(plan.name, probing="all")


def _terminate(turn: _Turn) -> None:
    """Ends every process (sidecars last, in reverse order), then the sandbox, then what a deleted pod leaves."""
    deadline = turn.state.deadline
    sidecars = [plan.name for plan in turn.state.of_kind("sidecar")]
    others_alive = False
    for name, record in turn.every_record():
        if record.step is Step.PREPARING:
            turn.cancel(name)
        elif record.step is Step.CREATED:
            turn.discard_created(name)
        elif record.step is Step.RUNNING and name not in sidecars:
            turn.stop(name, deadline, f"Stopping container {name}")
        if record.probing == "all" and record.step is Step.RUNNING:
            turn.out.append(do.StopProbes(name, ("startup", "liveness")))
            turn.state = turn.state.change(name, probing="readiness")
        others_alive = others_alive or (name not in sidecars and turn.state.record(name).alive)
    if others_alive:
        return
    for name in reversed(sidecars):
        record = turn.state.record(name)
        if not record.alive:
            continue
        if record.step is Step.RUNNING:
            grace = min(MINIMUM_SIDECAR_GRACE, _grace(turn.state))
            limit = record.stop.deadline if record.stop and record.stop.deadline <= deadline else deadline
            if record.stop is None:
                limit = max(deadline, turn.now + grace)
            turn.stop(name, limit, f"Stopping container {name}")
        return
    _take_down(turn)


def _grace(state: PodState) -> float:
    return float(state.plan.grace if state.plan.delete_grace is None else state.plan.delete_grace)


def _take_down(turn: _Turn) -> None:
    """No process is left. Order: sandbox, containers (of a deleted pod), volumes, the API object."""
    state = turn.state
    box = state.sandbox
    may_clean = turn.now >= state.cleanup_retry_at
    if box.step in (SandboxStep.CREATED, SandboxStep.READY, SandboxStep.DEAD) and may_clean:
        turn.out.append(do.RemoveSandbox(box.id))
        turn.state = state = replace(state, sandbox=replace(box, step=SandboxStep.REMOVING))
    deleted = state.plan.delete_grace is not None
    if deleted:
        for name, record in turn.every_record():
            if record.id:
                _remove(turn, record.id, name)
    state = turn.state
    containers_left = deleted and any(r.id or r.dead for r in state.containers.values())
    if state.sandbox.step is not SandboxStep.NONE or containers_left or state.strays or state.removing:
        return
    if state.setup in (Setup.NONE, Setup.DONE) and may_clean:
        turn.out.append(do.TearDown())
        turn.state = replace(state, setup=Setup.TEARING)
    elif state.setup is Setup.TORN and deleted and state.removal is Removal.NONE:
        if state.plan.gone:
            turn.state = replace(state, removal=Removal.DONE)
        elif turn.now >= state.removal_retry_at:
            turn.out.append(do.DeleteObject())
            turn.state = replace(state, removal=Removal.RUNNING)


def _remove(turn: _Turn, container_id: str, name: str) -> None:
    if container_id in turn.state.removing or turn.now < turn.state.cleanup_retry_at:
        return
    turn.out.append(do.Remove(container_id, name))
    turn.state = replace(turn.state, removing=turn.state.removing | {container_id})


def _clean(turn: _Turn) -> None:
    """Removes strays and ended containers beyond those kept; all of them once the pod is deleted."""
    deleted = turn.state.plan.delete_grace is not None
    for name, record in turn.every_record():
        kept = 0 if deleted else KEPT_DEAD
        for container_id in record.dead[: max(len(record.dead) - kept, 0)]:
            _remove(turn, container_id, name)
    for container_id in sorted(turn.state.strays):
        _remove(turn, container_id, "")


def _flip(turn: _Turn) -> None:
    for name, record in turn.every_record():
        if record.flip_at and turn.now >= record.flip_at:
            turn.state = turn.state.change(
                name,
                reason=record.later_reason,
                message=record.later_message,
                flip_at=0.0,
                later_reason="",
                later_message="",
            )


def _wake(state: PodState, now: float) -> float:
    """When time alone will make something due; 0 if nothing will."""
    times = [state.cleanup_retry_at, state.removal_retry_at]
    if not state.stopping:
        times += [state.sandbox.retry_at, state.setup_retry_at]
    if state.plan.active_deadline is not None and not state.stopping:
        times.append(state.started_at + state.plan.active_deadline)
    for record in state.containers.values():
        times += [record.retry_at, record.flip_at, record.resize_retry_at]
    return min((t for t in times if t > now), default=0.0)
