"""The report: one HTML file that needs nothing else, with its plots as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from tests.bench.figures import Figure, Timeline

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 1000.0, 240.0, 60.0, 24.0, 30.0
# Answer times are drawn on a logarithmic scale between these (seconds).
FASTEST, SLOWEST = 0.001, 20.0


def x(timeline: Timeline, seconds: float) -> float:
    """Where an instant lies across the plot."""
    return LEFT + seconds / timeline.length * (WIDTH - LEFT)


def y(seconds: float) -> float:
    """Where an answer time lies, the slow ones at the top."""
    share = math.log(min(max(seconds, FASTEST), SLOWEST) / FASTEST) / math.log(SLOWEST / FASTEST)
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


def ticks(timeline: Timeline) -> list[float]:
    """The instants that bear a label: whole seconds, at most twenty."""
    step = max(1, math.ceil(timeline.length / 20))
    return [float(second) for second in range(0, int(timeline.length) + 1, step)]


def render(facts: Sequence[tuple[str, str]], figures: Sequence[Figure], timelines: Sequence[Timeline]) -> str:
    """The report's HTML. *facts*: what the figures were measured on, as (name, value)."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        facts=facts, rows=[figure.row() for figure in figures], timelines=timelines, x=x, y=y, ticks=ticks,
        width=WIDTH, height=HEIGHT, left=LEFT, top=TOP, bottom=HEIGHT - BOTTOM,
        scale=[(0.001, "1 ms"), (0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"), (10.0, "10 s")],
    )
