"""When a job of cron is due: the five fields of crontab(5), in numbers.

Shipped to the hosts as it is (role cron), so it takes nothing but the standard library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
_PART = re.compile(r"(?:(?P<star>\*)|(?P<first>\d+)(?:-(?P<last>\d+))?)(?:/(?P<step>\d+))?", re.ASCII)
# 29 February of a given weekday comes round within 40 years, also over a year like 2100 that has none.
_LONGEST_DAYS = 40 * 366


class ScheduleError(ValueError):
    """A schedule that is none, or that is never due."""


@dataclass(frozen=True)
class Schedule:
    """The minutes at which something is due, by local time. either: one of the two days has to match, not both."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def latest(self, moment: datetime) -> datetime:
        """The last minute at or before *moment* at which it is due. ScheduleError: there is none."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(_LONGEST_DAYS):
            if self._on(day):
                for hour in sorted(self.hours, reverse=True):
                    for minute in sorted(self.minutes, reverse=True):
                        if (due := day.replace(hour=hour, minute=minute)) <= moment:
                            return due
            day -= timedelta(days=1)
        raise ScheduleError("no such day ever comes")

    def _on(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


def parse(text: str) -> Schedule:
    """A schedule such as `*/5 * * * *`: numbers, `*`, ranges, steps, and lists of them. ScheduleError: something else.

    As cron has it, where both the day of the month and that of the week are restricted, either is enough.
    """
    words = text.split()
    if len(words) != len(_FIELDS):
        named = ", ".join(name for name, _, _ in _FIELDS)
        raise ScheduleError(f"has {len(words)} fields where five are expected: {named}")
    minutes, hours, days, months, weekdays = (
        _values(word, *field) for word, field in zip(words, _FIELDS, strict=True)
    )
    found = Schedule(
        minutes, hours, days, months, frozenset(day % 7 for day in weekdays),
        either=not (words[2].startswith("*") or words[4].startswith("*")),
    )  # fmt: skip
    found.latest(datetime(2400, 12, 31, 23, 59))  # noqa: DTZ001 - local time, like all of this
    return found


def _values(word: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None or (match["step"] and not match["star"] and not match["last"]):
            raise ScheduleError(f"the {name} {word!r} is not made of numbers, ranges (1-5), * and steps (*/5)")
        first = low if match["star"] else int(match["first"])
        last = high if match["star"] else int(match["last"] or match["first"])
        step = int(match["step"] or 1)
        if not (low <= first <= last <= high and step):
            raise ScheduleError(f"the {name} {word!r} is not within {low} to {high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)
