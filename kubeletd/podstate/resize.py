"""Changing what running containers are given (KEP-1287): in place, or by a restart where their policy wants one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from kubeletd.podstate import events as ev
from kubeletd.podstate.instructions import Instruction, Record
from kubeletd.podstate.model import ContainerRecord, PodState, Step
from kubeletd.podstate.plan import ContainerPlan, PodPlan

RETRY = 10.0  # seconds until a resize that could not be done is tried again


def differs(plan: ContainerPlan, record: ContainerRecord) -> bool:
    """Whether a running container has other sizes than it is to have."""
    return plan.kind != "ephemeral" and record.step is Step.RUNNING and record.sizes != plan.sizes


def in_progress(state: PodState) -> bool:
    """Whether any container still has to be given its sizes."""
    return any(
        differs(plan, record) or record.resize_restart
        for plan in state.plan.containers
        for record in (state.record(plan.name),)
    )


def summary(
    containers: Iterable[tuple[str, str, Mapping[str, Any]]], generation: int, error: str = ""
) -> str:
    """What an event says of a resize; `containers` are (kind, name, resources)."""
    told: dict[str, Any] = {}
    for kind, name, resources in containers:
        key = "initContainers" if kind in ("init", "sidecar") else "containers"
        told.setdefault(key, []).append({"name": name, "resources": resources})
    told["generation"] = generation
    if error:
        told["error"] = error
    return json.dumps(told, separators=(",", ":"))


def _summary(plan: PodPlan, error: str = "") -> str:
    sized = [c for c in plan.containers if c.kind != "ephemeral"]
    return summary(((c.kind, c.name, c.sizes.resources()) for c in sized), plan.generation, error)


def resized(state: PodState, event: ev.Resized, now: float) -> tuple[PodState, list[Instruction]]:
    """The state after a container was given its sizes, or was not."""
    record = state.record(event.name)
    if record.id != event.id or not record.resizing:
        return state, []
    if event.ok:
        done = replace(record, resizing=False, sizes=event.sizes, resize_error="", resize_retry_at=0.0)
        state = state.with_record(event.name, done)
        return state, resize_over(state)
    told: list[Instruction] = []
    if record.resize_error != event.message:
        text = f"Pod resize error: {_summary(state.plan, event.message)}"
        told.append(Record("Warning", "ResizeError", text))
    failed = replace(record, resizing=False, resize_error=event.message, resize_retry_at=now + RETRY)
    return state.with_record(event.name, failed), told


def resize_over(state: PodState) -> list[Instruction]:
    """The event that says so, if it is."""
    if in_progress(state):
        return []
    return [Record("Normal", "ResizeCompleted", f"Pod resize completed: {_summary(state.plan)}")]
