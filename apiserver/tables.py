"""Server-side printing: the Table (meta.k8s.io) of any resource, with Kubernetes's own columns and wording.

Each kind's columns and cells are in `tables_<area>.py`. Cells of wide columns (priority 1) are always filled in;
clients hide them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from apimachinery.resources import Resource
from apiserver.tables_format import Printer, age, printer

Object = dict[str, Any]


def _created(obj: Object, now: datetime) -> list[Any]:
    metadata = obj["metadata"]
    return [metadata.get("name", ""), metadata.get("creationTimestamp", "<unknown>")]


def _named(obj: Object, now: datetime) -> list[Any]:
    metadata = obj["metadata"]
    return [metadata.get("name", ""), age(metadata.get("creationTimestamp"), now)]


def _scaled(obj: Object, now: datetime) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    name, since = _named(obj, now)
    return [name, spec.get("replicas", 0), status.get("replicas", 0), since]


_SCALE = printer("Name|Desired#|Available#|Age", _scaled)
#: Built-in kinds without columns of their own, and custom ones that declare none.
_CREATED_AT = printer("Name|Created At@", _created)
_NAME_AGE = printer("Name|Age@", _named)


@cache
def _printers() -> dict[tuple[str, str], Printer]:
    """All printers by group and plural. Loaded when the first table is made."""
    from apiserver import tables_access, tables_apps, tables_cluster, tables_core, tables_network, tables_pods

    found: dict[tuple[str, str], Printer] = {}
    for module in (tables_pods, tables_core, tables_apps, tables_network, tables_access, tables_cluster):
        found.update(module.PRINTERS)
    return found


def _printer(resource: Resource) -> Printer:
    own = _printers().get((resource.group, resource.plural)) if not resource.custom else None
    return own or (_NAME_AGE if resource.custom else _CREATED_AT)


def columns(resource: Resource) -> list[Object]:
    """The TableColumnDefinitions of a resource: name, type, format, description, priority."""
    return list(_printer(resource).columns)


def rows(
    resource: Resource,
    objects: Sequence[Object],
    now: datetime,
    include_object: str = "Metadata",
    version: str = "v1",
) -> list[Object]:
    """The TableRows of objects. `include_object` is None, Metadata or Object, as the query parameter has it."""
    chosen = _printer(resource)
    result: list[Object] = []
    for obj in objects:
        row: Object = {"cells": chosen.cells(obj, now)}
        if chosen.conditions is not None:
            conditions = chosen.conditions(obj)
            if conditions:
                row["conditions"] = conditions
        row["object"] = _shown(obj, include_object, version)
        result.append(row)
    return result


def _shown(obj: Object, include: str, version: str) -> Object | None:
    """The object of a row, as much of it as was asked for."""
    if include == "None":
        return None
    if include == "Object":
        return obj
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }


def table(
    resource: Resource,
    objects: Sequence[Object],
    *,
    version: str = "v1",
    revision: str = "",
    include: str = "Metadata",
    list_meta: Object | None = None,
    now: datetime | None = None,
) -> Object:
    """A Table of `objects`. `list_meta` or else `revision` gives its metadata; `now` is the current time if None."""
    if list_meta is None:
        list_meta = {"resourceVersion": revision} if revision else {}
    moment = datetime.now(UTC) if now is None else now
    return _table(columns(resource), rows(resource, objects, moment, include, version), list_meta, version)


def of_scale(scale: Object, version: str, include: str = "Metadata") -> Object:
    """The Table of a Scale, whoever's it is."""
    metadata = scale["metadata"]
    list_meta = {"resourceVersion": metadata["resourceVersion"]} if "resourceVersion" in metadata else {}
    cells = _SCALE.cells(scale, datetime.now(UTC))
    return assembled(list(_SCALE.columns), [scale], [cells], list_meta, include, version)


def assembled(
    definitions: list[Object],
    objects: Sequence[Object],
    cells: Sequence[list[Any]],
    list_meta: Object,
    include: str,
    version: str,
) -> Object:
    """A Table of custom resources, whose columns and cells are made elsewhere."""
    found = [
        {"cells": row, "object": _shown(obj, include, version)}
        for row, obj in zip(cells, objects, strict=True)
    ]
    return _table(definitions, found, list_meta, version)


def _table(definitions: list[Object], found: list[Object], list_meta: Object, version: str) -> Object:
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": list_meta,
        "columnDefinitions": definitions,
        "rows": found,
    }
