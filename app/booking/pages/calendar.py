"""A place's calendar as a table of days that can be picked without a script: pure."""

from calendar import Calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Day:
    """A day of the table; `pick`: the query that a click on it asks for, "" where it cannot be picked."""

    date: date
    in_month: bool
    taken: bool
    chosen: bool
    pick: str


@dataclass(frozen=True)
class Month:
    """A month: its first day, and its weeks of seven days, Monday first."""

    first: date
    weeks: list[list[Day]]


def month_after(month: date) -> date:
    """The first day of the month after the one that begins with `month`."""
    return (month + timedelta(days=31)).replace(day=1)


def months(
    *,
    first: date,
    count: int,
    today: date,
    taken: Iterable[tuple[date, date]],
    check_in: date | None = None,
    check_out: date | None = None,
) -> list[Month]:
    """`count` months from that of `first`. taken: [check-in, check-out) of what is booked.

    A click on a free day picks the check-in; the next, on a later day with no booking between, the check-out.
    """
    nights = {begin + timedelta(days=n) for begin, end in taken for n in range((end - begin).days)}
    waiting = check_in if check_in and not check_out else None  # picked, and the check-out is not
    last = min((night for night in nights if waiting and night >= waiting), default=date.max)

    def day(each: date, month: date) -> Day:
        pick = ""
        if waiting and waiting < each <= last:
            pick = f"check_in={waiting}&check_out={each}"
        elif each >= today and each not in nights:
            pick = f"check_in={each}"
        chosen = each == check_in or bool(check_in and check_out and check_in <= each < check_out)
        return Day(each, each.month == month.month, each in nights, chosen, pick)

    found, month = [], first.replace(day=1)
    for _ in range(count):
        weeks = Calendar().monthdatescalendar(month.year, month.month)
        found.append(Month(month, [[day(each, month) for each in week] for week in weeks]))
        month = month_after(month)
    return found
