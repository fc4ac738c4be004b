"""A run that is broken off, at every step of the plan: the fleet serves throughout, the next deploy completes.

Which steps there are is asked of the plan itself. A step is known to be under way when the one before it has been
printed and, where it announces itself on the host's disk before it acts, when a host says so.
"""

import time
from dataclasses import dataclass

import pytest

from deploy.release import plan
from deploy.release.plan import Action
from deploy.release.state import HostState
from lab import host as hosts
from lab import state as labs
from lab.topology import build
from tests.fleet import commits
from tests.fleet.load import describe, failures

# Requests that a host had in hand when it crashed are lost, and those of the moment until the balancer knows.
CRASH_SECONDS = 3.0

# Steps that leave the same to be put right. `make test` kills the controller once in each class, and cuts ssh and
# crashes a host in the two in which hosts change most; `make soak` does both once in each kind of step, and kills the
# controller in every step of every host. An action that is missing here fails a test.
CLASSES = {
    Action.BEGIN: "before", Action.DRAIN: "before", Action.STAGE: "before", Action.MIGRATE: "before",
    Action.START: "start",
    Action.SWAP: "switch", Action.VERIFY: "switch", Action.CANARY: "switch", Action.MEASURE: "switch",
    Action.UNDRAIN: "switch",
    Action.RETIRE: "after", Action.CLEAR: "after", Action.RECORD: "after", Action.PRUNE: "after",
}
# What each action calls itself in the host's intent.
INTENTS = {
    Action.STAGE: "stage", Action.START: "start", Action.SWAP: "swap", Action.RETIRE: "retire", Action.PRUNE: "remove",
}


@dataclass(frozen=True)
class Point:
    """Where a deploy is broken off: in the step of that *number* among *steps*. victim: the host that may be lost."""

    steps: tuple[plan.Step, ...]
    number: int
    victim: str

    @property
    def action(self):
        return self.steps[self.number].action

    @property
    def telling(self):
        """What is looked at first: a step in which a host acts, of the host that is lost before all others."""
        return self.action not in INTENTS, self.steps[self.number].hosts != (self.victim,), self.number

    def __str__(self):
        return f"{self.number:02}-{self.steps[self.number].title.replace(' ', '-')}"


def every_point(env):
    """The steps of a deploy to the web hosts of a sandbox, as the plan has them."""
    lab = labs.load(env) if env else None
    topology = lab.topology if lab else build("full", 0)
    release = "20260101T000000Z-0000001"
    status = {"current": release, "activation": f"{release}.1", "running": [f"{release}.1"], "warm": [],
              "stale": False, "releases": [release], "venvs": [], "statics": []}
    states = [HostState.of(each.name, status, processes="workers" in each.groups) for each in topology.group("web")]
    steps = tuple(plan.steps_of(states, "20260102T000000Z-0000002")["deploy"])
    victim = topology.group("workers")[-1].name  # one that has everything a release can run
    return [Point(steps, number, victim) for number in range(len(steps))]


def once(points, of):
    """One point of each kind, as *of* sorts their actions."""
    kinds = {of(point.action) for point in points}
    found = (min((each for each in points if of(each.action) == kind), key=lambda each: each.telling) for kind in kinds)
    return sorted(found, key=lambda each: each.number)


# What a deploy prints before its first step. Until it has its locks it has touched nothing.
PHASES = ["connect", "build", "lock", "look", "preflight"]


def pytest_generate_tests(metafunc):
    soak = metafunc.config.getoption("--soak")
    points = every_point(metafunc.config.getoption("--env"))
    if "phase" in metafunc.fixturenames:
        metafunc.parametrize("phase", PHASES if soak else PHASES[-1:])
    if "killed_at" in metafunc.fixturenames:
        metafunc.parametrize("killed_at", points if soak else once(points, CLASSES.get), ids=str)
    if "lost_at" in metafunc.fixturenames:
        lost = once(points, lambda action: action) if soak else [
            each for each in once(points, CLASSES.get) if CLASSES[each.action] in ("start", "switch")
        ]
        metafunc.parametrize("lost_at", lost, ids=str)


class Broken:
    """A deploy that is to be broken off in one step, and what makes that step happen."""

    def __init__(self, site, point):
        self.site, steps = site, point.steps
        # A migration takes a step of its own only where there is one.
        self.migrates = Action.MIGRATE in {point.action, steps[max(point.number - 1, 0)].action}
        name = commits.last_migration()
        operation = 'migrations.RunSQL("SELECT 1", "SELECT 1")'
        files = {
            f"app/booking/listings/migrations/{int(name[:4]) + 1:04}_test_{point.number}.py":
                commits.migration(operation, after=name, declares='EXPAND = "changes nothing"'),
        }
        self.commit = commits.make(f"broken off in step {point}", files if self.migrates else {})
        self.release = commits.release(self.commit)
        self.run = site.start("deploy", "--ref", self.commit)
        self.run.until("preflight")  # the last of what comes before the plan
        for step in steps[: point.number]:
            if self.migrates or step.action is not Action.MIGRATE:
                self.run.until(step.title)
        if act := INTENTS.get(point.action):
            self._wait_for(act)

    def _wait_for(self, act):
        """Until a host has begun, or the step is over: it may be faster than one can look."""
        seen = len(self.run.lines)
        deadline = time.monotonic() + 60
        while len(self.run.lines) == seen and self.run.process.poll() is None:
            if any(self.site.intent(name) == act for name in self.site.web):
                return
            assert time.monotonic() < deadline, self.run.said

    def completes(self, fab):
        """The next deploy of the same commit, by nobody who knows what happened."""
        done = fab("deploy", "--ref", self.commit)
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.site.everywhere() == {self.release}
        for name in self.site.web:
            assert self.site.serves(name)
            assert self.site.status(name)["lock"] is None
            assert self.site.intent(name) is None
        # What begins is written down as well: the last line of a run is what became of it. A host that was lost has
        # the first line alone, and the others have both.
        lines = sorted(
            (entry for name in self.site.web for entry in self.site.ledger(name)), key=lambda each: each["finished"]
        )
        ends = {entry["id"]: entry["outcome"] for entry in lines}
        assert set(ends.values()) <= {"good", "failed", "interrupted", "undone"}


@pytest.fixture
def breaking(site, fab):
    """Breaks a deploy off, and afterwards takes away what it leaves in the database."""
    made = []

    def start(point):
        made.append(Broken(site, point))
        return made[-1]

    yield start
    if any(each.migrates for each in made):
        assert fab("deploy", "--ref", commits.make("without the migration")).returncode == 0
        site.sql("DELETE FROM django_migrations WHERE app = 'listings' AND name LIKE '%_test_%'")


def rejoin(site, fab):
    """Bring back what the engine left out because it could not reach it."""
    for name in site.drained():
        done = fab("join", name)
        assert done.returncode == 0, done.stdout + done.stderr
    assert site.drained() == []


def test_every_kind_of_step_has_a_class_and_a_kill_point():
    """A new step cannot be forgotten: it has to be put into a class, and the kill points are the plan's own steps."""
    assert set(CLASSES) == set(Action)
    assert {point.action for point in every_point("")} >= set(INTENTS)


def test_deploy_killed_before_its_first_step_is_none_the_worse(phase, site, fab, unharmed):
    before = site.everywhere()
    commit = commits.make(f"killed after {phase}")
    run = site.start("deploy", "--ref", commit)
    run.until(phase)
    run.kill()
    assert site.everywhere() == before
    assert fab("deploy", "--ref", commit).returncode == 0
    assert site.everywhere() == {commits.release(commit)}


def test_deploy_killed_in_any_step_is_completed_by_the_next(killed_at, site, fab, breaking, unharmed):
    """Locks left by cancelled runs, for weeks (bikeindex/bike_index 4313; dokku 3167; kamal 1844)."""
    broken = breaking(killed_at)
    broken.run.kill()
    broken.completes(fab)


def test_rollback_killed_in_its_switch_is_completed_by_the_next(site, fab, unharmed):
    before = commits.make("to roll back to")
    assert fab("deploy", "--ref", before).returncode == 0
    after = commits.make("to roll back from")
    assert fab("deploy", "--ref", after).returncode == 0
    run = site.start("rollback")
    run.until(Action.BEGIN.value)
    site.wait(lambda: run.process.poll() is not None or "swap" in map(site.intent, site.web), "the switch")
    run.kill()
    done = fab("deploy", "--ref", after)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {commits.release(after)}


def test_ssh_cut_in_any_class_of_step_ends_with_one_release_everywhere(lost_at, site, fab, breaking, unharmed):
    broken = breaking(lost_at)
    site.cut_ssh(lost_at.victim)
    code = broken.run.end()
    assert code in (0, 10, 11), broken.run.said
    assert "Traceback" not in broken.run.said
    broken.completes(fab)
    rejoin(site, fab)


def test_host_crashed_in_any_class_of_step_ends_with_one_release_everywhere(lost_at, lab, load, site, fab, breaking):
    """One host fails, the others switch (ansistrano 333; capistrano 1498, 860)."""
    began, victim = time.monotonic(), lost_at.victim
    broken = breaking(lost_at)
    crashed = time.monotonic()
    hosts.crash(lab, site.host(victim))
    try:
        code = broken.run.end()
    finally:
        site.boot(victim)
    assert code in (0, 10, 11), broken.run.said
    assert code == 0 or victim in broken.run.said
    assert "Traceback" not in broken.run.said
    broken.completes(fab)
    rejoin(site, fab)
    load.settle()
    lost = failures(load.since(began))
    late = [each for each in lost if each.at > crashed + CRASH_SECONDS or each.ended < crashed]
    assert not late, describe(late)
