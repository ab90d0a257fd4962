"""How tables word things: columns, ages, selectors, ports, access modes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Object = dict[str, Any]
NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"


@dataclass(frozen=True, slots=True)
class Printer:
    """A kind's columns, its cells at a moment, and optionally the conditions of a row."""

    columns: tuple[Object, ...]
    cells: Callable[[Object, datetime], list[Any]]
    conditions: Callable[[Object], list[Object]] | None = None


_TYPES = {"#": "integer", "?": "boolean", "@": "date"}


def printer(
    columns: str,
    cells: Callable[[Object, datetime], list[Any]],
    conditions: Callable[[Object], list[Object]] | None = None,
) -> Printer:
    """A printer. `columns` are names with `|` between; a `+` before one makes it wide, `#`, `?` or `@` after it
    make it an integer, a boolean or a date."""
    return Printer(tuple(map(_column, columns.split("|"))), cells, conditions)


def _column(text: str) -> Object:
    wide = text.startswith("+")
    kind = _TYPES.get(text[-1], "string")
    name = text.lstrip("+").rstrip("#?@")
    return {
        "name": name,
        "type": kind,
        "format": "name" if name == "Name" and not wide else "",
        "description": "",
        "priority": 1 if wide else 0,
    }


def human_duration(seconds: float) -> str:
    """A duration as kubectl shows it: `5s`, `3m20s`, `2d4h`, `1y30d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes = whole // 60
    if minutes < 10:
        rest = whole % 60
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        rest = minutes % 60
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        rest = hours % 24
        return f"{hours // 24}d{rest}h" if rest else f"{hours // 24}d"
    if hours < 24 * 365 * 2:
        return f"{hours // 24}d"
    days = hours // 24
    rest = days % 365
    if hours < 24 * 365 * 8 and rest:
        return f"{days // 365}y{rest}d"
    return f"{days // 365}y"


def moment(text: Any) -> datetime | None:
    """A timestamp (RFC 3339), or None where there is none or it cannot be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def age(text: Any, now: datetime) -> str:
    """How long ago a timestamp was."""
    found = moment(text)
    return UNKNOWN if found is None else human_duration((now - found).total_seconds())


def created(obj: Object, now: datetime) -> str:
    """The age of an object."""
    return age(obj["metadata"].get("creationTimestamp"), now)


def name(obj: Object) -> str:
    result: str = obj["metadata"].get("name", "")
    return result


def boolean(value: Any) -> str:
    """An optional boolean as text."""
    return UNSET if value is None else str(bool(value))


def labels(values: Mapping[str, str] | None) -> str:
    """`a=1,b=2` by key, or `<none>`."""
    if not values:
        return NONE
    return ",".join(f"{key}={values[key]}" for key in sorted(values))


def label_selector(selector: Object | None) -> str:
    """A LabelSelector as `kubectl get -l` takes it, or `<none>`."""
    if not selector:
        return NONE
    parts = {key: f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()}
    texts = list(parts.items())
    for term in selector.get("matchExpressions") or ():
        key, values = term.get("key", ""), ",".join(sorted(term.get("values") or ()))
        wording = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        texts.append((key, wording.get(term.get("operator"), "<invalid>")))
    return ",".join(text for _, text in sorted(texts)) or NONE


def containers(pod_spec: Object) -> tuple[str, str]:
    """The names and images of a pod template's containers."""
    found = pod_spec.get("containers") or ()
    return ",".join(c.get("name", "") for c in found), ",".join(c.get("image", "") for c in found)


def template(obj: Object) -> tuple[str, str]:
    """The same of an object's `spec.template`."""
    return containers(((obj.get("spec") or {}).get("template") or {}).get("spec") or {})


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def access_modes(modes: Iterable[str] | None) -> str:
    """`RWO,RWX`, in the fixed order of the modes."""
    given = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def condition(obj: Object, kind: str) -> Object | None:
    """A condition of an object's status."""
    conditions: Sequence[Object] = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), None)


def is_true(found: Object | None) -> bool:
    return found is not None and found.get("status") == "True"


def shortened(items: Sequence[str], limit: int, *, separator: str = ",", nothing: str = NONE) -> str:
    """The first items, and how many more there are."""
    if not items:
        return nothing
    text = separator.join(items[:limit])
    return f"{text} + {len(items) - limit} more..." if len(items) > limit else text
