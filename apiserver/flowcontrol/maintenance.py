"""What has to be written to keep the default objects, and the status of all, as they must be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from apiserver.flowcontrol import defaults
from apiserver.flowcontrol.schema import EXEMPT

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """One write: a new object, a changed one, or its changed status."""

    object: Object
    create: bool = False
    status: bool = False


def plan(levels: Iterable[Object], schemas: Iterable[Object], now: str) -> list[Write]:
    """The writes for the present objects; `now` is the time conditions change at."""
    present_levels, present_schemas = _by_name(levels), _by_name(schemas)
    writes = list(_defaults(defaults.levels(), present_levels))
    writes += _defaults(defaults.schemas(), present_schemas)
    there = present_levels.keys() | {
        w.object["metadata"]["name"] for w in writes if w.create and _is_level(w)
    }
    for schema in present_schemas.values():
        changed = _with_condition(schema, there, now)
        if changed is not None:
            writes.append(Write(changed, status=True))
    return writes


def effective(levels: Iterable[Object], schemas: Iterable[Object]) -> tuple[list[Object], list[Object]]:
    """The objects that flow control goes by: those there are, and the mandatory ones even where they are not."""
    return (
        [*_mandatory(defaults.levels(), present := list(levels)), *present],
        [*_mandatory(defaults.schemas(), given := list(schemas)), *given],
    )


def _mandatory(wanted: Iterable[Object], present: list[Object]) -> Iterator[Object]:
    there = {obj["metadata"]["name"] for obj in present}
    for default in wanted:
        name = default["metadata"]["name"]
        if name in defaults.MANDATORY and name not in there:
            yield default


def _by_name(objects: Iterable[Object]) -> dict[str, Object]:
    return {obj["metadata"]["name"]: obj for obj in objects}


def _is_level(write: Write) -> bool:
    return bool(write.object["kind"] == "PriorityLevelConfiguration")


def _defaults(wanted: Iterable[Object], present: dict[str, Object]) -> Iterator[Write]:
    for default in wanted:
        name = default["metadata"]["name"]
        current = present.get(name)
        if current is None:
            yield Write(default, create=True)
        elif (changed := _kept(current, default)) is not None:
            yield Write(changed)


def _kept(current: Object, default: Object) -> Object | None:
    """A default object as it has to be; None where it is. Mandatory ones are kept whatever their annotation says.

    Others are when it says so; where it says nothing, when nobody has changed the object since it was made.
    """
    metadata = current["metadata"]
    said = (metadata.get("annotations") or {}).get(defaults.AUTOUPDATE, "")
    keep = metadata["name"] in defaults.MANDATORY or said == "true"
    if not keep and said != "false":
        keep = metadata.get("generation", 1) == 1
    spec = current.get("spec") or {}
    wanted_spec = _wanted_spec(spec, default) if keep else spec
    wanted_said = "true" if keep else "false"
    if wanted_spec == spec and said == wanted_said:
        return None
    annotations = {**(metadata.get("annotations") or {}), defaults.AUTOUPDATE: wanted_said}
    return current | {"metadata": metadata | {"annotations": annotations}, "spec": wanted_spec}


def _wanted_spec(spec: Object, default: Object) -> Object:
    wanted: Object = default["spec"]
    if default["kind"] == "PriorityLevelConfiguration" and default["metadata"]["name"] == EXEMPT:
        # How much it reserves is the administrator's to say.
        return wanted | {"exempt": spec.get("exempt") or wanted["exempt"]}
    return wanted


def _with_condition(schema: Object, levels: set[str], now: str) -> Object | None:
    """The schema with the condition Dangling as it has to be; None where it is."""
    level = ((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name", "")
    found = level in levels
    text = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}" '
    wanted = {
        "type": "Dangling",
        "status": "False" if found else "True",
        "reason": "Found" if found else "NotFound",
        "message": text + ("and it exists" if found else "but there is no such object"),
    }
    status = schema.get("status") or {}
    conditions = list(status.get("conditions") or ())
    at = next((i for i, c in enumerate(conditions) if c.get("type") == "Dangling"), len(conditions))
    if at < len(conditions) and all(conditions[at].get(key) == value for key, value in wanted.items()):
        return None
    conditions[at : at + 1] = [wanted | {"lastTransitionTime": now}]
    return schema | {"status": status | {"conditions": conditions}}
