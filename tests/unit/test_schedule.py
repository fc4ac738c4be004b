"""deploy.schedule: when a job of cron is due."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from deploy.schedule import ScheduleError, parse


def local(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - cron goes by local time


NOW = local(2026, 11, 21, 16, 40, 59, 999)  # a Saturday


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("* * * * *", local(2026, 11, 21, 16, 40)),
        ("*/5 * * * *", local(2026, 11, 21, 16, 40)),
        ("*/7 * * * *", local(2026, 11, 21, 16, 35)),
        ("7 * * * *", local(2026, 11, 21, 16, 7)),
        ("41 * * * *", local(2026, 11, 21, 15, 41)),
        ("23 3 * * *", local(2026, 11, 21, 3, 23)),
        ("0 17-19,2 * * *", local(2026, 11, 21, 2, 0)),
        ("1-10/4 16 * * *", local(2026, 11, 21, 16, 9)),
        ("0 0 31 * *", local(2026, 10, 31)),
        ("0 0 * * 0", local(2026, 11, 15)),
        ("0 0 * * 7", local(2026, 11, 15)),
        ("0 0 29 2 *", local(2024, 2, 29)),
        ("0 0 1 12 *", local(2025, 12, 1)),
        ("59 23 31 12 *", local(2025, 12, 31, 23, 59)),
    ],
)
def test_the_last_time_at_which_a_job_was_due_is_found(text: str, due: datetime) -> None:
    assert parse(text).latest(NOW) == due


def test_where_both_days_are_restricted_either_is_enough_as_cron_has_it() -> None:
    assert parse("0 0 1 * 5").latest(NOW) == local(2026, 11, 20), "the last Friday"
    assert parse("0 0 20 * 1").latest(NOW) == local(2026, 11, 20), "the 20th"
    assert parse("0 0 */2 * 1").latest(NOW) == local(2026, 11, 9), "a star restricts nothing: both have to match"


def test_every_minute_of_a_day_is_told_as_a_plain_search_tells_it() -> None:
    schedule = parse("*/9 1-5,20 * * *")
    due = local(2026, 11, 20, 20, 54)
    for minute in range(24 * 60):
        moment = local(2026, 11, 21) + timedelta(minutes=minute)
        if moment.hour in (1, 2, 3, 4, 5, 20) and moment.minute % 9 == 0:
            due = moment
        assert schedule.latest(moment) == due


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("* * * *", "has 4 fields where five are expected: minute, hour, day of the month"),
        ("@daily", "has 1 fields"),
        ("60 * * * *", "the minute '60' is not within 0 to 59"),
        ("* 24 * * *", "the hour '24'"),
        ("* * 0 * *", "the day of the month '0' is not within 1 to 31"),
        ("* * * 13 *", "the month '13'"),
        ("* * * * 8", "the day of the week '8' is not within 0 to 7"),
        ("*/0 * * * *", "the minute '\\*/0'"),
        ("5-1 * * * *", "the minute '5-1'"),
        ("5/2 * * * *", "is not made of numbers"),
        ("* * * jan *", "is not made of numbers"),
        ("1,, * * * *", "is not made of numbers"),
        ("-1 * * * *", "is not made of numbers"),
        ("0 0 30 2 *", "no such day ever comes"),
    ],
)
def test_what_is_no_schedule_or_never_due_is_refused_with_the_field(text: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        parse(text)
