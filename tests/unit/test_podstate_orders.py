"""Whatever order things happen in: no container leaks, no finished one runs again, no deletion is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubeletd.podstate import PodState, plan_of, step
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.model import SandboxStep, Step
from kubeletd.podstate.restart import restarts


def pod(
    policy: str, init: int, sidecars: int, main: int, hooks: bool, probes: bool, **spec: Any
) -> dict[str, Any]:
    def container(name: str, **more: Any) -> dict[str, Any]:
        result: dict[str, Any] = {"name": name, "image": "x", **more}
        if hooks and not name.startswith("init"):
            result["lifecycle"] = {"postStart": {"exec": {"command": ["a"]}}}
        if probes:
            result["startupProbe"] = {"exec": {"command": ["a"]}}
        if policy != "Never" and name.endswith("0"):
            result["resizePolicy"] = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
        return result

    inits = [container(f"init{i}") for i in range(init)]
    inits[1:1] = [container(f"side{i}", restartPolicy="Always") for i in range(sidecars)]
    return {
        "metadata": {"uid": "u1", "namespace": "ns", "name": "p"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": inits,
            "containers": [container(f"main{i}") for i in range(main)],
            **spec,
        },
    }


class World:
    """An engine that does what it is told, when the test lets it, and keeps what exists."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        self.plan = plan_of(manifest)
        self.now = 1000.0
        self.state = PodState(plan=self.plan)
        self.pending: list[do.Instruction] = []
        self.cancelled: set[tuple[str, int]] = set()
        self.alive: dict[str, str] = {}  # running container id -> name
        self.made: dict[str, str] = {}  # existing container id -> name
        self.codes: dict[str, int] = {}
        self.sandboxes: dict[str, bool] = {}  # id -> running
        self.mounted = False
        self.deleted = False
        self.done: set[str] = set()  # main containers that ended for good
        self.counter = 0
        self.send(ev.PodChanged(self.plan))

    def name_id(self) -> str:
        self.counter += 1
        return f"c{self.counter}"

    def send(self, event: ev.Event) -> None:
        self.state, out = step(self.state, event, self.now)
        for instruction in out:
            self.accept(instruction)

    def accept(self, instruction: do.Instruction) -> None:
        match instruction:
            case do.Record() | do.StartProbes() | do.StopProbes():
                return
            case do.Cancel():
                self.cancelled.add((instruction.name, instruction.attempt))
                return
            case do.StopContainer():
                same = [p for p in self.pending if isinstance(p, do.StopContainer) and p.id == instruction.id]
                for old in same:
                    assert instruction.deadline <= old.deadline
                    self.pending.remove(old)
            case do.Prepare():
                assert instruction.name not in self.done, "a finished container runs again"
                assert instruction.sandbox_id in self.sandboxes
            case do.Start():
                box = self.state.sandbox
                assert self.sandboxes.get(box.id), "started without a sandbox"
        assert instruction not in self.pending, "asked twice"
        self.pending.append(instruction)

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
                if ok:
                    sandbox_id = self.name_id()
                    self.sandboxes[sandbox_id] = False
                    self.send(ev.SandboxCreated(sandbox_id, "10.0.0.1"))
                else:
                    self.send(ev.SandboxFailed("no"))
            case do.StartSandbox():
                if ok and instruction.id in self.sandboxes:
                    self.sandboxes[instruction.id] = True
                    self.send(ev.SandboxStarted(instruction.id))
                else:
                    self.send(ev.SandboxFailed("no", instruction.id))
            case do.RemoveSandbox():
                if ok:
                    self.sandboxes.pop(instruction.id, None)
                self.send(ev.SandboxRemoved(instruction.id, ok))
            case do.Prepare():
                if (instruction.name, instruction.attempt) in self.cancelled and code % 2:
                    self.cancelled.discard((instruction.name, instruction.attempt))
                    self.send(ev.Cancelled(instruction.name, instruction.attempt))
                elif ok:
                    container_id = self.name_id()
                    self.made[container_id] = instruction.name
                    plan = next(c for c in self.plan.containers if c.name == instruction.name)
                    self.send(
                        ev.Prepared(
                            instruction.name,
                            instruction.attempt,
                            container_id,
                            "i",
                            plan.spec_hash,
                            plan.sizes,
                        )
                    )
                else:
                    self.send(ev.PrepareFailed(instruction.name, instruction.attempt, "ErrImagePull", "no"))
            case do.Start():
                if ok:
                    self.alive[instruction.id] = instruction.name
                    self.send(ev.Started(instruction.name, instruction.id, self.now))
                else:
                    self.end(instruction.id, instruction.name, 128)
                    unknown = code % 3 == 0
                    if unknown:
                        self.done.discard(instruction.name)
                    self.send(ev.StartFailed(instruction.name, instruction.id, "no", unknown=unknown))
            case do.RunPostStart():
                self.send(ev.HookDone(instruction.name, instruction.id, ok, "no"))
            case do.Resize():
                plan = next(c for c in self.plan.containers if c.name == instruction.name)
                self.send(ev.Resized(instruction.name, instruction.id, plan.sizes, ok, "no"))
            case do.StopContainer():
                if ok:
                    if instruction.id in self.alive:
                        self.end(instruction.id, instruction.name, code)
                    code = self.codes[instruction.id]
                    self.send(ev.Exited(instruction.name, instruction.id, code, self.now))
                else:
                    self.send(ev.StopFailed(instruction.name, instruction.id))
            case do.Remove():
                assert instruction.id not in self.alive or not instruction.name, "removed a running container"
                if ok:
                    self.made.pop(instruction.id, None)
                    self.alive.pop(instruction.id, None)
                self.send(ev.Removed(instruction.id, instruction.name, ok))
            case do.DeleteObject():
                assert self.deleted
                # A stray may have turned up since the delete was asked for.
                assert not set(self.made) - self.state.strays and not self.alive
                assert not self.sandboxes and not self.mounted
                self.send(ev.ObjectDeleted(ok))

    def end(self, container_id: str, name: str, code: int) -> None:
        self.alive.pop(container_id, None)
        self.codes[container_id] = code
        plan = next(c for c in self.plan.containers if c.name == name)
        to_resize = self.state.record(name).resize_restart == "stopping"
        if plan.kind == "container" and not restarts(plan, code) and not to_resize:
            self.done.add(name)

    def exit(self, container_id: str, code: int) -> None:
        name = self.alive[container_id]
        self.end(container_id, name, code)
        self.send(ev.Exited(name, container_id, code, self.now))

    def resize(self, which: int, cpu: int) -> None:
        """One of the main containers is to have another amount of CPU."""
        spec = self.manifest["spec"]
        containers = list(spec["containers"])
        which %= len(containers)
        containers[which] = {**containers[which], "resources": {"requests": {"cpu": str(cpu)}}}
        self.manifest = {**self.manifest, "spec": {**spec, "containers": containers}}
        self.plan = plan_of(self.manifest)
        self.send(ev.PodChanged(self.plan))

    def delete(self, grace: int) -> None:
        self.deleted = True
        self.manifest = {
            **self.manifest,
            "metadata": {
                **self.manifest["metadata"],
                "deletionTimestamp": "x",
                "deletionGracePeriodSeconds": grace,
            },
        }
        self.plan = plan_of(self.manifest)
        self.send(ev.PodChanged(self.plan))

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


plans = st.builds(
    pod,
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    init=st.integers(0, 2),
    sidecars=st.integers(0, 2),
    main=st.integers(1, 2),
    hooks=st.booleans(),
    probes=st.booleans(),
)
action = st.tuples(
    st.sampled_from(
        ["outcome"] * 12
        + ["fail"] * 3
        + ["exit"] * 3
        + ["probe", "sandbox", "time", "delete", "stray", "resize"]
    ),
    st.integers(0, 5),
    st.integers(0, 3),
)


def play(world: World, actions: list[tuple[str, int, int]]) -> None:
    for what, which, code in actions:
        if world.state.over:
            return
        match what:
            case "outcome" | "fail" if world.pending:
                world.outcome(world.pending[which % len(world.pending)], what == "outcome", code)
            case "exit" if world.alive:
                world.exit(list(world.alive)[which % len(world.alive)], code)
            case "probe" if world.alive:
                container_id = list(world.alive)[which % len(world.alive)]
                kind = ("startup", "liveness", "readiness")[which % 3]
                world.send(ev.Probed(world.alive[container_id], container_id, kind, bool(code % 2)))  # type: ignore[arg-type]
            case "sandbox" if world.sandboxes:
                sandbox_id = list(world.sandboxes)[which % len(world.sandboxes)]
                world.sandboxes[sandbox_id] = False
                world.send(ev.SandboxDied(sandbox_id))
            case "time":
                world.now += 7 * which
                world.send(ev.Tick())
            case "delete":
                world.delete(code * 10)
            case "resize":
                world.resize(which, code)
            case "stray":
                container_id = world.name_id()
                world.made[container_id] = "main0"
                world.send(ev.Stray(container_id))
            case _:
                pass
        kept = {r.id for r in world.state.containers.values()} | {
            i for r in world.state.containers.values() for i in r.dead
        }
        lost = set(world.made) - kept - world.state.strays - world.state.removing
        assert not lost, f"leaked: {lost}"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifest=plans, actions=st.lists(action, max_size=80))
def test_a_deletion_leaves_nothing_whatever_happened_before(
    manifest: dict[str, Any], actions: list[tuple[str, int, int]]
) -> None:
    world = World(manifest)
    play(world, actions)
    if not world.state.over:
        world.delete(30)
        world.settle()
    assert world.state.over
    assert not world.made and not world.alive and not world.mounted
    assert not world.sandboxes


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifest=plans, actions=st.lists(action.filter(lambda a: a[0] != "delete"), max_size=80))
def test_what_may_run_runs_again_when_all_goes_well(
    manifest: dict[str, Any], actions: list[tuple[str, int, int]]
) -> None:
    world = World(manifest)
    play(world, actions)
    for _ in range(30):
        world.settle()
        waiting = [i for i, name in world.alive.items() if name.startswith("init")]
        if waiting:
            world.exit(waiting[0], 0)
            continue
        for container_id, name in world.alive.items():
            if not world.state.record(name).started:
                world.send(ev.Probed(name, container_id, "startup", True))
                break
        else:
            break
    if world.state.finished:
        assert not world.alive and not world.sandboxes
        return
    assert world.state.sandbox.step is SandboxStep.READY
    for plan in world.plan.containers:
        record = world.state.record(plan.name)
        if plan.kind in ("container", "sidecar"):
            assert record.step is Step.RUNNING or plan.name in world.done, (plan.name, record)
            assert record.step is not Step.RUNNING or record.sizes == plan.sizes
    assert len(world.alive) == sum(r.step is Step.RUNNING for r in world.state.containers.values())
    assert all(len(r.dead) <= 1 for r in world.state.containers.values())


@settings(max_examples=100, deadline=None)
@given(manifest=plans, actions=st.lists(action, max_size=40))
def test_the_same_events_lead_to_the_same_state(
    manifest: dict[str, Any], actions: list[tuple[str, int, int]]
) -> None:
    first, second = World(manifest), World(manifest)
    play(first, actions)
    play(second, actions)
    assert replace(first.state) == second.state
    assert first.pending == second.pending
