"""`python -m tests.bench --env NAME`: measure on a sandbox that stands, print the table, write the report."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy import inventory
from deploy.errors import NexusError, UsageError
from lab import state
from tests.bench import convergence, edge, overhead, rounds, service
from tests.bench.figures import Figure, Growth, Timeline
from tests.bench.naive import Naive
from tests.bench.report import render
from tests.bench.rounds import Measured
from tests.fleet import commits
from tests.fleet.load import Load, failures, quantile
from tests.fleet.site import Site

OUT = commits.ROOT / "build/bench"
# Requests a second. A hundred leave the two cores of a small sandbox less than the start of a release takes; that none
# fails then is the soak's to show.
RATE = 30
STEADY_SECONDS = 20.0
LEAST_REQUESTS = 5_000


@dataclass
class Findings:
    """What the report shows."""

    figures: list[Figure]
    timelines: Sequence[Timeline] = ()
    growths: Sequence[Growth] = ()


def of_service(site: Site, _: int) -> Findings:
    """The service and its image."""
    return Findings(service.measure(site))


def of_edge(site: Site, _: int) -> Findings:
    """The balancers."""
    return Findings(edge.measure(site))


def of_convergence(site: Site, count: int) -> Findings:
    """Convergence, on a wide sandbox that nobody has converged."""
    figures, growth = convergence.measure(site, count)
    return Findings(figures, growths=[growth])


PARTS = {"service": of_service, "edge": of_edge, "convergence": of_convergence}


def measure(site: Site, count: int) -> Findings:
    """Everything on a sandbox that serves, and the engine's own overhead beside it."""
    made, found = rounds.make(count), Measured()
    for commit in made.every:
        rounds.done(site.start("build", "--ref", commit))
    rounds.done(site.start("deploy", "--ref", made.base))
    rounds.repeated(count, lambda number: rounds.engine(site, made, number, found), "engine")
    with Load(site.fleet, RATE) as load:
        load.settle(STEADY_SECONDS)
        steady = list(load.results)
        rounds.repeated(count, lambda number: rounds.under_load(site, load, made, number, found), "engine under load")
        while len(load.results) < LEAST_REQUESTS:
            load.settle(STEADY_SECONDS)
    lost, total = len(failures(load.results)), len(load.results)
    naive = Naive(site, OUT / "wheels")
    try:
        naive.prepare([made.base, *made.code])
        naive.switch_on()
        with Load(site.fleet, RATE) as against:
            rounds.repeated(count, lambda number: rounds.reference(naive, against, made.code, number, found), "naive")
    finally:
        naive.undo()
    for hosts in overhead.SIZES:
        found.values[f"engine, {hosts} stand-in hosts"] = overhead.measure(site.env, hosts, [made.base, *made.code])
    few, many = (found.values[f"engine, {hosts} stand-in hosts"] for hosts in overhead.SIZES)
    ratio = sorted(many)[len(many) // 2] / sorted(few)[len(few) // 2]
    values = found.values
    return Findings([
        Figure("deploy, code only: from the start of staging until both serve", values["deploy, code only"], 1.5),
        Figure("deploy, with a migration: the same", values["deploy, with a migration"], 2.0),
        Figure("deploy, new dependencies: of code only", values["deploy, new dependencies, of code only"], 2.5,
               "{:.2f} x"),
        Figure("rollback, warm: web's switch", values["rollback, warm: the switch"], 0.1, "{:.3f} s"),
        Figure("rollback, warm: the command", values["rollback, warm: the command"], 1.5),
        Figure("rollback, cold: of start to ready", values["rollback, cold, of start to ready"], 1.2, "{:.2f} x"),
        Figure(f"{RATE} requests/s: failed, of {total:,}", [lost], 0, "{:.0f}"),
        Figure(f"{RATE} requests/s: p99 while deploying and rolling back: of steady",
               [quantile(found.during, 0.99) / quantile(steady, 0.99)], 2.0, "{:.2f} x"),
        Figure(f"{RATE} requests/s: deploy, code only, on the cores that serve them",
               values["deploy, code only, under load"]),
        Figure(f"{RATE} requests/s: rollback, the command", values["rollback, warm: the command, under load"]),
        Figure("engine alone, a deploy to 2 hosts that cost nothing", few),
        Figure("engine alone, 8 hosts: of 2", [ratio], 2.0, "{:.2f} x"),
        Figure(f"{RATE} requests/s: naive (pull, pip install, restart), until both serve",
               values["naive: pull, pip install, restart"]),
        Figure(f"{RATE} requests/s: naive, failed requests a deploy", values["naive: failed requests"], None, "{:.0f}"),
        *service.measure(site),
        *edge.measure(site),
    ], list(found.timelines.values()))


def facts(count: int, seconds: float, *, load: bool) -> list[tuple[str, str]]:
    """What the figures were measured on. load: whether any is measured under requests."""
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=commits.ROOT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("commit", git("rev-parse", "--short", "HEAD")),
        ("machine", f"{os.cpu_count()} cores, {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} "
                    f"GiB, Linux {platform.release()}"),
        *([("load", f"{RATE} requests a second: a fifth POSTs, half on kept connections, a tenth slow; none but the "
                    "engine's own probe where no load is named")] if load else []),
        ("rounds", f"{count} of each; medians; {seconds / 60:.1f} minutes in all"),
    ]


def main() -> int:
    """0 when every goal is reached, 1 when one is missed, 2 when there is no such sandbox, 10 when it broke off."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("--env", required=True, help="the sandbox, raised before")
    parser.add_argument("--only", default="", choices=sorted(PARTS), help="one part, with a report of its own; "
                        "convergence wants a sandbox raised by --size wide --hosts-only")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (5)")
    asked = parser.parse_args()
    try:
        return run(asked.env, asked.only, asked.rounds)
    except NexusError as error:
        print(error, file=sys.stderr)
        return error.code


def run(env: str, only: str, count: int) -> int:
    """Measure, show and write it; 0 when every goal is reached."""
    lab = state.load(env)
    if lab is None:
        raise UsageError(f"there is no sandbox {env!r}", mend=f"make up LAB={env}")
    began = time.monotonic()
    site = Site(lab, inventory.load(env), env)
    found = (PARTS[only] if only else measure)(site, count)
    table = Table(box=None, pad_edge=False)
    for column in ("what", "median", "from … to", "goal", ""):
        table.add_column(column)
    for figure in found.figures:
        table.add_row(*figure.row())
    Console(highlight=False, width=150).print(table)
    report = write(facts(count, time.monotonic() - began, load=only != "convergence"), found, only or "report")
    print(f"\n{report.relative_to(commits.ROOT)}")
    return 0 if all(figure.reached for figure in found.figures) else 1


def write(about: list[tuple[str, str]], found: Findings, name: str) -> Path:
    """Write the report; answers where it is."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.html"
    path.write_text(render(about, found.figures, found.timelines, found.growths))
    return path


if __name__ == "__main__":
    sys.exit(main())
