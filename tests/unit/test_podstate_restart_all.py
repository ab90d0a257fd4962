"""RestartAllContainers: a container's exit makes its whole pod begin anew, in place (KEP-5532)."""

from __future__ import annotations

from typing import Any

from test_podstate_timing import Driver, manifest

from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate import plan_of
from kubeletd.podstate.model import SandboxStep, Step
from kubeletd.status import NodeFacts, pod_status

RULE = {
    "restartPolicy": "Never",
    "restartPolicyRules": [
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [7]}},
        {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [7, 88]}},
    ],
}
POD = manifest(
    {"name": "main", **RULE},
    {"name": "other", "lifecycle": {"preStop": {"exec": {"command": ["x"]}}}},
    {"name": "ended"},
    restartPolicy="Never",
    initContainers=[{"name": "init", "image": "x"}],
)


def running() -> Driver:
    driver = Driver(POD)
    driver.exit("init", 0)
    driver.exit("ended", 0)
    return driver


def condition(driver: Driver) -> str:
    status = pod_status(driver.pod, driver.state, NodeFacts(), driver.now)
    driver.pod = {**driver.pod, "status": status}
    found = {c["type"]: c["status"] for c in status["conditions"]}
    return found.get("AllContainersRestarting", "")


def test_every_container_runs_again_the_ended_and_the_initial_ones_too() -> None:
    driver = running()
    driver.hold = (do.StopContainer,)
    assert condition(driver) == ""
    box = driver.state.sandbox
    driver.exit("main", 88)
    stops = driver.of(do.StopContainer)
    assert [(stop.name, stop.deadline) for stop in stops] == [("other", driver.now)], "at once, without grace"
    assert condition(driver) == "True" and not driver.state.finished
    driver.hold = ()
    driver.exit("other", 137)
    assert condition(driver) == "False"
    assert driver.state.sandbox == box and box.step is SandboxStep.READY
    assert (
        driver.state.record("init").step is Step.RUNNING and driver.state.record("main").step is Step.WAITING
    )
    driver.exit("init", 0)
    for name in ("main", "other", "ended"):
        record = driver.state.record(name)
        assert record.step is Step.RUNNING and record.restart_count == 1
    assert driver.state.record("init").restart_count == 1


def test_the_first_rule_that_matches_decides() -> None:
    driver = running()
    driver.exit("main", 7)
    assert condition(driver) == "" and driver.state.record("main").restart_count == 1
    assert driver.state.record("other").restart_count == 0


def test_what_keeps_ending_so_waits_longer_each_time() -> None:
    driver = running()
    waited: list[float] = []
    for _ in range(3):
        driver.exit("main", 88)
        if driver.state.record("main").step is Step.EXITED:
            waited.append(driver.wait())
        driver.exit("init", 0)
    assert waited == [10, 20]


def test_a_deletion_comes_first() -> None:
    driver = running()
    driver.hold = (do.StopContainer,)
    driver.exit("main", 88)
    meta: dict[str, Any] = {"deletionTimestamp": "x", "deletionGracePeriodSeconds": 30}
    driver.pod = {**driver.pod, "metadata": {**driver.pod["metadata"], **meta}}
    driver.send(ev.PodChanged(plan_of(driver.pod)))
    driver.hold = ()
    driver.exit("other", 137)
    assert driver.state.over
