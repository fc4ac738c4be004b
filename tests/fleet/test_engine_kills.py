"""A run that is broken off, at every step of the plan: the fleet serves throughout, the next deploy completes.

Which steps there are is asked of the plan itself. A step is known to be under way when the one before it has been
printed and, where it announces itself on the host's disk before it acts, when a host says so.
"""

import time

import pytest

from deploy.release import plan
from deploy.release.plan import Action
from deploy.release.state import HostState
from lab import host as hosts
from lab.topology import SIZES
from tests.fleet import commits
from tests.fleet.load import describe, failures

WEB = [name for name, groups in SIZES["small"].items() if "web" in groups]
VICTIM = WEB[-1]
# Requests that a host had in hand when it crashed are lost, and those of the moment until the balancer knows.
CRASH_SECONDS = 3.0

# Steps that leave the same to be put right. `make test` cuts ssh and crashes a host once in each class, `make soak` in
# every step; the controller is killed in every step by both. An action that is missing here fails the collection.
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


def deploy_steps():
    """The steps of a deploy to the web hosts of the fleet, as the plan has them."""
    release = "20260101T000000Z-0000001"
    status = {"current": release, "activation": f"{release}.1", "running": [f"{release}.1"], "warm": [],
              "stale": False, "releases": [release], "venvs": [], "statics": []}
    states = [HostState.of(name, status, processes=True) for name in WEB]
    return plan.steps_of(states, "20260102T000000Z-0000002")["deploy"]


STEPS = deploy_steps()
EVERY = range(len(STEPS))


def once(of):
    """One step of each kind, as *of* sorts them: one in which a host acts, the host that is lost before all others."""
    def telling(number):
        step = STEPS[number]
        return step.action not in INTENTS, step.hosts != (VICTIM,), number

    kinds = {of(step.action) for step in STEPS}
    return sorted(min((n for n in EVERY if of(STEPS[n].action) == kind), key=telling) for kind in kinds)


def named(number):
    return f"{number:02}-{STEPS[number].title.replace(' ', '-')}"


# What a deploy prints before its first step. Until it has its locks it has touched nothing.
PHASES = ["connect", "build", "lock", "look", "preflight"]


def pytest_generate_tests(metafunc):
    soak = metafunc.config.getoption("--soak")
    if "phase" in metafunc.fixturenames:
        metafunc.parametrize("phase", PHASES if soak else PHASES[2:])
    if "lost_at" in metafunc.fixturenames:
        metafunc.parametrize("lost_at", once(lambda action: action if soak else CLASSES[action]), ids=named)


class Broken:
    """A deploy that is to be broken off in one step, and what makes that step happen."""

    def __init__(self, site, number):
        self.site, self.number = site, number
        # A migration takes a step of its own only where there is one.
        self.migrates = Action.MIGRATE in {STEPS[number].action, STEPS[max(number - 1, 0)].action}
        name = commits.last_migration()
        operation = 'migrations.RunSQL("SELECT 1", "SELECT 1")'
        files = {
            f"app/booking/listings/migrations/{int(name[:4]) + 1:04}_test_{number}.py":
                commits.migration(operation, after=name, declares='EXPAND = "changes nothing"'),
        }
        self.commit = commits.make(f"broken off in step {number}", files if self.migrates else {})
        self.release = commits.release(self.commit)
        self.run = site.start("deploy", "--ref", self.commit)
        self.run.until("preflight")  # the last of what comes before the plan
        for step in STEPS[:number]:
            if self.migrates or step.action is not Action.MIGRATE:
                self.run.until(step.title)
        if act := INTENTS.get(STEPS[number].action):
            self._wait_for(act)

    def _wait_for(self, act):
        """Until a host has begun, or the step is over: it may be faster than one can look."""
        seen = len(self.run.lines)
        deadline = time.monotonic() + 60
        while len(self.run.lines) == seen and self.run.process.poll() is None:
            if any(self.site.intent(name) == act for name in WEB):
                return
            assert time.monotonic() < deadline, self.run.said

    def completes(self, fab):
        """The next deploy of the same commit, by nobody who knows what happened."""
        done = fab("deploy", "--ref", self.commit)
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.site.everywhere() == {self.release}
        for name in WEB:
            assert self.site.serves(name)
            assert self.site.status(name)["lock"] is None
            assert self.site.intent(name) is None
        # What begins is written down as well: the last line of a run is what became of it. A host that was lost has
        # the first line alone, and the others have both.
        lines = sorted((entry for name in WEB for entry in self.site.ledger(name)), key=lambda each: each["finished"])
        ends = {entry["id"]: entry["outcome"] for entry in lines}
        assert set(ends.values()) <= {"good", "failed", "interrupted", "undone"}


@pytest.fixture
def breaking(site, fab):
    """Breaks a deploy off, and afterwards takes away what it leaves in the database."""
    made = []

    def start(number):
        made.append(Broken(site, number))
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
    assert {step.action for step in STEPS} >= set(INTENTS)


def test_deploy_killed_before_its_first_step_is_none_the_worse(phase, site, fab, unharmed):
    before = site.everywhere()
    commit = commits.make(f"killed after {phase}")
    run = site.start("deploy", "--ref", commit)
    run.until(phase)
    run.kill()
    assert site.everywhere() == before
    assert fab("deploy", "--ref", commit).returncode == 0
    assert site.everywhere() == {commits.release(commit)}


@pytest.mark.parametrize("number", EVERY, ids=named)
def test_deploy_killed_in_any_step_is_completed_by_the_next(number, site, fab, breaking, unharmed):
    """Locks left by cancelled runs, for weeks (bikeindex/bike_index 4313; dokku 3167; kamal 1844)."""
    broken = breaking(number)
    broken.run.kill()
    broken.completes(fab)


def test_rollback_killed_in_its_switch_is_completed_by_the_next(site, fab, unharmed):
    before = commits.make("to roll back to")
    assert fab("deploy", "--ref", before).returncode == 0
    after = commits.make("to roll back from")
    assert fab("deploy", "--ref", after).returncode == 0
    run = site.start("rollback")
    run.until(Action.BEGIN.value)
    site.wait(lambda: run.process.poll() is not None or any(site.intent(name) == "swap" for name in WEB), "the switch")
    run.kill()
    done = fab("deploy", "--ref", after)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {commits.release(after)}


def test_ssh_cut_in_any_class_of_step_ends_with_one_release_everywhere(lost_at, site, fab, breaking, unharmed):
    broken = breaking(lost_at)
    site.cut_ssh(VICTIM)
    code = broken.run.end()
    assert code in (0, 10, 11), broken.run.said
    assert "Traceback" not in broken.run.said
    broken.completes(fab)
    rejoin(site, fab)


def test_host_crashed_in_any_class_of_step_ends_with_one_release_everywhere(lost_at, lab, load, site, fab, breaking):
    """One host fails, the others switch (ansistrano 333; capistrano 1498, 860)."""
    began = time.monotonic()
    broken = breaking(lost_at)
    crashed = time.monotonic()
    hosts.crash(lab, site.host(VICTIM))
    try:
        code = broken.run.end()
    finally:
        site.boot(VICTIM)
    assert code in (0, 10, 11), broken.run.said
    assert code == 0 or VICTIM in broken.run.said
    assert "Traceback" not in broken.run.said
    broken.completes(fab)
    rejoin(site, fab)
    load.settle()
    lost = failures(load.since(began))
    late = [each for each in lost if each.at > crashed + CRASH_SECONDS or each.ended < crashed]
    assert not late, describe(late)
