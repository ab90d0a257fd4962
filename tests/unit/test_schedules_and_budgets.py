"""CronJobs start what is due once, finished Jobs expire, and budgets allow as many disruptions as they should."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clustermodel import START, ClusterModel
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import cronschedule
from controllermanager.plans import cronjob, disruption
from controllermanager.plans.actions import Delete, RequeueAfter
from controllermanager.plans.cronjob import CRON_JOBS
from controllermanager.plans.disruption import BUDGETS
from controllermanager.plans.job import JOBS
from controllermanager.plans.views import PodView, pod_view


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("*/15 * * * *", "2026-01-01T00:00:30", "2026-01-01T00:15:00"),
        ("0 3 * * mon-fri", "2026-01-02T03:00:00", "2026-01-05T03:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("5/20 1,2 * * *", "2026-01-01T01:45:00", "2026-01-01T02:05:00"),
        ("@hourly", "2026-01-01T00:00:00", "2026-01-01T01:00:00"),
    ],
)
def test_when_a_schedule_is_due(schedule: str, after: str, expected: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert cronschedule.parse(schedule).next(moment, UTC) == datetime.fromisoformat(expected).replace(
        tzinfo=UTC
    )


def test_time_zones_shift_it_and_the_impossible_never_comes() -> None:
    noon = cronschedule.parse("0 12 * * *")
    assert noon.next(START, ZoneInfo("Asia/Tokyo")) == datetime(2026, 1, 1, 3, tzinfo=UTC)
    assert cronschedule.parse("0 0 31 2 *").next(START, UTC) is None


def test_an_hour_that_clocks_skip_or_repeat() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    night = cronschedule.parse("30 2 * * *")
    assert night.next(datetime(2026, 3, 28, 12, tzinfo=UTC), berlin) == datetime(
        2026, 3, 30, 0, 30, tzinfo=UTC
    )
    first = night.next(datetime(2026, 10, 24, 12, tzinfo=UTC), berlin)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    again = night.next(first, berlin)
    assert again == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert night.next(again, berlin) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@given(
    st.integers(0, 10**8), st.sampled_from(["*/7 * * * *", "3 4 * * *", "0 0 1 * 1", "30 */5 * jan,jul *"])
)
def test_the_next_time_is_later_and_matches(seconds: int, schedule: str) -> None:
    moment = START + timedelta(seconds=seconds)
    parsed = cronschedule.parse(schedule)
    found = parsed.next(moment, UTC)
    assert found is not None and found > moment
    assert found.minute in parsed.minutes and found.hour in parsed.hours and found.month in parsed.months
    assert parsed.next(found - timedelta(seconds=1), UTC) == found


class Cron(ClusterModel):
    def __init__(self, **spec: Any) -> None:
        super().__init__()
        body = {"schedule": "*/10 * * * *", "jobTemplate": {"spec": {"template": {}}}, **spec}
        self.add(CRON_JOBS, {"metadata": {"name": "c"}, "spec": body})

    def sync(self) -> None:
        snapshot = cronjob.Snapshot(self.get(CRON_JOBS, "c"), self.of(JOBS), UTC)
        self.carry_out(cronjob.plan(snapshot, self.now))

    def names(self) -> list[str]:
        return sorted(job["metadata"]["name"] for job in self.of(JOBS))

    def finish(self, name: str, kind: str = "Complete") -> None:
        condition = {"type": kind, "status": "True", "lastTransitionTime": self.stamp()}
        self.change(JOBS, name, {"status": {"startTime": self.stamp(), "conditions": [condition]}})


def test_a_due_run_starts_once_and_the_next_is_waited_for() -> None:
    model = Cron()
    model.sync()
    assert model.names() == []
    assert model.requeue == pytest.approx(600.1)
    model.advance(605)
    model.sync()
    model.sync()
    assert model.names() == [f"c-{int(START.timestamp()) // 60 + 10}"]
    status = model.get(CRON_JOBS, "c")["status"]
    assert status["lastScheduleTime"] == "2026-01-01T00:10:00Z"
    assert [a["name"] for a in status["active"]] == model.names()
    model.finish(model.names()[0])
    model.sync()
    status = model.get(CRON_JOBS, "c")["status"]
    assert "active" not in status and status["lastSuccessfulTime"] == "2026-01-01T00:10:05Z"


def test_after_a_long_silence_only_the_last_run_starts() -> None:
    model = Cron()
    model.advance(86400 * 30 + 5)
    model.sync()
    assert model.names() == [f"c-{int(START.timestamp()) // 60 + 1440 * 30}"]


def test_a_run_that_is_too_late_is_left_out() -> None:
    model = Cron(startingDeadlineSeconds=60)
    model.advance(700)
    model.sync()
    assert model.names() == []


@pytest.mark.parametrize(("policy", "left"), [("Allow", 2), ("Forbid", 1), ("Replace", 1)])
def test_concurrency_policies(policy: str, left: int) -> None:
    model = Cron(concurrencyPolicy=policy)
    for _ in range(2):
        model.advance(600)
        model.sync()
    assert len(model.names()) == left
    assert (model.names()[-1].endswith("30")) is False
    first = f"c-{int(START.timestamp()) // 60 + 10}"
    assert (first in model.names()) is (policy != "Replace")


def test_history_is_swept() -> None:
    model = Cron(successfulJobsHistoryLimit=1)
    for _ in range(3):
        model.advance(600)
        model.sync()
        model.finish(model.names()[-1])
    model.sync()
    assert len(model.names()) == 1


def test_finished_jobs_expire() -> None:
    job = {
        "metadata": {"name": "j", "namespace": "ns", "uid": "u", "resourceVersion": "1"},
        "spec": {"ttlSecondsAfterFinished": 60},
        "status": {
            "conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        },
    }
    (wait,) = cronjob.plan_expiry(job, START)
    assert isinstance(wait, RequeueAfter) and wait.seconds == pytest.approx(60.05)
    (delete,) = cronjob.plan_expiry(job, START + timedelta(seconds=60))
    assert isinstance(delete, Delete) and delete.resource_version == "1"
    assert cronjob.plan_expiry({**job, "spec": {}}, START) == []


def pod(name: str, ready: bool = True, owner: str = "rs") -> PodView:
    owners = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": True}
    ]
    metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1", "labels": {"app": "x"}}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    return pod_view({"metadata": {**metadata, "ownerReferences": owners if owner else []}, "status": status})


def budget(pods: list[PodView], status: Any = None, **spec: Any) -> dict[str, Any]:
    model = ClusterModel()
    body = {"selector": {"matchLabels": {"app": "x"}}, **spec}
    model.add(BUDGETS, {"metadata": {"name": "b"}, "spec": body, "status": status or {}})
    for _ in range(2):
        snapshot = disruption.Snapshot(model.get(BUDGETS, "b"), pods, {"rs": ("d", 4), "rs2": ("d", 4)})
        actions = disruption.plan(snapshot, START)
        model.carry_out(actions)
    assert not [a for a in actions if not isinstance(a, RequeueAfter)]
    found: dict[str, Any] = model.get(BUDGETS, "b")["status"]
    return found


@pytest.mark.parametrize(
    ("spec", "ready", "expected", "desired", "allowed"),
    [
        ({"minAvailable": 2}, 3, 3, 2, 1),
        ({"minAvailable": 2}, 1, 1, 2, 0),
        ({"minAvailable": "50%"}, 4, 4, 2, 2),
        ({"maxUnavailable": 1}, 4, 4, 3, 1),
        ({"maxUnavailable": "30%"}, 3, 4, 2, 1),
        ({"maxUnavailable": 0}, 4, 4, 4, 0),
    ],
)
def test_allowed_disruptions(spec: Any, ready: int, expected: int, desired: int, allowed: int) -> None:
    status = budget([pod(f"p{i}", owner="rs2" if i else "rs") for i in range(ready)], **spec)
    assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"]) == (
        expected,
        desired,
        allowed,
    )
    condition = status["conditions"][0]
    assert condition["reason"] == ("SufficientPods" if allowed else "InsufficientPods")


def test_pods_without_a_controller_need_a_plain_number() -> None:
    status = budget([pod("a", owner="")], maxUnavailable=1)
    assert (status["disruptionsAllowed"], status["conditions"][0]["reason"]) == (0, "SyncFailed")


def test_an_eviction_counts_until_it_shows_or_is_given_up() -> None:
    pods = [pod("a"), pod("b")]
    evicted = {"disruptedPods": {"a": "2025-12-31T23:59:00Z", "gone": "2025-12-31T23:59:00Z"}}
    status = budget(pods, evicted, minAvailable=1)
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (1, 0)
    assert list(status["disruptedPods"]) == ["a"]
    old = {"disruptedPods": {"a": "2025-12-31T23:50:00Z"}}
    assert budget(pods, old, minAvailable=1)["disruptionsAllowed"] == 1
