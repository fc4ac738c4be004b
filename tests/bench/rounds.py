"""One round of each: deploys and rollbacks by the engine, alone and under load, then the naive reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deploy.release.plan import Action
from tests.bench.figures import Timeline, timeline
from tests.bench.naive import Naive
from tests.fleet import commits
from tests.fleet.load import Load, Result
from tests.fleet.site import Run, Site

SETTLE_SECONDS = 2.0
LOCK = "app/requirements.txt"
MIGRATIONS = "app/booking/listings/migrations"


@dataclass
class Plan:
    """The commits of a bench, built before anything is measured: the one to return to, and one a round of each."""

    base: str
    code: list[str] = field(default_factory=list)
    cold: list[str] = field(default_factory=list)
    migration: list[str] = field(default_factory=list)
    dependencies: list[str] = field(default_factory=list)
    load: list[str] = field(default_factory=list)

    @property
    def every(self) -> list[str]:
        """All of them."""
        return [self.base, *self.code, *self.cold, *self.migration, *self.dependencies, *self.load]


@dataclass
class Measured:
    """What the rounds gave: values by name of the figure, the load's results, the last timeline of each kind."""

    values: dict[str, list[float]] = field(default_factory=dict)
    during: list[Result] = field(default_factory=list)
    timelines: dict[str, Timeline] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """One more value."""
        self.values.setdefault(name, []).append(value)


def make(rounds: int) -> Plan:
    """The commits of a bench."""
    last = commits.last_migration()
    made = Plan(commits.make("to return to"))
    for number in range(rounds):
        made.code.append(commits.make(f"code {number}"))
        made.cold.append(commits.make(f"cold {number}"))
        made.load.append(commits.make(f"under load {number}"))
        name = f"{MIGRATIONS}/{int(last[:4]) + 1:04}_test_bench.py"
        nothing = commits.migration('migrations.RunSQL("SELECT 1")', after=last, declares='EXPAND = "changes nothing"')
        made.migration.append(commits.make(f"migration {number}", {name: nothing}))
        # Dependencies go by the lock's bytes: a comment more, and all of them are new.
        lock = f"{commits.present(LOCK)}# bench {number}\n"
        made.dependencies.append(commits.make(f"dependencies {number}", {LOCK: lock}))
    return made


def done(run: Run) -> Run:
    """A run that must end well."""
    code = run.end()
    if code:
        raise RuntimeError(f"it ended with {code}:\n{run.said}")
    return run


def engine(site: Site, made: Plan, number: int, found: Measured) -> None:
    """One round of the engine, with no clients but its own probe: each kind of deploy, and each kind of rollback."""
    base = commits.release(made.base)

    def deploy(commit: str) -> float:
        return until_switched(done(site.start("deploy", "--ref", commit)))

    found.add("deploy, code only", deploy(made.code[number]))
    took = rollback(site, base)
    found.add("rollback, warm: the command", took)
    found.add("rollback, warm: the switch", site.ledger(site.web[0])[-1]["seconds"][Action.SWAP.value])

    deploy(made.cold[number])
    for name in site.web:
        for activation in site.status(name)["warm"]:
            site.helper(name, "cool", activation)
    run = done(site.start("rollback"))
    took = site.ledger(site.web[0])[-1]["seconds"]
    switched = run.step_ends()[Action.SWAP.value] - run.step_ends()[Action.BEGIN.value]
    found.add("rollback, cold, of start to ready", switched / took[Action.START.value])

    found.add("deploy, with a migration", deploy(made.migration[number]))
    rollback(site, base)
    site.sql("DELETE FROM django_migrations WHERE app = 'listings' AND name LIKE '%_test_%'")

    seconds = deploy(made.dependencies[number])
    found.add("deploy, new dependencies, of code only", seconds / found.values["deploy, code only"][-1])
    rollback(site, base)


def under_load(site: Site, load: Load, made: Plan, number: int, found: Measured) -> None:
    """One round of a deploy and a rollback while clients come: what they see of it, and what they cost it."""
    base, new = (commits.release(commit) for commit in (made.base, made.load[number]))

    def plot(title: str, run: Run, brought: str) -> None:
        ends = run.step_ends()
        marks = [(at, name) for name, at in ends.items() if name.split()[0] in {"stage", "start", "swap", "end"}]
        found.timelines[title] = timeline(title, load.results, brought, run.began, marks, run.times[-1])

    run = done(site.start("deploy", "--ref", made.load[number]))
    load.settle(SETTLE_SECONDS)
    found.add("deploy, code only, under load", until_switched(run))
    found.during += [each for each in load.results if run.began <= each.at <= run.times[-1]]
    plot("A deploy", run, new)
    run = done(site.start("rollback"))
    load.settle(SETTLE_SECONDS)
    found.add("rollback, warm: the command, under load", run.times[-1] - run.began)
    found.during += [each for each in load.results if run.began <= each.at <= run.times[-1]]
    plot("A rollback", run, base)
    if site.everywhere() != {base}:
        raise RuntimeError(f"rolled back to {site.everywhere()}, not to {base}")


def until_switched(run: Run) -> float:
    """Seconds of a deploy from the start of staging until every web host serves the release."""
    ends = run.step_ends()
    return max(at for title, at in ends.items() if title.startswith(Action.SWAP.value)) - ends[Action.BEGIN.value]


def rollback(site: Site, to: str) -> float:
    """A rollback, which has to end at a release; the seconds that the command took."""
    began = time.monotonic()
    done(site.start("rollback"))
    took = time.monotonic() - began
    if site.everywhere() != {to}:
        raise RuntimeError(f"rolled back to {site.everywhere()}, not to {to}")
    return took


def reference(naive: Naive, load: Load, made: Sequence[str], number: int, found: Measured) -> None:
    """One round of the naive script."""
    before = len(load.results)
    began = time.monotonic()
    naive.deploy(made[number])
    ended = time.monotonic()
    load.settle(SETTLE_SECONDS)
    found.add("naive: pull, pip install, restart", ended - began)
    found.add("naive: failed requests", sum(each.failed for each in load.results[before:]))
    title = "The naive reference"
    new = commits.release(made[number])
    found.timelines[title] = timeline(title, load.results, new, began, [], ended, SETTLE_SECONDS)


def repeated(count: int, one: Callable[[int], None], what: str) -> None:
    """The rounds, told as they go."""
    for number in range(count):
        began = time.monotonic()
        one(number)
        print(f"{what}, round {number + 1} of {count}: {time.monotonic() - began:.0f} s", flush=True)
