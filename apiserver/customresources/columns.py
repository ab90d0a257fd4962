"""Tables of custom resources: the definition's printer columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from apiserver.customresources import jsonpath
from apiserver.tables_format import human_duration, moment

Object = dict[str, Any]

_NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may allow a client to request the generation of an appropriate name automatically. Name is primarily "
    "intended for creation idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    "priority": 0,
}
_AGE: Object = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_CREATED = "Custom resource definition column (in JSONPath format): "


class Columns:
    """The columns of one version: the name first, then its own, or the age where it has none."""

    def __init__(self, columns: Sequence[Object]) -> None:
        own = list(columns) or [_AGE]
        self._columns = [(column["type"], jsonpath.compile_path(column["jsonPath"])) for column in own]
        self.definitions = [_NAME, *map(_definition, own)]

    def cells(self, obj: Object, now: datetime) -> list[Any]:
        cells: list[Any] = [obj["metadata"].get("name", "")]
        for kind, path in self._columns:
            found = jsonpath.find(path, obj)
            cells.append(_cell(kind, found, now) if found else None)
        return cells


def _definition(column: Object) -> Object:
    return {
        "name": column["name"],
        "type": column["type"],
        "format": column.get("format") or "",
        "description": column.get("description") or _CREATED + column["jsonPath"],
        "priority": int(column.get("priority") or 0),
    }


def _cell(kind: str, found: list[Any], now: datetime) -> Any:
    """A cell as Kubernetes has it: of a value of another type than the column's nothing is shown."""
    value = found[0]
    if kind == "string":
        return ",".join(map(_text, found)) if len(found) > 1 else (None if value is None else _text(value))
    if kind == "date":
        if not isinstance(value, str):
            return None
        time = moment(value)
        return "<invalid>" if time is None else human_duration((now - time).total_seconds())
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if kind == "integer" else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
