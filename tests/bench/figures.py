"""What is measured, as data: figures with their goals, and timelines of requests. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.fleet.load import Result


@dataclass(frozen=True)
class Figure:
    """One figure: the measured values of its rounds, what they are in, and the most that it may be (None: no goal).

    form: how a value is written, such as "{:.2f} s".
    """

    name: str
    values: Sequence[float]
    goal: float | None = None
    form: str = "{:.2f} s"

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        """Whether the goal is met; a figure without one is a comparison, and always is."""
        return self.goal is None or self.median <= self.goal

    def row(self) -> list[str]:
        """Name, median, all values, goal and verdict, as text."""
        values = sorted(self.values)
        spread = f"{self.form.format(values[0])} … {self.form.format(values[-1])}" if len(values) > 1 else ""
        if self.goal is None:
            return [self.name, self.form.format(self.median), spread, "", ""]
        return [self.name, self.form.format(self.median), spread, f"at most {self.form.format(self.goal)}",
                "reached" if self.reached else "MISSED"]


@dataclass(frozen=True)
class Dot:
    """One request in a timeline. at, seconds: in seconds from the timeline's start; kind: old, new or failed."""

    at: float
    seconds: float
    kind: str


@dataclass(frozen=True)
class Timeline:
    """The requests around one run. marks: (seconds from the start, label); length: seconds."""

    title: str
    dots: Sequence[Dot]
    marks: Sequence[tuple[float, str]]
    length: float

    @property
    def failed(self) -> int:
        """Requests that failed."""
        return sum(dot.kind == "failed" for dot in self.dots)


@dataclass(frozen=True)
class Growth:
    """How something grows. at: where it was measured, ascending; lines: what was measured there (seconds), by name."""

    title: str
    at: Sequence[int]
    lines: Mapping[str, Sequence[float]]


def timeline(
    title: str, results: Iterable[Result], new: str, began: float, marks: Sequence[tuple[float, str]], ended: float,
    around: float = 1.0,
) -> Timeline:
    """The requests from *around* seconds before a run *began* to as long after it *ended* (monotonic seconds).

    *new*: the release that the run brings; *marks*: instants with their labels.
    """
    start, end = began - around, ended + around
    dots = [
        Dot(each.at - start, each.seconds, "failed" if each.failed else "new" if each.release == new else "old")
        for each in results if start <= each.at <= end
    ]
    return Timeline(title, dots, [(at - start, label) for at, label in marks], end - start)
