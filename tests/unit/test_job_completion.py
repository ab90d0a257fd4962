"""Jobs count every pod exactly once and end as they should, whatever order pods end in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobmodel import Model

from apimachinery import resources
from controllermanager.plans import indexes
from controllermanager.plans.job import JOBS
from controllermanager.plans.jobcount import FINALIZER, INDEX

PODS = resources.get("pods")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_pod_counts_once_in_any_order(data: st.DataObject) -> None:
    completions, parallelism = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    mode = data.draw(st.sampled_from(["NonIndexed", "Indexed"]))
    model = Model(completions=completions, parallelism=parallelism, backoffLimit=100, completionMode=mode)
    ended = {"Succeeded": 0, "Failed": 0}
    for _ in range(data.draw(st.integers(0, 60))):
        if data.draw(st.booleans()) and (running := model.running()):
            phase = data.draw(st.sampled_from(["Succeeded", "Failed"]))
            model.end(data.draw(st.sampled_from(running)), phase)
            ended[phase] += 1
        else:
            model.sync()
            model.advance(700)
        assert len(model.running()) <= parallelism
        assert model.status().get("succeeded", 0) <= ended["Succeeded"] <= completions
        assert model.status().get("failed", 0) <= ended["Failed"]
    for _ in range(60):
        model.sync()
        model.advance(700)
        for name in model.running():
            model.end(name, "Succeeded")
            ended["Succeeded"] += 1
    assert model.conditions().keys() == {"SuccessCriteriaMet", "Complete"}
    status = model.status()
    assert (status["succeeded"], status.get("failed", 0)) == (completions, ended["Failed"])
    assert not any(status["uncountedTerminatedPods"].values())
    assert not any(FINALIZER in p.finalizers for p in model.pods(PODS))
    assert "completionTime" in status and "active" not in status
    if mode == "Indexed":
        assert indexes.parse(status["completedIndexes"]) == set(range(completions))


def test_too_many_failures_end_it_and_stop_what_runs() -> None:
    model = Model(parallelism=2, completions=5, backoffLimit=0)
    model.sync()
    model.end(model.running()[0], "Failed")
    for _ in range(4):
        model.sync()
        for pod in model.pods(PODS):
            if pod.deleting:
                model.end(pod.name, "Failed")
    assert model.conditions() == {"FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded"}
    assert model.status()["failed"] == 2
    assert model.running() == []


def test_a_failed_pod_is_replaced_after_its_back_off() -> None:
    model = Model()
    model.sync()
    model.end(model.running()[0], "Failed")
    model.sync()
    assert model.running() == []
    assert model.requeue == pytest.approx(10)
    model.advance(10)
    model.sync()
    assert len(model.running()) == 1


def test_the_deadline_ends_it() -> None:
    model = Model(activeDeadlineSeconds=30)
    model.sync()
    assert model.requeue == pytest.approx(30.01)
    model.advance(31)
    model.sync()
    assert model.conditions()["FailureTarget"] == "DeadlineExceeded"


def test_suspending_removes_pods_without_counting_them() -> None:
    model = Model(parallelism=2, completions=4)
    model.sync()
    model.change(JOBS, "work", {"spec": {"suspend": True}})
    for _ in range(3):
        model.sync()
    assert model.running() == []
    assert model.conditions() == {"Suspended": "JobSuspended"}
    assert "failed" not in model.status() and "startTime" not in model.status()
    model.change(JOBS, "work", {"spec": {"suspend": False}})
    model.sync()
    assert len(model.running()) == 2
    assert model.conditions() == {}


def test_without_completions_the_first_success_stops_new_pods() -> None:
    model = Model(parallelism=3, completions=None)
    model.sync()
    first, *others = model.running()
    model.end(first, "Succeeded")
    model.sync()
    assert model.running() == others
    for name in others:
        model.end(name, "Succeeded")
    for _ in range(4):
        model.sync()
    assert (model.status()["succeeded"], "Complete" in model.conditions()) == (3, True)


def test_indexed_pods_know_their_index() -> None:
    model = Model(parallelism=3, completions=2, completionMode="Indexed")
    model.sync()
    pods = sorted(model.of(PODS), key=lambda p: str(p["metadata"]["name"]))
    assert [p["metadata"]["annotations"][INDEX] for p in pods] == ["0", "1"]
    assert [p["spec"]["hostname"] for p in pods] == ["work-0", "work-1"]
    assert pods[0]["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert pods[0]["metadata"]["generateName"] == "work-0-"


def test_adopted_pods_are_counted() -> None:
    model = Model()
    model.sync()
    (pod,) = model.of(PODS)
    model.change(PODS, pod["metadata"]["name"], {"metadata": {"ownerReferences": None, "finalizers": None}})
    model.sync()
    (pod,) = model.of(PODS)
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "Job"
    assert pod["metadata"]["finalizers"] == [FINALIZER]
    model.end(pod["metadata"]["name"], "Succeeded")
    for _ in range(4):
        model.sync()
    assert (model.status()["succeeded"], "Complete" in model.conditions()) == (1, True)


@given(st.sets(st.integers(0, 50)))
def test_index_sets_are_read_as_they_were_written(numbers: set[int]) -> None:
    assert indexes.parse(indexes.render(numbers)) == numbers


def test_index_sets_look_like_kubernetes_ones() -> None:
    assert indexes.render([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
