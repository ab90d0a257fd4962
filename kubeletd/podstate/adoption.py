"""The state of a pod this node already has: from its containers as found, and from its last reported status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from kubeletd.podstate.model import ContainerRecord, Ended, PodState, Sandbox, SandboxStep, Step
from kubeletd.podstate.plan import ContainerPlan, PodPlan
from kubeletd.podstate.restart import INITIAL_BACKOFF, MAX_BACKOFF, again, ended, restarts
from kubeletd.podstate.sizes import sizes_of
from kubeletd.runtime.interface import ContainerState

LOST_EXIT_CODE = 137
LOST_MESSAGE = "The container could not be located when the pod was terminated"


def epoch(time: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0 for none."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() if time else 0.0


def adopt(plan: PodPlan, found: Iterable[ContainerState], status: Mapping[str, Any], now: float) -> PodState:
    """Where the pod stands. `found` are its containers, inspected; `status` is the API's, perhaps old."""
    sandboxes: list[ContainerState] = []
    by_name: dict[str, list[ContainerState]] = {}
    strays: set[str] = set()
    for container in found:
        if container.identity.kind == "sandbox":
            sandboxes.append(container)
        elif container.identity.container in plan.names:
            by_name.setdefault(container.identity.container, []).append(container)
        else:
            strays.add(container.id)
    sandbox, other = _sandbox(sandboxes)
    strays |= other
    if sandbox.step is SandboxStep.NONE and any(
        made.status == "running" for containers in by_name.values() for made in containers
    ):
        # They hold what is left of one that somebody took away; nothing new can join them.
        sandbox = Sandbox(step=SandboxStep.DEAD, id="missing")
    boxed_at = max((s.created_at for s in sandboxes if s.id == sandbox.id), default=0.0)
    reported = _reported(status)
    records: dict[str, ContainerRecord] = {}
    for container_plan in plan.containers:
        name = container_plan.name
        if name in by_name:
            records[name], other = _from_containers(
                container_plan, by_name[name], reported.get(name, {}), plan
            )
            strays |= other
            made_at = max(c.created_at for c in by_name[name])
            elsewhere = made_at < boxed_at
            if records[name].completed and elsewhere:
                records[name] = again(records[name])  # what it did it did in another sandbox
            elif records[name].step is Step.CREATED and (elsewhere or sandbox.step is SandboxStep.NONE):
                strays.add(records[name].id)
                records[name] = replace(records[name], step=Step.WAITING, id="")
        elif name in reported:
            records[name] = _from_status(container_plan, reported[name], plan, now)
    phase = status.get("phase")
    given_up = status.get("reason") if phase == "Failed" else None
    state = PodState(
        plan=plan,
        containers=records,
        sandbox=sandbox,
        started_at=epoch(status.get("startTime")),
        failed=(given_up, status.get("message") or "") if given_up else None,
        finished=phase in ("Succeeded", "Failed") and not given_up,
        deadline=now + (plan.grace if plan.delete_grace is None else plan.delete_grace),
        strays=frozenset(strays),
        initialized=sandbox.step is SandboxStep.READY
        and any(
            made.created_at >= boxed_at
            for c in plan.containers
            if c.kind == "container"
            for made in by_name.get(c.name, ())
        ),
    )
    return state if state.stopping else replace(state, deadline=0.0)


def _sandbox(found: list[ContainerState]) -> tuple[Sandbox, set[str]]:
    if not found:
        return Sandbox(), set()
    newest = max(found, key=lambda c: (c.status == "running", c.identity.attempt))
    step = {"running": SandboxStep.READY, "created": SandboxStep.DEAD, "exited": SandboxStep.DEAD}[
        newest.status
    ]
    box = Sandbox(step=step, id=newest.id, ip=newest.ip, attempt=newest.identity.attempt)
    return box, {c.id for c in found if c is not newest}


def _reported(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return {s["name"]: s for key in lists for s in status.get(key) or ()}


def end_of(container: ContainerState) -> Ended:
    """How an exited container ended, as the engine tells it."""
    if container.oom_killed:
        reason = "OOMKilled"
    elif container.error:
        reason = "StartError"
    else:
        reason = "Completed" if container.exit_code == 0 else "Error"
    return Ended(
        id=container.id,
        exit_code=container.exit_code,
        reason=reason,
        finished_at=container.finished_at,
        started_at=container.started_at,
        message=container.error,
        image_id=container.image_id,
    )


def _from_containers(
    plan: ContainerPlan, found: list[ContainerState], reported: Mapping[str, Any], pod: PodPlan
) -> tuple[ContainerRecord, set[str]]:
    found = sorted(found, key=lambda c: (c.identity.attempt, c.created_at))
    newest, older = found[-1], found[:-1]
    ran = [c for c in older if c.status == "exited"]
    attempt = newest.identity.attempt
    same_run = str(reported.get("containerID") or "").endswith(newest.id)
    record = ContainerRecord(
        attempt=attempt,
        id=newest.id,
        image_id=(reported.get("imageID") if same_run else "") or newest.image_id,
        volume_images=_volume_images(reported) if same_run else (),
        user=_user(reported) if same_run else None,
        spec_hash=newest.identity.spec_hash,
        sizes=sizes_of(reported["resources"]) if same_run and "resources" in reported else plan.sizes,
        started_at=newest.started_at,
        previous=end_of(ran[-1]) if ran else None,
        dead=tuple(c.id for c in ran),
        backoff=min(INITIAL_BACKOFF * 2 ** min(attempt - 1, 10), MAX_BACKOFF) if attempt else 0.0,
        backoff_at=newest.created_at if attempt else 0.0,
    )
    if newest.status == "running":
        record = replace(
            record,
            step=Step.RUNNING,
            hook="done",
            started=(same_run and bool(reported.get("started"))) or not plan.startup_probe,
            ready=(same_run and bool(reported.get("ready"))) or not plan.readiness_probe,
        )
    elif newest.status == "created":
        record = replace(record, step=Step.CREATED)
    else:
        record = ended(record, end_of(newest), plan, pod)
    return record, {c.id for c in older if c.status != "exited"}


def _volume_images(reported: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = {}
    for mount in reported.get("volumeMounts") or ():
        reference = ((mount.get("volumeStatus") or {}).get("image") or {}).get("imageRef")
        if reference:
            found[mount["name"]] = reference
    return tuple(sorted(found.items()))


def _user(reported: Mapping[str, Any]) -> tuple[int, int, tuple[int, ...]] | None:
    user = (reported.get("user") or {}).get("linux")
    return (user["uid"], user["gid"], tuple(user.get("supplementalGroups") or ())) if user else None


def _from_status(
    plan: ContainerPlan, reported: Mapping[str, Any], pod: PodPlan, now: float
) -> ContainerRecord:
    """A container that is not here, though the status tells of one: it ended, known or unknown how."""
    state = reported.get("state") or {}
    attempt = int(reported.get("restartCount") or 0)
    terminated = state.get("terminated") or (reported.get("lastState") or {}).get("terminated")
    if "terminated" in state and terminated:
        end = _end_reported(terminated)
        record = ContainerRecord(attempt=attempt, id="", image_id=reported.get("imageID") or "")
        if not restarts(plan, end.exit_code):
            return ended(record, end, plan, pod)
        return ContainerRecord(attempt=attempt + 1, previous=end)
    if "running" in state:
        end = Ended(
            id=str(reported.get("containerID") or "").rpartition("/")[2],
            exit_code=LOST_EXIT_CODE,
            reason="ContainerStatusUnknown",
            message=LOST_MESSAGE,
            started_at=epoch(state["running"].get("startedAt")),
            finished_at=now,
        )
        if not restarts(plan, end.exit_code):
            return ended(ContainerRecord(attempt=attempt), end, plan, pod)
        return ContainerRecord(attempt=attempt + 1, previous=end)
    if terminated:
        return ContainerRecord(attempt=attempt + 1, previous=_end_reported(terminated))
    return ContainerRecord(attempt=attempt)


def _end_reported(terminated: Mapping[str, Any]) -> Ended:
    return Ended(
        id=str(terminated.get("containerID") or "").rpartition("/")[2],
        exit_code=int(terminated.get("exitCode") or 0),
        reason=terminated.get("reason") or "",
        message=terminated.get("message") or "",
        started_at=epoch(terminated.get("startedAt")),
        finished_at=epoch(terminated.get("finishedAt")),
    )
