"""Area apps: Jobs and CronJobs, with their pods' nodes played by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apiclient import STRATEGIC, Api
from hands import NODE, Hands, conditions, owner
from lifecycle import fine
from registrations import eventually

Object = dict[str, Any]
INDEX = "batch.kubernetes.io/job-completion-index"
MAX = 2**31 - 1


class Jobs:
    """The Jobs of a namespace. Their pods are bound to a node that is played."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.hands = Hands(api, namespace)
        self.path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.crons = f"/apis/batch/v1/namespaces/{namespace}/cronjobs"

    def body(self, **spec: Any) -> Object:
        container = {"name": "main", "image": "app"}
        pod = {"restartPolicy": "Never", "nodeName": NODE, "containers": [container]}
        return {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": {"spec": pod}, **spec}

    def make(self, **spec: Any) -> Object:
        return fine(self.api.post(self.path, {"metadata": {"name": "job"}, "spec": self.body(**spec)}), 201)

    def indexed(self, **spec: Any) -> Object:
        return self.make(completionMode="Indexed", **spec)

    def get(self) -> Object:
        return fine(self.api.get(f"{self.path}/job"))

    def over(self, play: Callable[[Object], Any], kind: str, reason: str) -> Object:
        """The Job once it has that condition; its status says that nothing of it is left."""

        def check() -> bool:
            found = conditions(self.get())
            assert not {"Complete", "Failed"} - {kind} & found.keys()
            return kind in found

        self.hands.until(check, play)
        job = self.get()
        interim = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
        assert conditions(job) == {interim: reason, kind: reason}
        status: Object = job["status"]
        assert (status.get("active", 0), status["ready"], status["terminating"]) == (0, 0, 0)
        assert not any(status["uncountedTerminatedPods"].values())
        assert ("completionTime" in status) is (kind == "Complete")
        for pod in self.hands.pods():
            assert not pod["metadata"].get("finalizers")
        return status

    def fails(self, pod: Object) -> None:
        self.hands.end(pod["metadata"]["name"], "Failed", 1)

    def succeeds(self, pod: Object) -> None:
        self.hands.end(pod["metadata"]["name"])

    def odd_ones_fail(self, pod: Object) -> None:
        (self.fails if int(pod["metadata"]["annotations"][INDEX]) % 2 else self.succeeds)(pod)

    def cron(self, policy: str, minutes_ago: int) -> Object:
        """A CronJob that is due at once: it last ran before a time `minutes_ago`, and would run then each hour."""
        spec = {
            "schedule": hourly(minutes_ago), "concurrencyPolicy": policy, "suspend": True,
            "jobTemplate": {"spec": self.body()},
        }  # fmt: skip
        fine(self.api.post(self.crons, {"metadata": {"name": "cron"}, "spec": spec}), 201)
        last = (datetime.now(UTC) - timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fine(self.api.patch(f"{self.crons}/cron/status", {"status": {"lastScheduleTime": last}}))
        return self.change_cron(suspend=False)

    def change_cron(self, **spec: Any) -> Object:
        return fine(self.api.patch(f"{self.crons}/cron", {"spec": spec}))

    def active(self) -> list[str]:
        """The uids of the Jobs that the CronJob knows to run."""
        status = fine(self.api.get(f"{self.crons}/cron"))["status"]
        return [entry["uid"] for entry in status.get("active") or ()]

    def list(self) -> list[Object]:
        return list(fine(self.api.get(self.path))["items"])

    def event(self, reason: str) -> bool:
        events = fine(self.api.get(self.path.replace("apis/batch/v1", "api/v1").replace("jobs", "events")))
        return any(e["reason"] == reason for e in events["items"])


def hourly(minutes_ago: int) -> str:
    return f"{(datetime.now(UTC) - timedelta(minutes=minutes_ago)).minute} * * * *"


@pytest.fixture
def jobs(cluster: Api, space: str) -> Jobs:
    return Jobs(cluster, space)


def exit_code_rule(action: str) -> Object:
    return {"rules": [{"action": action, "onExitCodes": {"operator": "In", "values": [1]}}]}


def test_ensure_pods_of_an_indexed_job_get_a_unique_index(jobs: Jobs) -> None:
    jobs.indexed()
    status = jobs.over(jobs.succeeds, "Complete", "CompletionsReached")
    assert (status["succeeded"], status["completedIndexes"]) == (4, "0-3")
    seen = []
    for pod in jobs.hands.pods():
        index = pod["metadata"]["annotations"][INDEX]
        seen.append(int(index))
        assert pod["metadata"]["labels"][INDEX] == index
        assert pod["spec"]["hostname"] == f"job-{index}"
        assert pod["metadata"]["generateName"] == f"job-{index}-"
        (variable,) = pod["spec"]["containers"][0]["env"]
        assert variable["name"] == "JOB_COMPLETION_INDEX"
        assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{INDEX}']"
    assert sorted(seen) == [0, 1, 2, 3]


def test_ensure_pod_failure_policy_allows_to_ignore_failure_matching_on_the_disruptiontarget_condition(
    jobs: Jobs,
) -> None:
    hands = jobs.hands
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    made = jobs.indexed(parallelism=3, completions=3, backoffLimit=0, podFailurePolicy=policy)
    assert made["spec"]["podReplacementPolicy"] == "Failed"
    eventually(lambda: len(hands.pods()) == 3)
    first = hands.names()
    hands.run(*first)
    eventually(lambda: jobs.get()["status"].get("ready") == 3)
    for name in first:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        fine(jobs.api.post(f"{hands.path}/{name}/eviction", eviction), 201)
        pod = hands.get(name)
        assert pod["metadata"]["deletionTimestamp"]
        assert conditions(pod)["DisruptionTarget"] == "EvictionByEvictionAPI"
    status = jobs.over(
        lambda pod: pod["metadata"]["name"] in first or jobs.succeeds(pod), "Complete", "CompletionsReached"
    )
    assert (status["succeeded"], status.get("failed", 0)) == (3, 0)
    assert not set(first) & set(hands.names())


def test_verify_pod_failure_policy_allows_to_fail_job_early_on_exit_code(jobs: Jobs) -> None:
    jobs.make(podFailurePolicy=exit_code_rule("FailJob"))
    status = jobs.over(jobs.fails, "Failed", "PodFailurePolicy")
    assert 1 <= status["failed"] <= 2
    (message,) = {c["message"] for c in status["conditions"]}
    assert message.startswith("Container main for pod ")
    assert message.endswith(" failed with exit code 1 matching FailJob rule at index 0")


def test_ensure_that_job_with_successpolicy_succeeded_when_all_indexes_succeeded(jobs: Jobs) -> None:
    jobs.indexed(completions=2, successPolicy={"rules": [{"succeededCount": 2}]})
    status = jobs.over(jobs.succeeds, "Complete", "SuccessPolicy")
    assert (status["succeeded"], status.get("failed", 0)) == (2, 0)


def test_ensure_that_job_with_successpolicy_succeededindexes_rule_succeeded_even_when_some_indexes_remain_pending(
    jobs: Jobs,
) -> None:
    jobs.indexed(completions=5, successPolicy={"rules": [{"succeededIndexes": "0"}]})
    status = jobs.over(jobs.odd_ones_fail, "Complete", "SuccessPolicy")
    assert (status["completedIndexes"], status["succeeded"]) == ("0", 1)


def test_ensure_that_job_with_successpolicy_succeededcount_rule_succeeded_even_when_some_indexes_remain_pending(
    jobs: Jobs,
) -> None:
    jobs.indexed(completions=5, backoffLimit=MAX, successPolicy={"rules": [{"succeededCount": 1}]})
    status = jobs.over(jobs.odd_ones_fail, "Complete", "SuccessPolicy")
    assert (status["completedIndexes"], status["succeeded"]) == ("0", 1)


def test_terminate_job_execution_when_the_maxfailedindexes_is_exceeded(jobs: Jobs) -> None:
    jobs.indexed(parallelism=1, backoffLimit=None, backoffLimitPerIndex=0, maxFailedIndexes=0)
    status = jobs.over(jobs.fails, "Failed", "MaxFailedIndexesExceeded")
    assert (status["failedIndexes"], status["failed"]) == ("0", 1)


def test_mark_indexes_as_failed_when_the_failindex_action_is_matched_in_podfailurepolicy(jobs: Jobs) -> None:
    jobs.indexed(
        completions=2, backoffLimit=None, backoffLimitPerIndex=1, podFailurePolicy=exit_code_rule("FailIndex")
    )
    status = jobs.over(jobs.odd_ones_fail, "Failed", "FailedIndexes")
    assert (status["failedIndexes"], status["completedIndexes"]) == ("1", "0")
    assert (status["failed"], status["succeeded"]) == (1, 1)


def test_jobs_orphan_pods_re_adoption(jobs: Jobs) -> None:
    made, hands = jobs.make(), jobs.hands
    eventually(lambda: len(hands.pods()) == 2)
    name = hands.names()[0]
    fine(jobs.api.patch(f"{hands.path}/{name}", {"metadata": {"ownerReferences": None}}))
    eventually(lambda: owner(hands.get(name)) == made["metadata"]["uid"])
    assert "batch.kubernetes.io/job-tracking" in hands.get(name)["metadata"]["finalizers"]
    fine(jobs.api.patch(f"{hands.path}/{name}", {"metadata": {"labels": None}}))
    eventually(lambda: not owner(hands.get(name)))
    eventually(lambda: len(hands.pods("job-name=job")) == 2)


def test_jobs_of_another_controller_are_left_alone(jobs: Jobs) -> None:
    jobs.make(managedBy="example.com/custom-job-controller")
    other = {"metadata": {"name": "other"}, "spec": jobs.body()}
    fine(jobs.api.post(jobs.path, other), 201)
    eventually(lambda: len(jobs.hands.pods("job-name=other")) == 2)
    assert jobs.hands.pods("job-name=job") == []
    assert jobs.get()["status"] == {}


def test_a_suspended_job_has_no_pods(jobs: Jobs) -> None:
    jobs.make(suspend=True)
    eventually(lambda: conditions(jobs.get()) == {"Suspended": "JobSuspended"})
    assert jobs.hands.pods() == []
    fine(jobs.api.patch(f"{jobs.path}/job", {"spec": {"suspend": False}}))
    eventually(lambda: len(jobs.hands.pods()) == 2)
    jobs.hands.run(*jobs.hands.names())
    eventually(lambda: jobs.get()["status"].get("ready") == 2)
    fine(jobs.api.patch(f"{jobs.path}/job", {"spec": {"suspend": True}}))
    jobs.hands.until(lambda: conditions(jobs.get()) and not jobs.hands.pods())
    eventually(lambda: jobs.get()["status"]["ready"] == 0)


def test_cronjob_suspend(jobs: Jobs) -> None:
    jobs.cron("Allow", 20)
    eventually(lambda: len(jobs.list()) == 1)
    jobs.change_cron(suspend=True)
    jobs.change_cron(schedule=hourly(10))
    # Another one that is due shows that the controller has looked since.
    other = fine(jobs.api.get(f"{jobs.crons}/cron"))
    spec = {**other["spec"], "suspend": False}
    fine(jobs.api.post(jobs.crons, {"metadata": {"name": "other"}, "spec": spec}), 201)
    status = {"lastScheduleTime": other["status"]["lastScheduleTime"]}
    fine(jobs.api.patch(f"{jobs.crons}/other/status", {"status": status}))
    eventually(lambda: len(jobs.list()) == 2)
    names = sorted(owner(job) for job in jobs.list())
    uids = [fine(jobs.api.get(f"{jobs.crons}/{n}"))["metadata"]["uid"] for n in ("cron", "other")]
    assert names == sorted(uids)


def test_cronjob_forbidconcurrent(jobs: Jobs) -> None:
    jobs.cron("Forbid", 20)
    eventually(lambda: len(jobs.list()) == 1)
    (first,) = jobs.list()
    eventually(lambda: jobs.active() == [first["metadata"]["uid"]])
    jobs.change_cron(schedule=hourly(10))
    eventually(lambda: jobs.event("JobAlreadyActive"))
    assert [job["metadata"]["uid"] for job in jobs.list()] == [first["metadata"]["uid"]]
    jobs.hands.until(lambda: len(jobs.list()) == 2, jobs.succeeds)


def test_cronjob_replaceconcurrent(jobs: Jobs) -> None:
    jobs.cron("Replace", 20)
    eventually(lambda: len(jobs.list()) == 1)
    (first,) = jobs.list()
    jobs.change_cron(schedule=hourly(10))

    def replaced() -> bool:
        uids = [job["metadata"]["uid"] for job in jobs.list()]
        return len(uids) == 1 and uids != [first["metadata"]["uid"]]

    jobs.hands.until(replaced)
    eventually(lambda: jobs.active() == [jobs.list()[0]["metadata"]["uid"]])


def test_a_cronjob_has_a_time_zone(jobs: Jobs) -> None:
    """Its schedule is meant there: a quarter past an hour in Kathmandu is at half past one in UTC."""
    made = jobs.cron("Allow", 20)
    eventually(lambda: len(jobs.list()) == 1)
    minute = (int(made["spec"]["schedule"].split()[0]) + 45 + 10) % 60
    jobs.change_cron(schedule=f"{minute} * * * *", timeZone="Asia/Kathmandu")
    eventually(lambda: len(jobs.list()) == 2)
    refused = jobs.api.patch(f"{jobs.crons}/cron", {"spec": {"timeZone": "Nowhere/Land"}}, STRATEGIC)
    assert (refused.code, "unknown time zone Nowhere/Land" in refused.message) == (422, True)
