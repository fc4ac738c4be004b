"""The report: one HTML file that needs nothing else, with its plots as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from tests.bench.figures import Figure, Growth, Timeline

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 1000.0, 240.0, 60.0, 24.0, 30.0
RIGHT = 180.0  # of a growth: the names of its lines
# Times are drawn on a logarithmic scale between these (seconds): answers, and runs.
FASTEST, SLOWEST = 0.001, 20.0
SHORTEST, LONGEST = 0.1, 200.0


def x(timeline: Timeline, seconds: float) -> float:
    """Where an instant lies across the plot."""
    return LEFT + seconds / timeline.length * (WIDTH - LEFT)


def y(seconds: float, least: float = FASTEST, most: float = SLOWEST) -> float:
    """Where a time lies, the slow ones at the top."""
    share = math.log(min(max(seconds, least), most) / least) / math.log(most / least)
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def ticks(timeline: Timeline) -> list[float]:
    """The instants that bear a label: whole seconds, at most twenty."""
    step = max(1, math.ceil(timeline.length / 20))
    return [float(second) for second in range(0, int(timeline.length) + 1, step)]


def across(growth: Growth, at: float) -> float:
    """Where a number lies across the plot of a growth, which begins at none."""
    return LEFT + at / growth.at[-1] * (WIDTH - LEFT - RIGHT)


def render(
    facts: Sequence[tuple[str, str]], figures: Sequence[Figure], timelines: Sequence[Timeline] = (),
    growths: Sequence[Growth] = (),
) -> str:
    """The report's HTML. *facts*: what the figures were measured on, as (name, value)."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        facts=facts, rows=[figure.row() for figure in figures], timelines=timelines, growths=growths, x=x, y=y,
        ticks=ticks, across=across,
        width=WIDTH, height=HEIGHT, left=LEFT, top=TOP, bottom=HEIGHT - BOTTOM,
        shortest=SHORTEST, longest=LONGEST, runs=[(0.1, "0.1 s"), (1.0, "1 s"), (10.0, "10 s"), (100.0, "100 s")],
        scale=[(0.001, "1 ms"), (0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"), (10.0, "10 s")],
    )
