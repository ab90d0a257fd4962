"""A node's engine for the pod machine: it does what it is told when the test lets it, and keeps what exists.

What must hold whatever happens is asserted where it happens.
"""

from __future__ import annotations

from typing import Any

from podparts import ApiSide, Box, Made

from apimachinery import resources, validation
from kubeletd.podstate import PodState, plan_of, step
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.absorb import absorb
from kubeletd.podstate.adoption import adopt
from kubeletd.podstate.plan import ContainerPlan
from kubeletd.podstate.restart import restarting_all, restarts
from kubeletd.runtime.interface import ContainerState, Identity
from kubeletd.status import NodeFacts, pod_status

PODS = resources.get("pods")


class World(ApiSide):
    def __init__(self, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        self.plan = plan_of(manifest)
        self.now = 1000.0
        self.state = PodState(plan=self.plan)
        self.pending: list[do.Instruction] = []
        self.cancelled: set[tuple[str, int]] = set()
        self.made: dict[str, Made] = {}
        self.sandboxes: dict[str, Box] = {}
        self.mounted = False
        self.deleted = False
        self.stopping = False
        self.restarting_all = False
        self.done: set[str] = set()  # main containers that ended for good
        self.completed: dict[str, str] = {}  # init container → the sandbox in which it succeeded
        self.told: list[ev.Event] = []
        self.counter = 0
        self.send(ev.PodChanged(self.plan))

    @property
    def alive(self) -> dict[str, str]:
        """The names of running containers by id."""
        return {i: made.name for i, made in self.made.items() if made.status == "running"}

    def planned(self, name: str) -> ContainerPlan:
        return next(c for c in self.plan.containers if c.name == name)

    def tick(self) -> float:
        """Now, and no two things happen at the same time."""
        self.counter += 1
        return self.now + self.counter * 1e-6

    def name_id(self) -> str:
        self.counter += 1
        return f"c{self.counter}"

    def send(self, event: ev.Event) -> None:
        self.told.append(event)
        before = self.state
        self.state, out = step(self.state, event, self.now)
        after = self.state
        if self.stopping:
            assert after.stopping, "a pod that was to end goes on"
            assert after.deadline <= before.deadline, "and is given more time"
        if before.finished and before.failed is None:
            assert after.finished and after.failed is None, "what has ended well is failed afterwards"
        for name, record in before.containers.items():
            assert after.record(name).attempt >= record.attempt, "a restart is forgotten"
        self.stopping = after.stopping
        anew = self.restarting_all or restarting_all(absorb(before, event, self.now)[0])
        if anew and not restarting_all(after) and not after.stopping:
            old = {i: n for i, n in self.alive.items() if not self.made[i].stray}
            assert not old, "the pod begins anew beside what was there"
            self.done = {name for name in self.done if self.planned(name).kind == "ephemeral"}
            self.completed.clear()
        self.restarting_all = restarting_all(after)
        for instruction in out:
            self.accept(instruction)
        if self.stopping:
            stops = [p for p in self.pending if isinstance(p, do.StopContainer) and p.id in self.alive]
            late = [p for p in stops if p.deadline > after.deadline]
            assert all(self.planned(p.name).kind == "sidecar" for p in late), (
                "a stop takes longer than it may"
            )

    def accept(self, instruction: do.Instruction) -> None:
        match instruction:
            case do.Record() | do.StartProbes() | do.StopProbes():
                return
            case do.Cancel():
                self.cancelled.add((instruction.name, instruction.attempt))
                return
            case do.StopContainer():
                self.may_stop(instruction)
                same = [p for p in self.pending if isinstance(p, do.StopContainer) and p.id == instruction.id]
                for old in same:
                    assert instruction.deadline <= old.deadline
                    self.pending.remove(old)
            case do.Prepare():
                assert not self.state.stopping, "something new in a pod that ends"
                assert instruction.name not in self.done, "a finished container runs again"
                assert instruction.sandbox_id in self.sandboxes
                ran = [
                    m
                    for m in self.made.values()
                    if m.name == instruction.name and m.started_at and not m.stray
                ]
                assert all(m.attempt < instruction.attempt for m in ran), "two runs of one number"
                self.in_turn(instruction.name, instruction.sandbox_id, to_start=False)
            case do.Start():
                assert not self.state.stopping, "started in a pod that ends"
                box = self.state.sandbox
                assert self.sandboxes[box.id].status == "running", "started without a sandbox"
                self.in_turn(instruction.name, box.id, to_start=True)
                twins = [
                    i for i, name in self.alive.items() if name == instruction.name and not self.made[i].stray
                ]
                assert not twins, "two containers of one name run"
        assert instruction not in self.pending, "asked twice"
        self.pending.append(instruction)

    def in_turn(self, name: str, sandbox: str, *, to_start: bool) -> None:
        """Init containers run one after the other, each in the pod's sandbox; sidecars start before what follows."""
        if self.planned(name).kind == "ephemeral" or (self.state.initialized and not to_start):
            return
        for plan in self.plan.containers:
            if plan.name == name or plan.kind not in ("init", "sidecar"):
                return
            if plan.kind == "init":
                assert self.completed.get(plan.name) == sandbox, f"{name} before {plan.name} was through"
            elif not self.state.initialized:
                assert self.state.record(plan.name).started, f"{name} before sidecar {plan.name} had started"

    def may_stop(self, instruction: do.StopContainer) -> None:
        """As a pod ends, its sidecars do so last."""
        kinds = {plan.name: plan.kind for plan in self.plan.containers}
        if not self.state.stopping or kinds[instruction.name] != "sidecar":
            return
        if any(isinstance(p, do.StopContainer) and p.id == instruction.id for p in self.pending):
            return  # it was being stopped already, for itself
        others = [n for i, n in self.alive.items() if kinds[n] != "sidecar" and not self.made[i].stray]
        assert not others, f"sidecar {instruction.name} is stopped before {others}"

    def outcome(self, instruction: do.Instruction, ok: bool, code: int) -> None:
        self.pending.remove(instruction)
        match instruction:
            case do.SetUp():
                self.mounted = True
                self.send(ev.SetUpDone() if ok else ev.SetUpFailed("no"))
            case do.TearDown():
                assert not self.alive, "volumes are taken from under a running container"
                self.mounted = self.mounted and not ok
                self.send(ev.TornDown(ok))
            case do.CreateSandbox():
                self.send(
                    ev.SandboxCreated(self.make_sandbox(instruction), "10.0.0.1")
                    if ok
                    else ev.SandboxFailed("no")
                )
            case do.StartSandbox():
                if ok and self.sandboxes.get(instruction.id, Box(0, 0, "exited")).status != "exited":
                    self.sandboxes[instruction.id].status = "running"
                    self.send(ev.SandboxStarted(instruction.id))
                else:
                    self.send(ev.SandboxFailed("no", instruction.id))
            case do.RemoveSandbox():
                if ok:
                    self.sandboxes.pop(instruction.id, None)
                self.send(ev.SandboxRemoved(instruction.id, ok))
            case do.Prepare():
                self.prepare(instruction, ok, code)
            case do.Start():
                made = self.made.get(instruction.id)
                if made is None:
                    self.send(ev.StartFailed(instruction.name, instruction.id, "no such container"))
                elif ok:
                    made.started_at = made.started_at or self.tick()
                    self.send(ev.Started(instruction.name, instruction.id, self.now))
                elif code % 3 == 0:
                    self.send(ev.StartFailed(instruction.name, instruction.id, "no", unknown=True))
                else:
                    made.started_at = self.tick()
                    self.end(instruction.id, 128)
                    self.send(ev.StartFailed(instruction.name, instruction.id, "no"))
            case do.RunPostStart():
                self.send(ev.HookDone(instruction.name, instruction.id, ok, "no"))
            case do.Resize():
                sizes = self.planned(instruction.name).sizes
                self.send(ev.Resized(instruction.name, instruction.id, sizes, ok, "no"))
            case do.StopContainer():
                if not ok:
                    self.send(ev.StopFailed(instruction.name, instruction.id))
                    return
                if instruction.id in self.alive:
                    self.end(instruction.id, code)
                made = self.made.get(instruction.id)
                self.send(ev.Exited(instruction.name, instruction.id, made.code if made else 137, self.now))
            case do.Remove():
                assert instruction.id not in self.alive or not instruction.name, "removed a running container"
                if ok:
                    self.made.pop(instruction.id, None)
                self.send(ev.Removed(instruction.id, instruction.name, ok))
            case do.DeleteObject():
                assert self.deleted
                # A stray may have turned up since the delete was asked for.
                assert not set(self.made) - self.state.strays and not self.alive
                assert not self.sandboxes and not self.mounted
                self.send(ev.ObjectDeleted(ok))

    def make_sandbox(self, instruction: do.CreateSandbox) -> str:
        sandbox_id = self.name_id()
        self.sandboxes[sandbox_id] = Box(instruction.attempt, self.tick())
        return sandbox_id

    def make(self, instruction: do.Prepare) -> str:
        container_id = self.name_id()
        plan = self.planned(instruction.name)
        self.made[container_id] = Made(
            instruction.name, instruction.attempt, instruction.sandbox_id, plan.spec_hash, self.tick()
        )
        return container_id

    def prepare(self, instruction: do.Prepare, ok: bool, code: int) -> None:
        name, attempt = instruction.name, instruction.attempt
        if (name, attempt) in self.cancelled and code % 2:
            self.cancelled.discard((name, attempt))
            self.send(ev.Cancelled(name, attempt))
        elif ok:
            plan = self.planned(name)
            made = self.make(instruction)
            self.send(ev.Prepared(name, attempt, made, "i", plan.spec_hash, plan.sizes))
        else:
            self.send(ev.PrepareFailed(name, attempt, "ErrImagePull", "no"))

    def end(self, container_id: str, code: int) -> None:
        """A process ends; whether its container may run again is decided here a second time."""
        made = self.made[container_id]
        made.finished_at, made.code = self.tick(), code
        if made.stray:
            return
        plan = self.planned(made.name)
        made.to_resize = self.state.record(made.name).resize_restart == "stopping"
        if plan.kind == "init" and code == 0:
            self.completed[made.name] = made.sandbox
        if plan.kind in ("container", "ephemeral") and not restarts(plan, code) and not made.to_resize:
            self.done.add(made.name)

    def exit(self, container_id: str, code: int) -> None:
        self.end(container_id, code)
        self.send(ev.Exited(self.made[container_id].name, container_id, code, self.now))

    def sandbox_dies(self, sandbox_id: str) -> None:
        self.sandboxes[sandbox_id].status = "exited"
        self.send(ev.SandboxDied(sandbox_id))

    def stray(self) -> None:
        container_id = self.name_id()
        self.made[container_id] = Made("main0", 0, "", "", self.tick(), stray=True)
        self.send(ev.Stray(container_id))

    # The agent's end, and the next one.

    def report(self) -> None:
        """The status reaches the API."""
        status = pod_status(self.manifest, self.state, NodeFacts(), self.now)
        reported = {**self.manifest, "status": status}
        errors = validation.status_update(PODS, reported, {"status": {}, **self.manifest})
        refused = [text for text in map(str, errors) if "non-terminated" in text]
        assert not refused, refused
        self.manifest = reported

    def agent_restarts(self, chance: int) -> None:
        """Each thing under way was done, or not; nobody was told. The next agent knows what there is, and what the API
        was told last."""
        for number, instruction in enumerate(self.pending):
            if (chance + number) % 2:
                self.done_unheard(instruction)
        self.pending.clear()
        self.cancelled.clear()
        for plan in self.plan.containers:
            runs = [m for m in self.made.values() if m.name == plan.name and not m.stray]
            last = max(runs, key=lambda made: made.attempt, default=None)
            # That one was only to be resized is no longer known.
            if plan.kind == "container" and last and last.finished_at and not restarts(plan, last.code):
                self.done.add(plan.name)
        self.state = adopt(self.plan, self.found(), self.manifest.get("status") or {}, self.now)
        self.stopping = self.state.stopping
        self.restarting_all = restarting_all(self.state)
        self.send(ev.PodChanged(self.plan))

    def done_unheard(self, instruction: do.Instruction) -> None:
        match instruction:
            case do.SetUp():
                self.mounted = True
            case do.CreateSandbox():
                self.make_sandbox(instruction)
            case do.StartSandbox():
                box = self.sandboxes.get(instruction.id)
                if box is not None and box.status == "created":
                    box.status = "running"
            case do.RemoveSandbox():
                self.sandboxes.pop(instruction.id, None)
            case do.Prepare():
                self.make(instruction)
            case do.Start() if instruction.id in self.made:
                self.made[instruction.id].started_at = self.tick()
            case do.StopContainer() if instruction.id in self.alive:
                self.end(instruction.id, 137)
            case do.Remove():
                self.made.pop(instruction.id, None)
            case _:
                return

    def found(self) -> list[ContainerState]:
        def identity(name: str, kind: str, attempt: int, spec_hash: str = "") -> Identity:
            return Identity("ns", "p", "u1", name, kind, attempt, spec_hash)  # type: ignore[arg-type]

        boxes = [
            ContainerState(i, identity("", "sandbox", b.attempt), b.status, created_at=b.created_at)  # type: ignore[arg-type]
            for i, b in self.sandboxes.items()
        ]
        kinds = {plan.name: "init" if plan.kind == "sidecar" else plan.kind for plan in self.plan.containers}
        return boxes + [
            ContainerState(
                i,
                identity(
                    "" if m.stray else m.name,
                    "container" if m.stray else kinds[m.name],
                    m.attempt,
                    m.spec_hash,
                ),
                m.status,  # type: ignore[arg-type]
                created_at=m.created_at,
                started_at=m.started_at,
                finished_at=m.finished_at,
                exit_code=m.code,
            )
            for i, m in self.made.items()
        ]

    def echo(self, which: int) -> None:
        """Something that was told before is told again."""
        again = [
            e
            for e in self.told
            if not isinstance(e, (ev.PodChanged, ev.Rejected, ev.Tick)) and not self.in_doubt(e)
        ]
        if again:
            self.send(again[-1 - which % min(len(again), 6)])

    def in_doubt(self, event: ev.Event) -> bool:
        """Whether the event would be a lie about what is there: an outcome is told once, a fact may be told twice."""
        match event:
            case ev.Exited():
                return event.id in self.alive
            case ev.Started():
                return event.id not in self.alive
            case ev.SandboxDied():
                return self.sandboxes.get(event.id, Box(0, 0)).status == "running"
            case ev.Stray():
                return event.id not in self.made
            case ev.Probed():
                return False
            case _:
                return True

    def settle(self, rounds: int = 400) -> None:
        """Lets everything happen that is under way or due, all of it successfully, until nothing is."""
        for _ in range(rounds):
            if self.pending:
                self.outcome(self.pending[0], True, 0)
            elif self.state.wake_at:
                self.now = max(self.now, self.state.wake_at)
                self.send(ev.Tick())
            else:
                return
        raise AssertionError(f"never settles: {self.pending}, {self.state}")

    def nothing_leaked(self) -> None:
        records = self.state.containers.values()
        kept = {r.id for r in records} | {i for r in records for i in r.dead}
        lost = set(self.made) - kept - self.state.strays - self.state.removing
        assert not lost, f"leaked: {lost}"
        boxes = set(self.sandboxes) - {self.state.sandbox.id} - self.state.strays - self.state.removing
        assert not boxes, f"leaked sandboxes: {boxes}"
