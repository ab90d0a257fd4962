"""Cron schedules: what they mean, what is refused, and when they are due next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery import cronschedule

START = datetime(2024, 2, 28, 23, 58, 30, tzinfo=ZoneInfo("UTC"))  # a Wednesday in a leap year


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2024-02-28 23:59"),
        ("*/5 * * * *", "2024-02-29 00:00"),
        ("0 9 * * mon-fri", "2024-02-29 09:00"),
        ("0 0 29 2 *", "2024-02-29 00:00"),
        ("30 4 1 jan *", "2025-01-01 04:30"),
        ("0 0 13 * 5", "2024-03-01 00:00"),  # the 13th, or a Friday
        ("0 0 */2 * 1", "2024-03-11 00:00"),  # a star with a step counts as a star: both must hold
        ("15,45 8-10/2 * * *", "2024-02-29 08:15"),
        ("@hourly", "2024-02-29 00:00"),
        ("@weekly", "2024-03-03 00:00"),
        ("@yearly", "2025-01-01 00:00"),
        ("0 0 31 4 *", None),
    ],
)
def test_next(text: str, expected: str | None) -> None:
    due = cronschedule.parse(text).next(START)
    assert (due.strftime("%Y-%m-%d %H:%M") if due else None) == expected


def test_every() -> None:
    assert cronschedule.parse("@every 1h30m").next(START) == START + timedelta(minutes=90)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty spec string"),
        ("* * * *", r"expected exactly 5 fields, found 4: \[\* \* \* \*\]"),
        ("60 * * * *", r"end of range \(60\) above maximum \(59\): 60"),
        ("* * 0 * *", r"beginning of range \(0\) below minimum \(1\): 0"),
        ("5-2 * * * *", r"beginning of range \(5\) beyond end of range \(2\): 5-2"),
        ("*/0 * * * *", "step of range should be a positive number"),
        ("1/2/3 * * * *", "too many slashes"),
        ("1-2-3 * * * *", "too many hyphens"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every soon", 'time: invalid duration "soon"'),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cronschedule.parse(text)


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 59),
    st.integers(0, 23),
    st.integers(0, 6),
)
def test_the_next_time_is_the_first_that_matches(
    moment: datetime, minute: int, hour: int, weekday: int
) -> None:
    due = cronschedule.parse(f"{minute} {hour} * * {weekday}").next(moment)
    assert due is not None
    assert (due.minute, due.hour, due.isoweekday() % 7) == (minute, hour, weekday)
    assert timedelta(0) < due - moment <= timedelta(days=7)
