"""A pod's status: phases, conditions, container states, and the patch that brings it about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubeletd import status as statuses
from kubeletd.podstate import PodState, plan_of
from kubeletd.podstate.model import ContainerRecord, Ended, Sandbox, SandboxStep, Setup, Step
from kubeletd.status import NodeFacts

NODE = NodeFacts(("10.0.0.1",), "docker")
NOW = 1_700_000_000.0
RUNNING = ContainerRecord(
    step=Step.RUNNING, id="r1", started_at=NOW, started=True, ready=True, image_id="sha256:i"
)


def ended(code: int, **more: Any) -> ContainerRecord:
    end = Ended("e1", code, "Completed" if code == 0 else "Error", NOW, NOW - 5)
    return ContainerRecord(step=Step.EXITED, id="e1", ended=end, **more)


def make(
    records: dict[str, ContainerRecord], spec: dict[str, Any] | None = None, **changes: Any
) -> tuple[Any, PodState]:
    pod = {
        "metadata": {"uid": "u", "name": "p", "namespace": "n", "generation": 3},
        "spec": {"containers": [{"name": "a", "image": "x"}], **(spec or {})},
    }
    state = PodState(
        plan=plan_of(pod),
        containers=records,
        sandbox=Sandbox(SandboxStep.READY, "box", "10.0.0.7"),
        setup=Setup.DONE,
        started_at=NOW,
        initialized=True,
    )
    return pod, replace(state, **changes)


def status(
    records: dict[str, ContainerRecord], spec: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    pod, state = make(records, spec, **changes)
    return statuses.pod_status(pod, state, NODE, NOW)


def conditions(found: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in found["conditions"]}


@pytest.mark.parametrize(
    ("record", "changes", "phase"),
    [
        (ContainerRecord(), {}, "Pending"),
        (ContainerRecord(step=Step.PREPARING), {}, "Pending"),
        (RUNNING, {}, "Running"),
        (ended(1, reason="CrashLoopBackOff"), {}, "Running"),
        (ended(0), {"finished": True}, "Succeeded"),
        (ended(2), {"finished": True}, "Failed"),
        (ended(137), {"failed": ("DeadlineExceeded", "late")}, "Failed"),
        (RUNNING, {"failed": ("DeadlineExceeded", "late")}, "Running"),
    ],
)
def test_phases(record: ContainerRecord, changes: dict[str, Any], phase: str) -> None:
    assert status({"a": record}, **changes)["phase"] == phase


@pytest.mark.parametrize(
    ("record", "phase"),
    [(ContainerRecord(), "Failed"), (ended(0), "Succeeded"), (ended(1), "Failed"), (RUNNING, "Running")],
)
def test_a_deleted_pod_comes_to_an_end_whether_it_ran_or_not(record: ContainerRecord, phase: str) -> None:
    pod, state = make({"a": record})
    pod["metadata"] |= {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 1}
    state = replace(state, plan=plan_of(pod))
    assert statuses.pod_status(pod, state, NODE, NOW)["phase"] == phase


def test_a_ready_pod() -> None:
    found = status({"a": RUNNING})
    assert set(conditions(found).values()) == {"True"} and len(found["conditions"]) == 5
    assert (found["podIP"], found["hostIP"], found["observedGeneration"]) == ("10.0.0.7", "10.0.0.1", 3)
    entry = found["containerStatuses"][0]
    assert entry["state"] == {"running": {"startedAt": "2023-11-14T22:13:20Z"}}
    assert (entry["containerID"], entry["imageID"], entry["lastState"]) == ("docker://r1", "sha256:i", {})


def test_why_containers_wait() -> None:
    waiting = status({"a": ContainerRecord()})["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "ContainerCreating"}
    spec = {"initContainers": [{"name": "i", "image": "x"}]}
    found = status({}, spec, initialized=False)
    assert found["containerStatuses"][0]["state"]["waiting"] == {"reason": "PodInitializing"}
    initialized = next(c for c in found["conditions"] if c["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [i]"


def test_a_crash_loop_shows_the_last_end() -> None:
    entry = status({"a": ended(1, reason="CrashLoopBackOff", message="back-off")})["containerStatuses"][0]
    assert entry["state"]["waiting"] == {"reason": "CrashLoopBackOff", "message": "back-off"}
    assert entry["lastState"]["terminated"]["exitCode"] == 1 and entry["containerID"] == "docker://e1"


def test_a_restart_under_way_still_shows_how_it_ended() -> None:
    record = ContainerRecord(step=Step.PREPARING, attempt=1, previous=ended(0).ended)
    entry = status({"a": record})["containerStatuses"][0]
    assert entry["state"]["terminated"]["reason"] == "Completed" and entry["restartCount"] == 0


def test_readiness_gates() -> None:
    spec = {"readinessGates": [{"conditionType": "x/y"}]}
    found = status({"a": RUNNING}, spec)
    assert conditions(found)["ContainersReady"] == "True" and conditions(found)["Ready"] == "False"
    pod, state = make({"a": RUNNING}, spec)
    pod["status"] = {"conditions": [{"type": "x/y", "status": "True"}]}
    assert conditions(statuses.pod_status(pod, state, NODE, NOW))["Ready"] == "True"


def test_transition_times_change_with_the_status_alone() -> None:
    pod, state = make({"a": RUNNING})
    pod["status"] = statuses.pod_status(pod, state, NODE, NOW)
    later = statuses.pod_status(pod, state, NODE, NOW + 100)
    assert later == pod["status"] and statuses.change(pod["status"], later) == {}
    crashed = replace(state, containers={"a": ended(1, reason="CrashLoopBackOff")})
    new = statuses.pod_status(pod, crashed, NODE, NOW + 100)
    times = {c["type"]: c["lastTransitionTime"] for c in new["conditions"]}
    assert times["Ready"] == "2023-11-14T22:15:00Z" and times["Initialized"] == "2023-11-14T22:13:20Z"


def test_the_patch_has_only_what_changed() -> None:
    pod, state = make({"a": ContainerRecord()})
    old = statuses.pod_status(pod, state, NODE, NOW)
    pod["status"] = old
    new = statuses.pod_status(pod, replace(state, containers={"a": RUNNING}), NODE, NOW)
    patch = statuses.change(old, new)
    assert set(patch) == {"phase", "containerStatuses", "conditions"}
    ready = next(c for c in patch["conditions"] if c["type"] == "Ready")
    assert ready["reason"] is None and ready["message"] is None and ready["status"] == "True"
    assert statuses.urgent(old, patch)


def test_an_address_that_changed_replaces_the_list() -> None:
    pod, state = make({"a": RUNNING})
    old = statuses.pod_status(pod, state, NODE, NOW)
    moved = replace(state, sandbox=replace(state.sandbox, ip="10.0.0.8"))
    patch = statuses.change(old, statuses.pod_status(pod, moved, NODE, NOW))
    assert patch == {"podIP": "10.0.0.8", "podIPs": [{"$patch": "replace"}, {"ip": "10.0.0.8"}]}


def test_why_it_waits_is_not_urgent() -> None:
    pod, state = make({"a": ContainerRecord()})
    old = statuses.pod_status(pod, state, NODE, NOW)
    waiting = replace(state, containers={"a": ContainerRecord(reason="ErrImagePull", message="no")})
    patch = statuses.change(old, statuses.pod_status(pod, waiting, NODE, NOW))
    assert patch and not statuses.urgent(old, patch)


def test_after_the_agents_restart_a_pod_is_as_ready_to_start_containers_as_before() -> None:
    assert conditions(status({"a": RUNNING}, setup=Setup.RUNNING))["PodReadyToStartContainers"] == "True"
    assert conditions(status({}, setup=Setup.RUNNING))["PodReadyToStartContainers"] == "False"


@pytest.mark.parametrize(("policy", "state"), [("OnFailure", "terminated"), ("Always", "running")])
def test_an_init_container_that_runs_once_more_is_what_the_api_takes(policy: str, state: str) -> None:
    """In a new sandbox. What has ended for good must not be told to run, where the pod's policy says that it has."""
    again = replace(RUNNING, attempt=1, previous=Ended("e1", 0, "Completed", NOW, NOW - 5))
    spec = {"restartPolicy": policy, "initContainers": [{"name": "i", "image": "x"}]}
    pod, now = make({"i": again}, spec, initialized=False)
    pod["status"] = status({"i": ended(0)}, spec)
    found = statuses.pod_status(pod, now, NODE, NOW)
    assert list(found["initContainerStatuses"][0]["state"]) == [state]


def test_all_containers_may_be_restarted_though_they_ended_for_good() -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    spec = {
        "restartPolicy": "Never",
        "initContainers": [{"name": "i", "image": "x"}],
        "containers": [{"name": "a", "image": "x", "restartPolicy": "Never", "restartPolicyRules": [rule]}],
    }
    again = replace(RUNNING, attempt=1, previous=Ended("e1", 0, "Completed", NOW, NOW - 5))
    found = status({"i": again, "a": ended(0)}, spec, initialized=False)
    assert list(found["initContainerStatuses"][0]["state"]) == ["running"]
    assert "AllContainersRestarting" not in conditions(found)
    assert conditions(status({"i": ended(0), "a": ended(88)}, spec))["AllContainersRestarting"] == "True"
