"""Completion indexes of indexed Jobs: sets written as `1,3-5`, and what a pod is told of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]


def parse(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return found


def render(numbers: Iterable[int]) -> str:
    """`1,3-5`: neighbours as a range."""
    parts: list[str] = []
    run: list[int] = []
    for number in [*sorted(set(numbers)), None]:
        if number is not None and run and number == run[-1] + 1:
            run.append(number)
            continue
        if run:
            parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
        run = [number] if number is not None else []
    return ",".join(parts)


def with_index(spec: Object, hostname: str, annotation: str) -> Object:
    """The pod's host name and the JOB_COMPLETION_INDEX variable of its containers."""
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{annotation}']"}}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}

    def told(container: Object) -> Object:
        env = container.get("env") or []
        if any(entry["name"] == variable["name"] for entry in env):
            return container
        return {**container, "env": [*env, variable]}

    result = {**spec, "hostname": hostname[:63]}
    for key in ("containers", "initContainers"):
        if spec.get(key):
            result[key] = [told(container) for container in spec[key]]
    return result
