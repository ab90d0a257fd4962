"""What a list of the engine's containers may say against what a worker believes, and what it is too old to say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kubeletd.podstate import PodState, plan_of
from kubeletd.podstate.model import ContainerRecord, Sandbox, SandboxStep, Setup, Step
from kubeletd.podworker import PodWorker
from kubeletd.runtime.interface import ContainerNotFound

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
    "spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}]},
}


class Gone:
    async def inspect(self, container_id: str) -> Any:
        raise ContainerNotFound(container_id)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[PodWorker]:
    """A pod that runs. What would be asked of the engine is not carried out."""
    state = PodState(
        plan=plan_of(POD),
        containers={"c": ContainerRecord(step=Step.RUNNING, id="app", probing="all", hook="done")},
        sandbox=Sandbox(step=SandboxStep.READY, id="box"),
        setup=Setup.DONE,
        initialized=True,
    )
    parts = SimpleNamespace(clock=lambda: 1000.0, changed=lambda uid: None, runtime=Gone(), root=None)
    monkeypatch.setattr(PodWorker, "_begin", lambda self, instruction: None)
    monkeypatch.setattr(PodWorker, "_set_timer", lambda self: None)
    yield PodWorker(POD, parts, lambda uid: None, state)  # type: ignore[arg-type]


async def test_what_the_engine_does_not_have_has_ended(worker: PodWorker) -> None:
    await worker.reconcile({"box": "running"}, worker.standing())
    assert worker.state.sandbox.step is SandboxStep.READY
    previous = worker.state.record("c").previous
    assert worker.state.record("c").step is not Step.RUNNING
    assert previous is not None and previous.reason == "ContainerStatusUnknown"


async def test_an_adopted_sandbox_that_ended_is_noticed_too(worker: PodWorker) -> None:
    assert not worker.state.sandbox.ready_at, "when it became ready is not known"
    await worker.reconcile({"app": "running", "box": "exited"}, worker.standing())
    assert worker.state.sandbox.step is not SandboxStep.READY


async def test_what_runs_goes_on(worker: PodWorker) -> None:
    before = worker.state
    await worker.reconcile({"app": "running", "box": "running"}, worker.standing())
    assert worker.state == before


async def test_what_came_after_the_list_was_asked_for_is_not_missing(worker: PodWorker) -> None:
    before = worker.state
    await worker.reconcile({}, {})
    assert worker.state == before


async def test_what_started_since_is_not_taken_for_ended(worker: PodWorker) -> None:
    running = worker.state
    worker.state = replace(
        running,
        sandbox=replace(running.sandbox, step=SandboxStep.STARTING),
        containers={"c": replace(running.record("c"), step=Step.STARTING)},
    )
    standing = worker.standing()
    worker.state = running
    await worker.reconcile({"app": "created", "box": "created"}, standing)
    assert worker.state == running
