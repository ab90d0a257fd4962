"""What deleting comes to, decided from the object alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apiserver.registry import deletion, namespaces, pods
from apiserver.registry.strategy import Strategy

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
POD = Strategy(grace=pods.grace)
PLAIN = Strategy()


def pod(node: str = "n1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "generation": 1, **metadata}, "spec": {"nodeName": node}}


def test_a_running_pod_is_marked_for_its_grace_period() -> None:
    outcome = deletion.plan(pod(), POD, None, "", NOW)
    assert not outcome.remove and outcome.update is not None
    assert outcome.update["metadata"]["deletionTimestamp"] == "2024-01-02T03:04:35Z"
    assert outcome.update["metadata"]["deletionGracePeriodSeconds"] == 30
    assert outcome.update["metadata"]["generation"] == 2


def test_pods_nobody_runs_go_at_once() -> None:
    assert deletion.plan(pod(node=""), POD, None, "", NOW).remove
    done = {**pod(), "status": {"phase": "Succeeded"}}
    assert deletion.plan(done, POD, 30, "", NOW).remove
    assert deletion.plan(pod(), POD, 0, "", NOW).remove


def test_finalizers_hold_and_propagation_adds_them() -> None:
    held = {"metadata": {"name": "x", "finalizers": ["a/b"]}}
    outcome = deletion.plan(held, PLAIN, None, "", NOW)
    assert outcome.update is not None
    assert outcome.update["metadata"]["deletionGracePeriodSeconds"] == 0
    again = deletion.plan(outcome.update, PLAIN, None, "", NOW)
    assert not again.remove and again.update is None
    foreground = deletion.plan({"metadata": {"name": "x"}}, PLAIN, None, "Foreground", NOW)
    assert foreground.update is not None
    assert foreground.update["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert deletion.plan(foreground.update, PLAIN, None, "Background", NOW).remove


def test_a_namespace_is_terminating_until_it_is_finalized() -> None:
    space = {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
    outcome = namespaces.plan_deletion(space, PLAIN, "", NOW)
    assert outcome.update is not None
    assert outcome.update["status"]["phase"] == "Terminating"
    assert outcome.update["metadata"]["deletionTimestamp"] == "2024-01-02T03:04:05Z"
    again = namespaces.plan_deletion(outcome.update, PLAIN, "", NOW)
    assert not again.remove and again.update is None
    assert namespaces.plan_deletion({**space, "spec": {}}, PLAIN, "", NOW).remove


@given(
    st.lists(st.integers(0, 120), min_size=1, max_size=6),
    st.lists(st.sampled_from(["orphan", "foregroundDeletion", "a/b"]), unique=True),
)
def test_deleting_again_never_prolongs_a_life(periods: list[int], finalizers: list[str]) -> None:
    current = pod(finalizers=finalizers)
    deadlines = []
    for seconds in periods:
        outcome = deletion.plan(current, POD, seconds, "", NOW)
        if outcome.remove:
            assert not finalizers
            return
        current = outcome.update or current
        deadlines.append(current["metadata"]["deletionTimestamp"])
    assert deadlines == sorted(deadlines, reverse=True)
