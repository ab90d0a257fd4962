"""Cron schedules, as robfig/cron's standard parser reads them: five fields, names, steps, and `@every` forms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

_MONTHS = {
    name: i
    for i, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
_DAYS = {name: i for i, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 6, _DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_DURATION = re.compile(r"(?:(\d+(?:\.\d*)?)h)?(?:(\d+(?:\.\d*)?)m)?(?:(\d+(?:\.\d*)?)s)?")
#: No schedule that can match at all is further away (29 February, over a skipped leap year).
_SEARCH = timedelta(days=366 * 8)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to run: either the sets of the five fields, or `every` so many seconds."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    any_weekday: bool = True
    every: int = 0

    def next(self, after: datetime, zone: tzinfo | None = None) -> datetime | None:
        """The first time after `after`, and in its zone, by the clocks of `zone` (None: the same one).

        None where the schedule never matches. What falls in an hour that clocks skip does not come; what falls in
        one they repeat comes twice.
        """
        if self.every:
            return after.replace(microsecond=0) + timedelta(seconds=self.every)
        zone = zone or after.tzinfo
        instant = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        limit = instant + _SEARCH
        while instant < limit:
            clock = instant.astimezone(zone)
            if clock.month not in self.months or not self._on(clock):
                tomorrow = clock.replace(hour=0, minute=0, fold=0) + timedelta(days=1)
                instant = tomorrow.astimezone(UTC)
            elif clock.hour not in self.hours:
                instant += timedelta(minutes=60 - clock.minute)
            elif clock.minute not in self.minutes:
                instant += timedelta(minutes=1)
            else:
                return instant.astimezone(after.tzinfo)
        return None

    def _on(self, day: datetime) -> bool:
        """Day of month and day of week: either is enough where both are restricted."""
        by_day = day.day in self.days
        by_weekday = day.isoweekday() % 7 in self.weekdays
        if self.any_day or self.any_weekday:
            return by_day and by_weekday
        return by_day or by_weekday


@lru_cache(maxsize=256)
def parse(text: str) -> Schedule:
    """The schedule written as `text`. Raises ValueError in robfig/cron's words."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith("@"):
        if text in _DESCRIPTORS:
            return parse(_DESCRIPTORS[text])
        if text.startswith("@every "):
            return Schedule(every=_seconds(text, text.removeprefix("@every ")))
        raise ValueError(f"unrecognized descriptor: {text}")
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (
        _field(value, *bounds[1:]) for value, bounds in zip(fields, _FIELDS, strict=True)
    )
    return Schedule(
        minutes, hours, days, months, weekdays, any_day=fields[2][0] in "*?", any_weekday=fields[4][0] in "*?"
    )


def _seconds(text: str, duration: str) -> int:
    match = _DURATION.fullmatch(duration)
    if not duration or match is None:
        raise ValueError(f'failed to parse duration {text}: time: invalid duration "{duration}"')
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return max(1, int(hours * 3600 + minutes * 60 + seconds))


def _field(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        values |= set(_range(part, low, high, names))
    return frozenset(values)


def _range(text: str, low: int, high: int, names: dict[str, int]) -> range:
    span, slash, step_text = text.partition("/")
    if "/" in step_text:
        raise ValueError(f"too many slashes: {text}")
    start_text, dash, end_text = span.partition("-")
    if "-" in end_text:
        raise ValueError(f"too many hyphens: {text}")
    if start_text in ("*", "?"):
        start, end = low, high
    else:
        start = _number(start_text, names)
        end = _number(end_text, names) if dash else (high if slash else start)
    step = _number(step_text, {}) if slash else 1
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step)


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch("[0-9]+", text, re.ASCII):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def is_time_zone(name: str) -> bool:
    """Whether `name` is in the time zone database."""
    from zoneinfo import ZoneInfo  # costs a server that has no CronJobs nothing

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
