"""Restart policies, back-off, deadlines: what the pod machine does when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubeletd.podstate import PodState, plan_of, step
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.adoption import adopt
from kubeletd.podstate.model import SandboxStep, Step
from kubeletd.podstate.restart import duration
from kubeletd.runtime.interface import ContainerState, Identity


def manifest(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = [{"name": "main", "image": "x", **container} for container in containers or ({},)]
    meta = {"uid": "u1", "namespace": "ns", "name": "p"}
    return {"metadata": meta, "spec": {"containers": made, **spec}}


class Driver:
    """Plays a worker whose instructions all succeed at once, but for those a test asks for."""

    def __init__(
        self, pod: dict[str, Any], state: PodState | None = None, hold: tuple[type, ...] = ()
    ) -> None:
        self.pod = pod
        self.now = 1000.0
        self.state = state or PodState(plan=plan_of(pod))
        self.done: list[do.Instruction] = []
        self.hold = hold
        self.serial = 0
        self.send(ev.PodChanged(plan_of(pod)))

    def send(self, event: ev.Event) -> None:
        self.state, out = step(self.state, event, self.now)
        for instruction in out:
            self.done.append(instruction)
            outcome = None if isinstance(instruction, self.hold) else self.outcome(instruction)
            if outcome is not None:
                self.send(outcome)

    def outcome(self, instruction: do.Instruction) -> ev.Event | None:
        match instruction:
            case do.SetUp():
                return ev.SetUpDone()
            case do.TearDown():
                return ev.TornDown(True)
            case do.CreateSandbox():
                self.serial += 1
                return ev.SandboxCreated(f"box{self.serial}", "10.0.0.2")
            case do.StartSandbox():
                return ev.SandboxStarted(instruction.id)
            case do.RemoveSandbox():
                return ev.SandboxRemoved(instruction.id, True)
            case do.Prepare():
                self.serial += 1
                name = instruction.name
                spec_hash = next(c.spec_hash for c in self.state.plan.containers if c.name == name)
                return ev.Prepared(name, instruction.attempt, f"c{self.serial}", "image", spec_hash)
            case do.Start():
                return ev.Started(instruction.name, instruction.id, self.now)
            case do.StopContainer():
                return ev.Exited(instruction.name, instruction.id, 143, self.now)
            case do.Remove():
                return ev.Removed(instruction.id, instruction.name, True)
            case do.DeleteObject():
                return ev.ObjectDeleted(True)
            case _:
                return None

    def exit(self, name: str = "main", code: int = 1) -> None:
        self.send(ev.Exited(name, self.state.record(name).id, code, self.now))

    def wait(self) -> float:
        """Goes on to when time alone makes something due; gives how long that took."""
        waited = self.state.wake_at - self.now
        self.now = self.state.wake_at
        self.send(ev.Tick())
        return waited

    def of(self, kind: type) -> list[Any]:
        return [instruction for instruction in self.done if isinstance(instruction, kind)]

    def messages(self) -> list[str]:
        return [record.message for record in self.of(do.Record)]


def test_restarts_wait_ten_seconds_doubling_to_five_minutes() -> None:
    driver = Driver(manifest())
    driver.exit()
    assert driver.state.record("main").step is Step.RUNNING, "the first restart is at once"
    waits = []
    for _ in range(7):
        driver.exit()
        record = driver.state.record("main")
        assert record.reason == "CrashLoopBackOff"
        wanted = f"back-off {duration(record.backoff)} restarting failed container=main pod=p_ns(u1)"
        assert record.message == wanted
        waits.append(driver.wait())
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    assert driver.state.record("main").restart_count == 8


def test_backoff_is_forgotten_after_ten_good_minutes() -> None:
    driver = Driver(manifest())
    for _ in range(3):
        driver.exit()
        if driver.state.wake_at:
            driver.wait()
    driver.now += 601
    driver.exit()
    assert driver.state.record("main").step is Step.RUNNING
    driver.exit()
    assert driver.wait() == 10


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3725, "1h2m5s")])
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Always", 0, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart_policies(policy: str, code: int, again: bool) -> None:
    driver = Driver(manifest(restartPolicy=policy))
    driver.exit(code=code)
    assert (driver.state.record("main").step is Step.RUNNING) is again
    assert driver.state.finished is not again


def test_a_containers_own_rules_come_before_the_pods_policy() -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    container = {"restartPolicy": "Never", "restartPolicyRules": [rule]}
    driver = Driver(manifest(container, restartPolicy="Always"))
    driver.exit(code=42)
    assert driver.state.record("main").step is Step.RUNNING
    driver.exit(code=1)
    assert driver.state.finished


def test_an_image_that_cannot_be_had_is_asked_for_again_as_told() -> None:
    driver = Driver(manifest(), hold=(do.Prepare,))
    driver.send(ev.PrepareFailed("main", 0, "ErrImagePull", "no", "ImagePullBackOff", "back", 10.0))
    assert driver.state.record("main").reason == "ErrImagePull"
    assert driver.wait() == 3
    record = driver.state.record("main")
    assert (record.reason, record.message) == ("ImagePullBackOff", "back")
    assert driver.wait() == 7
    assert len(driver.of(do.Prepare)) == 2


def test_containers_are_created_while_the_sandbox_starts_and_started_after_it() -> None:
    driver = Driver(manifest(), hold=(do.StartSandbox,))
    assert driver.state.record("main").step is Step.CREATED
    assert not driver.of(do.Start)
    driver.send(ev.SandboxStarted(driver.state.sandbox.id))
    assert driver.state.record("main").step is Step.RUNNING


def test_a_poststart_hook_holds_back_what_comes_after() -> None:
    hook = {"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}
    driver = Driver(manifest({**hook}, {"name": "second"}))
    assert driver.state.record("second").step is Step.CREATED
    assert not driver.state.record("main").started
    driver.send(ev.HookDone("main", driver.state.record("main").id, True))
    assert driver.state.record("main").started
    assert driver.state.record("second").step is Step.RUNNING


def test_a_failed_hook_restarts_the_container() -> None:
    hook = {"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}}
    driver = Driver(manifest(hook))
    driver.send(ev.HookDone("main", driver.state.record("main").id, False, "bad"))
    assert driver.of(do.StopContainer) and driver.state.record("main").attempt == 1


def test_liveness_restarts_within_its_own_grace_period() -> None:
    probe = {"livenessProbe": {"exec": {}, "terminationGracePeriodSeconds": 5}}
    driver = Driver(manifest(probe, terminationGracePeriodSeconds=60))
    driver.send(ev.Probed("main", driver.state.record("main").id, "liveness", False))
    stop = driver.of(do.StopContainer)[0]
    assert stop.deadline == driver.now + 5
    assert "Container main failed liveness probe, will be restarted" in driver.messages()
    assert driver.state.record("main").attempt == 1


def test_a_changed_image_restarts_without_backoff() -> None:
    driver = Driver(manifest())
    for _ in range(3):
        driver.exit()
        if driver.state.wake_at:
            driver.wait()
    driver.send(ev.PodChanged(plan_of(manifest({"image": "y"}))))
    assert "Container main definition changed, will be restarted" in driver.messages()
    assert driver.state.record("main").step is Step.RUNNING


def test_the_deadline_of_the_whole_pod() -> None:
    driver = Driver(manifest(activeDeadlineSeconds=30))
    assert driver.wait() == 30
    assert driver.state.failed is not None and driver.state.failed[0] == "DeadlineExceeded"
    assert driver.state.sandbox.step is SandboxStep.NONE
    assert not driver.of(do.DeleteObject)


def test_sidecars_end_last_and_in_reverse() -> None:
    inits = [{"name": name, "image": "x", "restartPolicy": "Always"} for name in ("a", "b")]
    pod = manifest(initContainers=inits)
    driver = Driver(pod)
    deleted = {
        **pod,
        "metadata": {**pod["metadata"], "deletionTimestamp": "x", "deletionGracePeriodSeconds": 9},
    }
    driver.send(ev.PodChanged(plan_of(deleted)))
    assert [stop.name for stop in driver.of(do.StopContainer)] == ["main", "b", "a"]
    assert {stop.deadline for stop in driver.of(do.StopContainer)} == {driver.now + 9}
    assert driver.state.over


def test_an_object_that_is_gone_is_not_deleted_again() -> None:
    driver = Driver(manifest())
    driver.send(ev.PodChanged(plan_of(driver.pod, gone=True)))
    assert driver.state.over and not driver.of(do.DeleteObject)


def identity(name: str, attempt: int, kind: str = "container") -> Identity:
    spec_hash = plan_of(manifest()).containers[0].spec_hash
    return Identity("ns", "p", "u1", name, kind, attempt, spec_hash)  # type: ignore[arg-type]


def test_adoption_touches_nothing_that_runs() -> None:
    box = ContainerState("box", identity("", 0, "sandbox"), "running", ip="10.0.0.9")
    old = ContainerState("old", identity("main", 0), "exited", exit_code=1, finished_at=5.0)
    new = ContainerState("new", identity("main", 1), "running", started_at=7.0)
    pod = manifest()
    state = adopt(plan_of(pod), [box, old, new], {"startTime": "2026-01-01T00:00:00Z"}, 1000.0)
    driver = Driver(pod, state)
    assert {type(i) for i in driver.done} == {do.SetUp, do.StartProbes}
    record = driver.state.record("main")
    assert (record.id, record.attempt, record.dead) == ("new", 1, ("old",))
    assert record.previous is not None and record.previous.exit_code == 1


def test_adoption_does_not_run_the_finished_again_though_its_container_is_gone() -> None:
    pod = manifest(restartPolicy="OnFailure")
    status = {
        "phase": "Running",
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [
            {
                "name": "main",
                "restartCount": 2,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
            }
        ],
    }
    driver = Driver(pod, adopt(plan_of(pod), [], status, 1000.0))
    assert driver.state.finished and not driver.of(do.Prepare)
    assert driver.state.record("main").restart_count == 2


def test_adoption_counts_a_container_lost_with_its_engine_as_a_restart() -> None:
    pod = manifest()
    status = {
        "phase": "Running",
        "containerStatuses": [
            {"name": "main", "restartCount": 1, "containerID": "docker://abc", "state": {"running": {}}}
        ],
    }
    driver = Driver(pod, adopt(plan_of(pod), [], status, 1000.0))
    record = driver.state.record("main")
    assert record.step is Step.RUNNING and record.restart_count == 2
    assert record.previous is not None and record.previous.reason == "ContainerStatusUnknown"


def test_a_dead_sandbox_found_at_the_start_is_replaced() -> None:
    box = ContainerState("box", identity("", 0, "sandbox"), "exited", ip="10.0.0.9")
    app = ContainerState("app", identity("main", 0), "exited", exit_code=137, finished_at=999.0)
    pod = manifest()
    driver = Driver(pod, adopt(plan_of(pod), [box, app], {"startTime": "2026-01-01T00:00:00Z"}, 1000.0))
    assert driver.state.sandbox.attempt == 1 and driver.state.sandbox.step is SandboxStep.READY
    assert driver.state.record("main").attempt == 1


def test_the_state_given_is_never_changed() -> None:
    driver = Driver(manifest())
    before = driver.state
    copy = replace(before)
    step(before, ev.Exited("main", before.record("main").id, 1, driver.now), driver.now)
    assert before == copy
