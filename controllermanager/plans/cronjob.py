"""CronJobs: which run is due, what it may stand beside, and which old ones are swept away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from apimachinery import cronschedule, meta, resources
from controllermanager.plans.actions import Action, Create, Delete, Event, RequeueAfter, status_patch
from controllermanager.plans.job import JOBS, finished
from controllermanager.plans.ownership import reference

Object = dict[str, Any]

CRON_JOBS = resources.get("cronjobs", "batch")
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_TOO_MANY = 100  # missed runs, beyond which a warning is told


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cron job and the Jobs it controls. `zone` is its time zone (UTC unless it names one)."""

    owner: Object
    jobs: Sequence[Object]
    zone: tzinfo


def _ended(job: Object, kind: str) -> str:
    condition = meta.condition(job, kind)
    return condition["lastTransitionTime"] if condition is not None and condition["status"] == "True" else ""


def plan(snapshot: Snapshot, now: datetime) -> list[Action]:
    owner = snapshot.owner
    spec = owner["spec"]
    if owner["metadata"].get("deletionTimestamp"):
        return []
    involved = {**owner, "apiVersion": "batch/v1", "kind": "CronJob"}
    try:
        schedule = cronschedule.parse(spec["schedule"])
    except ValueError as error:
        text = f"unparseable schedule: {spec['schedule']!r} : {error}"
        return [Event(involved, "Warning", "UnparseableSchedule", text)]
    status: Object = dict(owner.get("status") or {})
    active = [job for job in snapshot.jobs if not finished(job)]
    known = {entry["uid"] for entry in status.get("active") or ()}
    actions: list[Action] = []
    for job in snapshot.jobs:
        name = job["metadata"]["name"]
        if job["metadata"]["uid"] in known and finished(job):
            outcome = "Complete" if _ended(job, "Complete") else "Failed"
            actions.append(
                Event(
                    involved, "Normal", "SawCompletedJob", f"Saw completed job: {name}, condition: {outcome}"
                )
            )
    successes = sorted(filter(None, (_ended(job, "Complete") for job in snapshot.jobs)))
    if successes and successes[-1] > (status.get("lastSuccessfulTime") or ""):
        status["lastSuccessfulTime"] = successes[-1]
    actions += _sweep(owner, snapshot.jobs)
    if not spec.get("suspend"):
        due, following = _due(owner, schedule, snapshot.zone, now)
        if following is not None:
            actions.append(RequeueAfter((following - now).total_seconds() + 0.1))
        if due is not None:
            started = _start(owner, involved, due, active, snapshot.jobs, now)
            actions += started
            for action in started:
                if isinstance(action, Delete):
                    active = [job for job in active if job["metadata"]["uid"] != action.uid]
            if any(isinstance(action, Create) for action in started):
                status["lastScheduleTime"] = meta.rfc3339(due)
    status["active"] = [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job["metadata"]["name"],
            "namespace": job["metadata"]["namespace"],
            "uid": job["metadata"]["uid"],
            "resourceVersion": job["metadata"]["resourceVersion"],
        }
        for job in active
    ] or None
    return [*actions, *status_patch(CRON_JOBS, owner, status)]


def _due(
    owner: Object, schedule: cronschedule.Schedule, zone: tzinfo, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """(the latest run that should have started and has not, the next one to come)."""
    text = (owner.get("status") or {}).get("lastScheduleTime") or owner["metadata"]["creationTimestamp"]
    earliest = meta.parse_time(text)
    deadline = owner["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - timedelta(seconds=int(deadline)))
    # After a long silence only the last run counts: a search from shortly before now finds it.
    due: datetime | None = None
    moment = schedule.next(earliest, zone)
    steps = 0
    while moment is not None and moment <= now:
        due = moment
        steps += 1
        if steps > _TOO_MANY:
            step = schedule.next(moment, zone)
            gap = step - moment if step is not None else timedelta(minutes=1)
            skipped = now - gap * 2
            moment = schedule.next(max(moment, skipped), zone)
            steps = 0
            continue
        moment = schedule.next(moment, zone)
    return due, moment


def _start(
    owner: Object,
    involved: Object,
    due: datetime,
    active: Sequence[Object],
    jobs: Sequence[Object],
    now: datetime,
) -> list[Action]:
    policy = owner["spec"].get("concurrencyPolicy") or "Allow"
    name = f"{owner['metadata']['name']}-{int(due.timestamp()) // 60}"
    if any(job["metadata"]["name"] == name for job in jobs):
        return []
    if policy == "Forbid" and active:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        return [Event(involved, "Normal", "JobAlreadyActive", text)]
    actions: list[Action] = []
    if policy == "Replace":
        for job in active:
            actions += [
                _delete(job),
                Event(involved, "Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}"),
            ]
    template = owner["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), SCHEDULED: meta.rfc3339(due)}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": metadata.get("labels") or {},
            "annotations": annotations,
            "ownerReferences": [reference(owner, CRON_JOBS)],
        },
        "spec": template["spec"],
    }
    return [
        *actions,
        Create(JOBS, body),
        Event(involved, "Normal", "SuccessfulCreate", f"Created job {name}"),
    ]


def _sweep(owner: Object, jobs: Sequence[Object]) -> list[Action]:
    """Deletes finished jobs beyond the history limits, oldest first."""
    spec = owner["spec"]
    actions: list[Action] = []
    for kind, key, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = spec.get(key)
        limit = default if limit is None else int(limit)
        ended = [job for job in jobs if _ended(job, kind) and not job["metadata"].get("deletionTimestamp")]
        ended.sort(
            key=lambda job: ((job.get("status") or {}).get("startTime") or "", job["metadata"]["name"])
        )
        actions += [_delete(job) for job in ended[: max(0, len(ended) - limit)]]
    return actions


def _delete(job: Object) -> Delete:
    metadata = job["metadata"]
    return Delete(
        JOBS, metadata["namespace"], metadata["name"], metadata["uid"], propagation_policy="Background"
    )


def expiry(job: Object, now: datetime) -> float | None:
    """Seconds until a finished job's ttlSecondsAfterFinished is over; None: it has none, or runs."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    ended = _ended(job, "Complete") or _ended(job, "Failed")
    if ttl is None or not ended or job["metadata"].get("deletionTimestamp"):
        return None
    return float(ttl) - (now - meta.parse_time(ended).astimezone(UTC)).total_seconds()


def plan_expiry(job: Object, now: datetime) -> list[Action]:
    left = expiry(job, now)
    if left is None:
        return []
    if left > 0:
        return [RequeueAfter(left + 0.05)]
    metadata = job["metadata"]
    return [
        Delete(
            JOBS,
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            propagation_policy="Foreground",
        )
    ]
