"""What comes late, twice or for something that is no more; and what an agent that has just begun makes of a pod."""

from __future__ import annotations

from typing import Any

import pytest
from test_podstate_timing import Driver, manifest

from kubeletd.podstate import PodState, plan_of, step
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.adoption import adopt
from kubeletd.podstate.model import SandboxStep, Step
from kubeletd.runtime.interface import ContainerState, Identity

INIT = {"initContainers": [{"name": "init", "image": "x"}]}


def identity(name: str, attempt: int = 0, kind: str = "container") -> Identity:
    return Identity("ns", "p", "u1", name, kind, attempt, plan_of(manifest()).containers[0].spec_hash)  # type: ignore[arg-type]


def sandbox(status: str = "running", created_at: float = 100.0, attempt: int = 1) -> ContainerState:
    return ContainerState("box", identity("", attempt, "sandbox"), status, created_at=created_at)  # type: ignore[arg-type]


def adopted(pod: dict[str, Any], *found: ContainerState, **status: Any) -> PodState:
    return adopt(plan_of(pod), found, {"startTime": "2026-01-01T00:00:00Z", **status}, 1000.0)


def deleted(pod: dict[str, Any], grace: int) -> dict[str, Any]:
    given = {"deletionTimestamp": "x", "deletionGracePeriodSeconds": grace}
    return {**pod, "metadata": {**pod["metadata"], **given}}


# What comes late, or twice.


def test_a_container_made_for_an_attempt_nobody_waits_for_is_removed() -> None:
    driver = Driver(manifest())
    driver.send(ev.Prepared("main", 7, "late", "i", "h"))
    assert do.Remove("late", "") in driver.done
    assert driver.state.record("main").id != "late"


def test_a_deletion_is_not_taken_back_by_older_news_of_the_pod() -> None:
    driver = Driver(manifest(), hold=(do.StopContainer,))
    driver.send(ev.PodChanged(plan_of(deleted(driver.pod, 20))))
    first = driver.state.deadline
    driver.send(ev.PodChanged(plan_of(driver.pod)))
    driver.send(ev.PodChanged(plan_of(deleted(driver.pod, 60))))
    assert driver.state.stopping and driver.state.deadline == first == driver.now + 20


def test_a_second_deletion_shortens_the_grace_of_the_first() -> None:
    driver = Driver(manifest(), hold=(do.StopContainer,))
    driver.send(ev.PodChanged(plan_of(deleted(driver.pod, 60))))
    driver.now += 5
    driver.send(ev.PodChanged(plan_of(deleted(driver.pod, 0))))
    assert [stop.deadline - driver.now for stop in driver.of(do.StopContainer)] == [55, 0]


def test_a_pod_that_has_succeeded_is_not_evicted() -> None:
    driver = Driver(manifest(restartPolicy="Never"))
    driver.exit(code=0)
    driver.send(ev.Rejected("Evicted", "short of memory"))
    assert driver.state.finished and driver.state.failed is None


def test_a_deletion_cancels_what_is_being_prepared() -> None:
    driver = Driver(manifest(), hold=(do.Prepare,))
    driver.send(ev.PodChanged(plan_of(deleted(driver.pod, 30))))
    assert do.Cancel("main", 0) in driver.done
    driver.send(ev.Cancelled("main", 0))
    assert driver.state.over


def test_an_image_changed_before_the_start_is_the_one_that_runs() -> None:
    driver = Driver(manifest(), hold=(do.StartSandbox,))
    made = driver.state.record("main").id
    assert driver.state.record("main").step is Step.CREATED
    driver.pod = manifest({"image": "y"})
    driver.send(ev.PodChanged(plan_of(driver.pod)))
    assert do.Remove(made, "") in driver.done
    driver.send(ev.SandboxStarted(driver.state.sandbox.id))
    record = driver.state.record("main")
    assert record.step is Step.RUNNING and record.id != made and record.attempt == 0
    assert record.spec_hash == plan_of(driver.pod).containers[0].spec_hash


def test_an_image_changed_during_the_start_restarts() -> None:
    driver = Driver(manifest(), hold=(do.Start,))
    made = driver.state.record("main").id
    driver.send(ev.PodChanged(plan_of(manifest({"image": "y"}))))
    driver.hold = ()
    driver.send(ev.Started("main", made, driver.now))
    record = driver.state.record("main")
    assert record.id != made and record.attempt == 1 and driver.state.stopping is False
    assert "Container main definition changed, will be restarted" in driver.messages()


def test_readiness_follows_the_probe_of_the_present_run() -> None:
    driver = Driver(manifest({"readinessProbe": {"exec": {"command": ["x"]}}}))
    assert not driver.state.record("main").ready
    run = driver.state.record("main").id
    driver.send(ev.Probed("main", run, "readiness", True))
    assert driver.state.record("main").ready
    driver.send(ev.Probed("main", "earlier", "readiness", False))
    assert driver.state.record("main").ready
    driver.send(ev.Probed("main", run, "readiness", False))
    assert not driver.state.record("main").ready


# What an agent that has just begun finds.


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_is_over_stays_so_whatever_is_left_of_it(phase: str) -> None:
    pod = manifest(restartPolicy="OnFailure")
    driver = Driver(pod, adopted(pod, phase=phase))
    assert driver.state.finished and not driver.of(do.CreateSandbox) and not driver.of(do.Prepare)


def test_back_off_goes_on_where_the_agent_before_left_it() -> None:
    app = ContainerState(
        "app",
        identity("main", 3),
        "exited",
        created_at=900.0,
        started_at=900.0,
        finished_at=999.0,
        exit_code=1,
    )
    pod = manifest()
    driver = Driver(pod, adopted(pod, sandbox(), app))
    record = driver.state.record("main")
    assert record.reason == "CrashLoopBackOff" and record.retry_at == 999.0 + 40
    assert record.message.startswith("back-off 40s restarting failed container=main")
    driver.now = record.retry_at
    driver.send(ev.Tick())
    driver.exit()
    assert driver.state.record("main").message.startswith("back-off 1m20s")


def test_back_off_is_forgotten_over_an_agents_restart_too_after_a_long_good_run() -> None:
    app = ContainerState(
        "app",
        identity("main", 3),
        "exited",
        created_at=100.0,
        started_at=100.0,
        finished_at=999.0,
        exit_code=1,
    )
    pod = manifest()
    driver = Driver(pod, adopted(pod, sandbox(created_at=1.0), app))
    assert driver.state.record("main").attempt == 4


def test_init_containers_run_again_in_a_sandbox_made_after_them() -> None:
    ran = ContainerState("ran", identity("init", 0, "init"), "exited", created_at=50.0, finished_at=60.0)
    pod = manifest(**INIT)
    driver = Driver(pod, adopted(pod, sandbox(created_at=100.0), ran))
    assert [(p.name, p.attempt) for p in driver.of(do.Prepare)] == [("init", 1)]
    same = ContainerState("ran", identity("init", 0, "init"), "exited", created_at=150.0, finished_at=160.0)
    driver = Driver(pod, adopted(pod, sandbox(created_at=100.0), same))
    assert [(p.name, p.attempt) for p in driver.of(do.Prepare)] == [("main", 0)]


def test_init_containers_run_again_though_a_main_container_of_before_is_there() -> None:
    ran = ContainerState("ran", identity("init", 0, "init"), "exited", created_at=50.0, finished_at=60.0)
    main = ContainerState("app", identity("main"), "exited", created_at=61.0, finished_at=90.0, exit_code=137)
    pod = manifest(**INIT)
    driver = Driver(pod, adopted(pod, sandbox(created_at=100.0), ran, main))
    assert [(p.name, p.attempt) for p in driver.of(do.Prepare)] == [("init", 1)]


@pytest.mark.parametrize("boxes", [(sandbox(created_at=100.0),), ()], ids=["a later sandbox", "none"])
def test_a_container_made_for_another_sandbox_is_not_started(boxes: tuple[ContainerState, ...]) -> None:
    made = ContainerState("made", identity("main"), "created", created_at=50.0)
    pod = manifest()
    driver = Driver(pod, adopted(pod, *boxes, made))
    assert do.Remove("made", "") in driver.done
    assert do.Start("main", "made") not in driver.done
    record = driver.state.record("main")
    assert record.step is Step.RUNNING and record.attempt == 0


def test_what_runs_without_a_sandbox_is_stopped_and_runs_again_in_one() -> None:
    app = ContainerState("app", identity("main"), "running", created_at=50.0, started_at=50.0)
    pod = manifest()
    driver = Driver(pod, adopted(pod, app))
    assert [stop.id for stop in driver.of(do.StopContainer)] == ["app"]
    assert driver.state.sandbox.step is SandboxStep.READY and driver.state.sandbox.attempt == 1
    assert driver.state.record("main").attempt == 1


def test_the_status_that_was_last_told_is_not_older_than_what_is_found() -> None:
    """A container that ended since: the pod is over though its status says it runs."""
    app = ContainerState("app", identity("main"), "exited", created_at=150.0, finished_at=900.0, exit_code=0)
    pod = manifest(restartPolicy="Never")
    state = adopted(pod, sandbox(), app, phase="Running")
    state, out = step(state, ev.PodChanged(plan_of(pod)), 1000.0)
    assert state.finished and not any(isinstance(i, do.Prepare) for i in out)
