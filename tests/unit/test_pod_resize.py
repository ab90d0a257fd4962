"""In-place resize: what a node allocates, how containers get it, and what the status says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kubeletd import status as statuses
from kubeletd.podstate import PodState, plan_of, step
from kubeletd.podstate import events as ev
from kubeletd.podstate import instructions as do
from kubeletd.podstate.model import ContainerRecord, Sandbox, SandboxStep, Setup, Step
from kubeletd.podstate.resize import RETRY
from kubeletd.podstate.sizes import sizes_of
from kubeletd.resizing import Allocations, resize
from kubeletd.runtime import dockerspec
from kubeletd.runtime.interface import Resources, RuntimeFailure, Usage
from kubeletd.status import NodeFacts

NOW = 1_700_000_000.0
NODE = NodeFacts(("10.0.0.1",), "docker")


def pod(cpu: str, memory: str = "64Mi", uid: str = "u", generation: int = 1, **container: Any) -> Any:
    amounts = {"cpu": cpu, "memory": memory}
    resources = {"requests": amounts, "limits": amounts}
    return {
        "metadata": {"uid": uid, "name": uid, "namespace": "n", "generation": generation},
        "spec": {"containers": [{"name": "a", "image": "x", "resources": resources, **container}]},
    }


def running(manifest: Any, **changes: Any) -> PodState:
    record = ContainerRecord(
        step=Step.RUNNING, id="r1", started_at=NOW, started=True, ready=True, hook="done", probing="all",
        sizes=sizes_of(manifest["spec"]["containers"][0]["resources"]),
    )  # fmt: skip
    return PodState(
        plan=plan_of(manifest),
        containers={"a": replace(record, **changes)},
        sandbox=Sandbox(SandboxStep.READY, "box", "10.0.0.7"),
        setup=Setup.DONE,
        started_at=NOW,
        initialized=True,
    )


def sizes(manifest: Any) -> Any:
    return sizes_of(manifest["spec"]["containers"][0]["resources"])


def told(out: list[Any]) -> list[str]:
    return [i.reason for i in out if isinstance(i, do.Record)]


def test_a_running_container_is_resized_in_place() -> None:
    wanted = pod("200m", generation=2)
    state, out = step(running(pod("100m")), ev.PodChanged(plan_of(wanted)), NOW)
    assert out == [do.Resize("a", "r1")]
    assert statuses.pod_status(wanted, state, NODE, NOW)["conditions"][-1]["type"] == "PodResizeInProgress"
    state, out = step(state, ev.Tick(), NOW)
    assert out == []
    state, out = step(state, ev.Resized("a", "r1", sizes(wanted), True), NOW)
    assert told(out) == ["ResizeCompleted"] and '"generation":2' in out[0].message  # type: ignore[union-attr]
    shown = statuses.pod_status(wanted, state, NODE, NOW)
    assert shown["containerStatuses"][0]["resources"]["requests"]["cpu"] == "200m"
    assert shown["containerStatuses"][0]["restartCount"] == 0 and shown["observedGeneration"] == 2
    assert all(not c["type"].startswith("PodResize") for c in shown["conditions"])


def test_until_it_has_them_the_status_shows_what_a_container_has() -> None:
    wanted = pod("200m", generation=2)
    state, _ = step(running(pod("100m")), ev.PodChanged(plan_of(wanted)), NOW)
    entry = statuses.pod_status(wanted, state, NODE, NOW)["containerStatuses"][0]
    assert entry["resources"]["limits"]["cpu"] == "100m"
    assert entry["allocatedResources"] == {"cpu": "200m", "memory": "64Mi"}


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_a_resource_whose_policy_says_so_takes_a_restart_whatever_the_exit_code(policy: str) -> None:
    policies = [
        {"resourceName": "memory", "restartPolicy": "RestartContainer"},
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
    ]
    before, after = (pod("100m", memory, resizePolicy=policies) for memory in ("64Mi", "96Mi"))
    for manifest in (before, after):
        manifest["spec"]["restartPolicy"] = policy
    state, out = step(running(before, backoff=40.0), ev.PodChanged(plan_of(after)), NOW)
    assert out[0].message == "Container a resize requires restart"  # type: ignore[union-attr]
    assert isinstance(out[1], do.StopContainer)
    state, out = step(state, ev.Exited("a", "r1", 0, NOW), NOW)
    assert do.Prepare("a", 1, "box") in out and not state.finished
    assert "PodResizeInProgress" in {
        c["type"] for c in statuses.pod_status(after, state, NODE, NOW)["conditions"]
    }
    state, out = step(
        state, ev.Prepared("a", 1, "r2", "i", plan_of(after).containers[0].spec_hash, sizes(after)), NOW
    )
    assert out == [do.Start("a", "r2")]
    state, out = step(state, ev.Started("a", "r2", NOW), NOW)
    assert "ResizeCompleted" in told(out)
    shown = statuses.pod_status(after, state, NODE, NOW)
    assert shown["containerStatuses"][0]["restartCount"] == 1
    assert shown["containerStatuses"][0]["resources"]["limits"]["memory"] == "96Mi"


def test_cpu_alone_does_not_restart_what_only_memory_restarts() -> None:
    policies = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    before, after = (pod(cpu, resizePolicy=policies) for cpu in ("100m", "200m"))
    _, out = step(running(before), ev.PodChanged(plan_of(after)), NOW)
    assert out == [do.Resize("a", "r1")]


def test_a_resize_that_fails_says_so_and_is_tried_again() -> None:
    wanted = pod("100m", "10Ki")
    state, _ = step(running(pod("100m")), ev.PodChanged(plan_of(wanted)), NOW)
    failed = ev.Resized("a", "r1", sizes(wanted), False, "too small")
    state, out = step(state, failed, NOW)
    assert told(out) == ["ResizeError"] and state.wake_at == NOW + RETRY
    found = statuses.pod_status(wanted, state, NODE, NOW)
    condition = found["conditions"][-1]
    assert (condition["reason"], condition["message"]) == ("Error", "too small")
    assert found["containerStatuses"][0]["resources"]["limits"]["memory"] == "64Mi"
    state, out = step(state, ev.Tick(), NOW + RETRY)
    assert out == [do.Resize("a", "r1")]
    state, out = step(state, failed, NOW + RETRY)
    assert out == []  # nobody is told the same twice
    # What is asked for next is tried at once.
    state, out = step(state, ev.PodChanged(plan_of(pod("100m", "80Mi"))), NOW + RETRY)
    assert out == [do.Resize("a", "r1")]


def test_conditions_of_a_resize_are_taken_away_when_it_is_over() -> None:
    manifest = pod("100m")
    old = {"conditions": [{"type": "PodResizePending", "status": "True"}]}
    patch = statuses.change(old, statuses.pod_status(manifest, running(manifest), NODE, NOW))
    assert {"$patch": "delete", "type": "PodResizePending"} in patch["conditions"]
    assert statuses.urgent(old, {"conditions": patch["conditions"][-1:]})


def test_each_generation_is_a_change_worth_reporting() -> None:
    state = running(pod("100m"))
    after, _ = step(state, ev.PodChanged(plan_of(pod("100m", generation=2))), NOW)
    assert after != state


class Node:
    """A node of two cores with pods on it."""

    def __init__(self) -> None:
        self.pods: dict[str, Any] = {}
        self.events: list[str] = []
        self.allocations = self.restarted()

    def restarted(self) -> Allocations:
        node = {"status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}}}
        return Allocations(
            lambda: node,
            lambda uid: [p for u, p in self.pods.items() if u != uid],
            lambda pod, container, kind, reason, message: self.events.append(reason),
        )

    def settle(self, manifest: Any) -> tuple[str, tuple[str, str] | None]:
        held, pending = self.allocations.settle(manifest)
        self.pods[manifest["metadata"]["uid"]] = held
        return held["spec"]["containers"][0]["resources"]["requests"]["cpu"], pending


def test_what_fits_is_allocated_and_what_does_not_waits_for_room() -> None:
    node = Node()
    assert node.settle(pod("1", uid="a")) == ("1", None)
    assert node.settle(pod("500m", uid="b")) == ("500m", None)
    assert node.settle(pod("1500m", uid="a")) == ("1500m", None)
    assert node.events == ["ResizeStarted"]
    text = "Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000"
    assert node.settle(pod("1", uid="b")) == ("500m", ("Deferred", text))
    assert node.allocations.deferred() == ["b"]
    node.settle(pod("1", uid="b"))
    assert node.events == ["ResizeStarted", "ResizeDeferred"]
    node.settle(pod("1", uid="a"))
    assert node.settle(pod("1", uid="b")) == ("1", None)
    assert node.allocations.deferred() == []


def test_what_the_node_can_never_give_is_infeasible() -> None:
    node = Node()
    node.settle(pod("1"))
    text = "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"
    assert node.settle(pod("3")) == ("1", ("Infeasible", text))
    text = "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"
    assert node.settle(pod("1", "2Gi")) == ("1", ("Infeasible", text))
    assert node.allocations.deferred() == []
    assert node.settle(pod("1")) == ("1", None)


def test_a_restarted_agent_knows_from_the_status_what_was_allocated() -> None:
    node = Node()
    status = {"name": "a", "allocatedResources": {"cpu": "1", "memory": "64Mi"}}
    status["resources"] = {
        "limits": {"cpu": "1", "memory": "64Mi"},
        "requests": {"cpu": "1", "memory": "64Mi"},
    }
    asked = pod("3")
    asked["status"] = {"containerStatuses": [status]}
    cpu, pending = node.settle(asked)
    assert cpu == "1" and pending is not None and pending[0] == "Infeasible"


def test_a_static_pod_is_not_resized() -> None:
    node = Node()
    node.settle(pod("1"))
    asked = pod("1500m")
    asked["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert node.settle(asked)[1] == ("Infeasible", "In-place resize of static-pods is not supported")


class Engine:
    """One container that uses ten mebibytes."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.given: list[Resources] = []

    async def usage(self, container_id: str) -> Usage:
        return Usage(0, 10 << 20)

    async def update(self, container_id: str, resources: Resources) -> None:
        if self.refusal:
            raise RuntimeFailure(self.refusal)
        self.given.append(resources)


@pytest.mark.parametrize(
    ("memory", "refusal", "said"),
    [
        ("64Mi", "", ""),
        ("10Mi", "", 'container "a" memory limit (10485760) below current usage (10485760)'),
        ("64Mi", "device or resource busy", "device or resource busy"),
    ],
)
async def test_limits_are_changed_unless_the_memory_is_in_use(memory: str, refusal: str, said: str) -> None:
    engine = Engine(refusal)
    parts: Any = SimpleNamespace(runtime=engine, memory_capacity=1 << 33)
    outcome = await resize(parts, pod("250m", memory), do.Resize("a", "r1"))
    assert outcome.ok is not bool(said) and said in outcome.message
    assert outcome.sizes == sizes(pod("250m", memory))
    assert [(r.cpu_limit_milli, r.memory_limit) for r in engine.given] == ([] if said else [(250, 64 << 20)])


def test_the_engine_is_told_of_cpu_and_memory_alone() -> None:
    given = Resources(cpu_request_milli=25, cpu_limit_milli=35, memory_limit=1 << 26, oom_score_adj=9)
    assert dockerspec.update(given) == {
        "CpuShares": 25, "CpuPeriod": 100_000, "CpuQuota": 3500, "Memory": 1 << 26, "MemorySwap": 1 << 26
    }  # fmt: skip
    assert dockerspec.update(Resources(cpu_limit_milli=5)) == {
        "CpuShares": 5, "CpuPeriod": 100_000, "CpuQuota": 1000
    }  # fmt: skip
