"""Which failures of a Job's pods count, which end an index or the job, and when it has succeeded early enough."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobmodel import PODS, Model

from controllermanager.plans import indexes, jobpolicy
from controllermanager.plans.job import JOBS, managed
from controllermanager.plans.jobcount import FAILURES, FINALIZER, IGNORED_FAILURES
from controllermanager.plans.views import pod_view


def rules(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": list(rules)}, "podReplacementPolicy": "Failed", **more}


def on_codes(action: str, *codes: int, operator: str = "In", **more: str) -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(codes), **more}}


def on_condition(action: str, kind: str, status: str = "True") -> dict[str, Any]:
    return {"action": action, "onPodConditions": [{"type": kind, "status": status}]}


def indexed(completions: int, parallelism: int = 2, **spec: Any) -> Model:
    return Model(completions=completions, parallelism=parallelism, completionMode="Indexed", **spec)


def settle(model: Model) -> None:
    """Until pods that were asked to end have ended and nothing changes any more."""
    for _ in range(6):
        model.sync()
        for pod in model.pods(PODS):
            if pod.deleting and not pod.finished:
                model.end(pod.name, "Failed", 143)


def test_an_exit_code_fails_the_job_early() -> None:
    model = Model(parallelism=2, completions=4, **rules(on_codes("FailJob", 1)))
    model.sync()
    name = model.running()[0]
    model.end(name, "Failed", 1)
    model.sync()
    assert model.conditions() == {"FailureTarget": "PodFailurePolicy"}
    settle(model)
    assert model.conditions() == {"FailureTarget": "PodFailurePolicy", "Failed": "PodFailurePolicy"}
    message = f"Container c for pod ns/{name} failed with exit code 1 matching FailJob rule at index 0"
    assert [c["message"] for c in model.status()["conditions"]] == [message, message]
    assert model.status()["failed"] == 2
    assert not any(FINALIZER in p.finalizers for p in model.pods(PODS))


@pytest.mark.parametrize("well", [True, False])
def test_nothing_is_waited_for_once_it_is_decided(well: bool) -> None:
    """A pod that goes before it ran says nothing of its end: it is let go all the same."""
    policy = rules(on_codes("FailJob", 1), successPolicy={"rules": [{"succeededCount": 1}]})
    model = indexed(3, 2, **policy)
    model.sync()
    pods = model.by_index()
    model.end(pods[0], "Succeeded" if well else "Failed", 0 if well else 1)
    model.sync()
    assert model.running() == []
    for _ in range(4):
        model.sync()
        for pod in model.pods(PODS):
            if pod.deleting and not pod.finalizers:
                model.remove(PODS, pod.name)
    kind = "Complete" if well else "Failed"
    assert kind in model.conditions()
    assert (model.status().get("succeeded", 0), model.status().get("failed", 0)) == (
        (1, 0) if well else (0, 2)
    )


def test_ignored_failures_do_not_count() -> None:
    rule = on_condition("Ignore", "DisruptionTarget")
    model = indexed(3, 3, backoffLimit=0, **rules(rule, on_codes("FailJob", 0, operator="NotIn")))
    model.sync()
    for name in model.running():
        model.end(name, "Failed", 137, DisruptionTarget="True")
    model.sync()
    assert model.conditions() == {}
    assert "failed" not in model.status()
    assert not any(FINALIZER in p.finalizers for p in model.pods(PODS))
    model.advance(60)
    model.sync()
    assert sorted(model.by_index()) == [0, 1, 2]
    for name in model.running():
        model.end(name, "Succeeded")
    settle(model)
    assert model.conditions()["Complete"] == "CompletionsReached"
    assert (model.status()["succeeded"], model.status().get("failed", 0)) == (3, 0)


def test_the_first_rule_that_matches_decides() -> None:
    model = Model(backoffLimit=0, **rules(on_codes("Count", 3), on_codes("Ignore", 3)))
    model.sync()
    model.end(model.running()[0], "Failed", 3)
    model.sync()
    assert model.conditions()["FailureTarget"] == "BackoffLimitExceeded"


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (on_codes("FailJob", 2), False),
        (on_codes("FailJob", 2, 7), True),
        (on_codes("FailJob", 2, operator="NotIn"), True),
        (on_codes("FailJob", 7, operator="NotIn"), False),
        (on_codes("FailJob", 7, containerName="other"), False),
        (on_codes("FailJob", 7, containerName="c"), True),
        (on_condition("FailJob", "Ready", "False"), True),
        (on_condition("FailJob", "Ready"), False),
        (on_codes("FailIndex", 7), False),
    ],
)
def test_what_a_rule_matches(rule: dict[str, Any], matches: bool) -> None:
    model = Model()
    model.sync()
    name = model.running()[0]
    model.end(name, "Failed", 7)
    (pod,) = model.pods(PODS)
    assert bool(jobpolicy.failure({"rules": [rule]}, pod, per_index=False)) is matches


def test_containers_that_ended_well_match_no_rule() -> None:
    statuses = [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]
    metadata = {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "1"}
    pod = pod_view({"metadata": metadata, "status": {"phase": "Failed", "containerStatuses": statuses}})
    assert jobpolicy.failure({"rules": [on_codes("FailJob", 5, operator="NotIn")]}, pod, False) is None


def test_every_index_is_tried_as_often_as_its_limit_allows() -> None:
    model = indexed(4, backoffLimitPerIndex=1, backoffLimit=2**31 - 1)
    for _ in range(12):
        model.sync()
        for index, name in model.by_index().items():
            model.end(name, "Failed" if index % 2 else "Succeeded", index % 2)
        model.advance(30)
    status = model.status()
    assert (status["failedIndexes"], status["completedIndexes"]) == ("1,3", "0,2")
    assert (status["failed"], status["succeeded"]) == (4, 2)
    assert model.conditions() == {"FailureTarget": "FailedIndexes", "Failed": "FailedIndexes"}
    noted = sorted(
        (p.annotations["batch.kubernetes.io/job-completion-index"], p.annotations[FAILURES])
        for p in model.pods(PODS)
    )
    assert noted == [("0", "0"), ("1", "0"), ("1", "1"), ("2", "0"), ("3", "0"), ("3", "1")]
    assert not any(FINALIZER in p.finalizers for p in model.pods(PODS))


def test_an_index_waits_for_itself_alone() -> None:
    model = indexed(2, backoffLimitPerIndex=3, backoffLimit=2**31 - 1)
    model.sync()
    model.end(model.by_index()[0], "Failed", 1)
    model.sync()
    assert model.requeue == pytest.approx(10)
    assert list(model.by_index()) == [1]
    # The failed pod is kept until its successor goes on with its count.
    assert [p.phase for p in model.pods(PODS) if FINALIZER in p.finalizers and p.finished] == ["Failed"]
    model.advance(10)
    settle(model)
    assert sorted(model.by_index()) == [0, 1]
    assert model.status()["failed"] == 1
    (again,) = [p for p in model.pods(PODS) if p.active and p.name == model.by_index()[0]]
    assert again.annotations[FAILURES] == "1"
    model.end(again.name, "Failed", 1)
    model.sync()
    assert model.requeue == pytest.approx(20)


def test_ignored_failures_of_an_index_are_noted_apart() -> None:
    model = indexed(
        1, 1, backoffLimitPerIndex=1, backoffLimit=2**31 - 1, **rules(on_condition("Ignore", "DisruptionTarget"))
    )  # fmt: skip
    for _ in range(2):
        model.sync()
        model.end(model.by_index()[0], "Failed", 137, DisruptionTarget="True")
        model.advance(60)
    model.sync()
    (pod,) = [p for p in model.pods(PODS) if p.active]
    assert (pod.annotations[FAILURES], pod.annotations[IGNORED_FAILURES]) == ("0", "2")
    assert model.status().get("failed", 0) == 0
    assert model.status()["failedIndexes"] == ""


def test_too_many_failed_indexes_end_the_job() -> None:
    model = indexed(4, 1, backoffLimitPerIndex=0, maxFailedIndexes=0, backoffLimit=2**31 - 1)
    model.sync()
    model.end(model.by_index()[0], "Failed", 1)
    settle(model)
    reason = "MaxFailedIndexesExceeded"
    assert model.conditions() == {"FailureTarget": reason, "Failed": reason}
    assert (model.status()["failedIndexes"], model.status()["failed"]) == ("0", 1)
    assert len(model.pods(PODS)) == 1


def test_a_rule_fails_an_index_without_another_try() -> None:
    policy = rules(on_codes("FailIndex", 1))
    model = indexed(2, backoffLimitPerIndex=1, backoffLimit=2**31 - 1, **policy)
    model.sync()
    pods = model.by_index()
    model.end(pods[0], "Succeeded")
    model.end(pods[1], "Failed", 1)
    settle(model)
    status = model.status()
    assert (status["failedIndexes"], status["completedIndexes"]) == ("1", "0")
    assert (status["failed"], status["succeeded"]) == (1, 1)
    assert model.conditions()["Failed"] == "FailedIndexes"


def test_a_success_policy_ends_the_job_while_indexes_wait() -> None:
    policy = {"rules": [{"succeededIndexes": "3"}, {"succeededIndexes": "0-2", "succeededCount": 1}]}
    model = indexed(5, successPolicy=policy)
    model.sync()
    pods = model.by_index()
    model.end(pods[1], "Failed", 1)
    model.sync()
    model.end(pods[0], "Succeeded")
    model.sync()
    assert model.conditions() == {"SuccessCriteriaMet": "SuccessPolicy"}
    settle(model)
    assert model.conditions() == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
    assert {c["message"] for c in model.status()["conditions"]} == {"Matched rules at index 1"}
    status = model.status()
    assert (status["completedIndexes"], status["succeeded"], status["failed"]) == ("0", 1, 1)
    assert (status["ready"], status["terminating"], "active" in status) == (0, 0, False)


def test_a_success_policy_that_wants_all_is_met_by_all() -> None:
    model = indexed(2, successPolicy={"rules": [{"succeededCount": 2}]})
    model.sync()
    for name in model.running():
        model.end(name, "Succeeded")
    settle(model)
    assert model.conditions() == {"SuccessCriteriaMet": "SuccessPolicy", "Complete": "SuccessPolicy"}
    assert "failed" not in model.status()


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 12), min_size=1), st.none() | st.integers(1, 5))
def test_success_needs_all_named_indexes_or_enough_of_them(
    done: set[int], named: set[int], count: int | None
) -> None:
    rule = {"succeededIndexes": indexes.render(named), **({"succeededCount": count} if count else {})}
    within = named & set(range(10))
    met = bool(done and within) and (within <= done or (count is not None and len(within & done) >= count))
    assert bool(jobpolicy.success({"rules": [rule]}, 10, done)) is met


def test_pods_of_no_index_or_of_another_ones_go() -> None:
    model = indexed(3, 3)
    model.sync()
    model.change(JOBS, "work", {"spec": {"completions": 2, "parallelism": 2}})
    model.sync()
    model.sync()
    assert sorted(model.by_index()) == [0, 1]
    twin = model.get(PODS, model.by_index()[1])
    model.add(PODS, {**twin, "metadata": {**twin["metadata"], "name": "twin", "uid": "twin"}})
    model.sync()
    model.sync()
    assert len(model.running()) == 2
    assert sorted(model.by_index()) == [0, 1]


def test_failures_before_a_success_are_forgiven() -> None:
    model = Model(completions=3, parallelism=1)
    for phase in ("Failed", "Failed", "Succeeded", "Failed"):
        model.sync()
        model.advance(60)
        model.sync()
        model.end(model.running()[0], phase, 1)
    model.sync()
    assert model.requeue == pytest.approx(10)


def test_with_replacement_after_the_end_a_going_pod_keeps_its_place() -> None:
    model = Model(podReplacementPolicy="Failed")
    model.sync()
    (name,) = model.running()
    model.change(PODS, name, {"metadata": {"deletionTimestamp": model.stamp()}})
    model.sync()
    assert (model.running(), model.status()["terminating"], "failed" in model.status()) == ([], 1, False)
    model.end(name, "Failed", 143)
    model.advance(10)
    settle(model)
    assert (len(model.running()), model.status()["terminating"], model.status()["failed"]) == (1, 0, 1)


def test_jobs_of_another_controller_are_left_alone() -> None:
    assert managed({"spec": {}})
    assert managed({"spec": {"managedBy": "kubernetes.io/job-controller"}})
    assert not managed({"spec": {"managedBy": "example.com/custom-job-controller"}})


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_with_a_limit_per_index_every_pod_counts_once(data: st.DataObject) -> None:
    completions, limit = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 2))
    model = indexed(completions, 3, backoffLimitPerIndex=limit, backoffLimit=2**31 - 1)
    failed: dict[int, int] = {}
    for _ in range(40):
        model.sync()
        for index, name in sorted(model.by_index().items()):
            if data.draw(st.booleans()):
                well = data.draw(st.booleans())
                model.end(name, "Succeeded" if well else "Failed", 0 if well else 1)
                failed[index] = failed.get(index, 0) + (not well)
        model.advance(700)
        assert len(model.by_index()) == len(model.running()) <= 3
    for _ in range(20):
        model.sync()
        for name in model.running():
            model.end(name, "Succeeded")
        model.advance(700)
    status = model.status()
    lost, done = indexes.parse(status["failedIndexes"]), indexes.parse(status.get("completedIndexes", ""))
    assert lost == {index for index, times in failed.items() if times > limit}
    assert done == set(range(completions)) - lost
    assert status.get("failed", 0) == sum(failed.values())
    assert status.get("succeeded", 0) == len(done)
    assert not any(FINALIZER in p.finalizers for p in model.pods(PODS))
    assert ("Failed" if lost else "Complete") in model.conditions()
