"""Whatever order things happen in: no container leaks, no finished one runs again, no deletion is lost."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from podparts import pod
from podworld import World

from kubeletd.podstate import events as ev
from kubeletd.podstate.model import SandboxStep, Step

RULES = ("", "Restart", "RestartAllContainers")
plans = st.builds(
    pod,
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    init=st.integers(0, 2),
    sidecars=st.integers(0, 2),
    main=st.integers(1, 2),
    hooks=st.booleans(),
    probes=st.booleans(),
    rules=st.sampled_from(RULES),
)
limited = st.builds(
    lambda manifest, seconds: {**manifest, "spec": {**manifest["spec"], "activeDeadlineSeconds": seconds}},
    plans,
    st.integers(1, 40),
)
COMMON = (
    ["outcome"] * 12 + ["fail"] * 3 + ["exit"] * 3 + ["probe", "sandbox", "time", "stray", "echo", "report"]
)
CHANGES = ["resize", "image", "debug", "agent", "news"]
ENDS = ["delete", "gone", "reject"]


def actions(*kinds: str, most: int = 80) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    one = st.tuples(st.sampled_from([*COMMON, *kinds]), st.integers(0, 5), st.integers(0, 3))
    return st.lists(one, max_size=most)


def play(world: World, actions: list[tuple[str, int, int]]) -> None:
    for what, which, code in actions:
        if world.state.over:
            return
        act(world, what, which, code)
        world.nothing_leaked()


def act(world: World, what: str, which: int, code: int) -> None:
    alive = list(world.alive)
    known = [i for i in alive if not world.made[i].stray]
    match what:
        case "outcome" | "fail" if world.pending:
            world.outcome(world.pending[which % len(world.pending)], what == "outcome", code)
        case "exit" if known:
            world.exit(known[which % len(known)], code)
        case "probe" if known:
            container_id = known[which % len(known)]
            kind = ("startup", "liveness", "readiness")[which % 3]
            world.send(ev.Probed(world.alive[container_id], container_id, kind, bool(code % 2)))  # type: ignore[arg-type]
        case "sandbox" if world.sandboxes:
            world.sandbox_dies(list(world.sandboxes)[which % len(world.sandboxes)])
        case "time":
            world.now += 7 * which
            world.send(ev.Tick())
        case "delete" if not world.plan.gone:
            world.delete(code * 10)
        case "gone":
            world.force_delete()
        case "reject":
            world.send(ev.Rejected("Evicted", "short of memory", code or None))
        case "resize" if not world.plan.gone:
            world.resize(which, code)
        case "image" if not world.plan.gone:
            world.change_image(which, code)
        case "debug" if not world.plan.gone:
            world.debug()
        case "stray":
            world.stray()
        case "echo":
            world.echo(which)
        case "news" if not world.plan.gone:
            world.old_news()
        case "report":
            world.report()
        case "agent" if not world.plan.gone:
            world.agent_restarts(which)
        case _:
            pass


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifest=plans | limited, actions=actions(*CHANGES, *ENDS))
def test_a_deletion_leaves_nothing_whatever_happened_before(
    manifest: dict[str, Any], actions: list[tuple[str, int, int]]
) -> None:
    world = World(manifest)
    play(world, actions)
    if not world.state.over:
        if not world.deleted:
            world.delete(30)
        world.settle()
    assert world.state.over
    assert not world.made and not world.alive and not world.mounted
    assert not world.sandboxes


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(manifest=plans | limited, actions=actions(*CHANGES, "reject"))
def test_what_may_run_runs_again_when_all_goes_well(
    manifest: dict[str, Any], actions: list[tuple[str, int, int]]
) -> None:
    world = World(manifest)
    play(world, actions)
    for _ in range(40):
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
    if world.state.stopping:
        assert not world.alive and not world.sandboxes and not world.mounted
        return
    assert world.state.sandbox.step is SandboxStep.READY
    for plan in world.plan.containers:
        record = world.state.record(plan.name)
        if plan.kind in ("container", "sidecar", "ephemeral"):
            assert record.step is Step.RUNNING or plan.name in world.done, (plan.name, record)
        if record.step is Step.RUNNING and plan.kind == "container":
            assert record.sizes == plan.sizes
            assert record.spec_hash == plan.spec_hash, "runs an image that nobody wants any more"
    assert len(world.alive) == sum(r.step is Step.RUNNING for r in world.state.containers.values())
    assert all(len(r.dead) <= 1 for r in world.state.containers.values())


def long_life(seed: int, *kinds: str) -> tuple[dict[str, Any], list[tuple[str, int, int]]]:
    """A pod, and more that happens to it than is found by trying small things first."""
    chance = random.Random(seed)
    manifest = pod(
        chance.choice(["Always", "OnFailure", "Never"]),
        *(chance.randint(0, 2), chance.randint(0, 2), chance.randint(1, 2)),
        *(chance.random() < 0.5 for _ in range(2)),
        chance.choice(RULES),
        activeDeadlineSeconds=chance.randint(1, 60) if chance.random() < 0.2 else None,
    )
    pool = [*COMMON, *["outcome"] * 10, *kinds]
    codes = (0, 0, 1, 2, 3)
    most = chance.randint(10, 150)
    return manifest, [(chance.choice(pool), chance.randint(0, 5), chance.choice(codes)) for _ in range(most)]


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_long_lives(first: int) -> None:
    """The same of many pods to which much happens, none of it twice in the same way."""
    for seed in range(first, first + 50):
        ended = long_life(seed, *CHANGES, *ENDS)
        goes_on = long_life(seed, *CHANGES, *(["reject"] if seed % 5 == 0 else []))
        try:
            test_a_deletion_leaves_nothing_whatever_happened_before.hypothesis.inner_test(*ended)  # type: ignore[attr-defined]
            test_what_may_run_runs_again_when_all_goes_well.hypothesis.inner_test(*goes_on)  # type: ignore[attr-defined]
        except AssertionError as error:
            error.add_note(f"seed {seed}: {ended}, {goes_on}")
            raise


@settings(max_examples=100, deadline=None)
@given(manifest=plans | limited, actions=actions(*CHANGES, *ENDS, most=40))
def test_the_same_events_lead_to_the_same_state(
    manifest: dict[str, Any], actions: list[tuple[str, int, int]]
) -> None:
    first, second = World(copy.deepcopy(manifest)), World(manifest)
    play(first, actions)
    play(second, actions)
    assert first.state == second.state
    assert first.pending == second.pending
