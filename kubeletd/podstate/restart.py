"""Restart policies and back-off (Kubernetes: 10 s doubling to 5 min, forgotten after 10 min without a failure)."""

from __future__ import annotations

from dataclasses import replace

from kubeletd.podstate.model import ContainerRecord, Ended, PodState, Step
from kubeletd.podstate.plan import ContainerPlan, PodPlan

INITIAL_BACKOFF = 10.0
MAX_BACKOFF = 300.0
FORGET_AFTER = 2 * MAX_BACKOFF
SHOW_ERROR_FOR = 3.0  # how long a failure's own reason is shown before its back-off's
PREPARE_BACKOFF_MAX = 10.0


def restarts(plan: ContainerPlan, exit_code: int) -> bool:
    """Whether a container that ended so is run again. Its own rules come before its policy."""
    if any(rule.matches(exit_code) for rule in plan.rules):
        return True
    if plan.restart == "Always":
        return True
    return plan.restart == "OnFailure" and exit_code != 0


def restarts_pod(plan: ContainerPlan, record: ContainerRecord) -> bool:
    """Whether a container ended in a way for which all of its pod's are to run again (KEP-5532)."""
    if record.step is not Step.EXITED or record.ended is None:
        return False
    code = record.ended.exit_code
    rule = next((rule for rule in plan.rules if rule.matches(code)), None)
    return rule is not None and rule.whole_pod


def restarting_all(state: PodState) -> bool:
    """Whether all containers of a pod are being ended, to begin anew."""
    return not state.stopping and any(restarts_pod(c, state.record(c.name)) for c in state.plan.containers)


def duration(seconds: float) -> str:
    """Go's notation: 10s, 1m20s, 5m0s."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{secs}s"
    return f"{minutes}m{secs}s" if minutes else f"{secs}s"


def ended(record: ContainerRecord, end: Ended, plan: ContainerPlan | None, pod: PodPlan) -> ContainerRecord:
    """The record after its container ended; says when the next run may begin."""
    backoff = record.backoff
    if backoff and end.finished_at - record.backoff_at > FORGET_AFTER:
        backoff = 0.0
    record = replace(
        record,
        step=Step.EXITED,
        ended=end,
        stop=None,
        ready=False,
        started=False,
        hook="",
        backoff=backoff,
        reason="",
        message="",
        later_reason="",
        later_message="",
        flip_at=0.0,
        retry_at=0.0,
        resizing=False,
        resize_error="",
        resize_retry_at=0.0,
    )
    if plan is None or not restarts(plan, end.exit_code):
        completed = plan is not None and plan.kind == "init" and end.exit_code == 0
        return replace(record, completed=completed, stop_reason="", stop_grace=None)
    record = replace(record, stop_reason="", stop_grace=None)
    if not backoff:
        return record
    message = f"back-off {duration(backoff)} restarting failed container={plan.name} pod={pod.display}"
    retry_at = end.finished_at + backoff
    if end.reason in ("StartError", "ContainerCannotRun"):
        return replace(
            record,
            reason="RunContainerError",
            message=end.message,
            later_reason="CrashLoopBackOff",
            later_message=message,
            flip_at=end.finished_at + SHOW_ERROR_FOR,
            retry_at=retry_at,
        )
    return replace(record, reason="CrashLoopBackOff", message=message, retry_at=retry_at)


def next_run(record: ContainerRecord, now: float) -> ContainerRecord:
    """The record of a container that ended, as its next run begins to be prepared."""
    return replace(backed_off(again(record), now), step=Step.PREPARING)


def backed_off(record: ContainerRecord, now: float) -> ContainerRecord:
    """The record with the wait that comes after its next run."""
    backoff = min(record.backoff * 2, MAX_BACKOFF) if record.backoff else INITIAL_BACKOFF
    return replace(record, backoff=backoff, backoff_at=now)


def again(record: ContainerRecord) -> ContainerRecord:
    """An ended container's record, waiting for another run, without back-off."""
    return replace(
        record,
        step=Step.WAITING,
        attempt=record.attempt + 1,
        id="",
        ended=None,
        previous=record.ended,
        dead=(*record.dead, record.id) if record.id else record.dead,
        started_at=0.0,
        completed=False,
        flip_at=0.0,
        later_reason="",
        later_message="",
        retry_at=0.0,
        failures=0,
        probing="",
        resize_restart="",
    )


def preparation_delay(failures: int) -> float:
    """Seconds before a failed preparation (configuration, create, sandbox) is tried again: 1, 2, 4, 8, 10, 10…"""
    return min(2.0 ** max(failures - 1, 0), PREPARE_BACKOFF_MAX)
