"""What the tasks call: build, deploy, roll back, status. Each is one function of an environment's name."""

from __future__ import annotations

import contextlib
import getpass
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy import inventory
from deploy.errors import (
    InterruptedRunError,
    NeedsPersonError,
    NexusError,
    RollbackRefusedError,
    RolledBackError,
    UnchangedError,
)
from deploy.inventory import Fleet
from deploy.release import artefact, interruption, ledger, lock, plan, settings, source
from deploy.release.artefact import Artefact
from deploy.release.plan import HostState, Step
from deploy.release.remote import HostError
from deploy.release.report import Report
from deploy.release.rollout import Rollout
from deploy.release.session import HostsError, Session
from deploy.release.settings import Settings
from deploy.release.verify import Answer, Balancers, VerifyError
from deploy.specs import ROOT

BUILD = ROOT / "build"
HEAD = "HEAD"
LONGEST_REASON = 2000


def build(env: str, ref: str, root: Path = ROOT, out: Path = BUILD) -> Artefact:
    """Build the release of a git ref, for the hosts of an environment. Needs no host."""
    return _build(settings.read(inventory.load(env)), ref, Report(), root, out)


def deploy(env: str, ref: str) -> str:
    """Bring the release of a git ref to every web host; answers a summary. NexusError: why not."""
    fleet, report = inventory.load(env), Report()
    wanted = settings.read(fleet)
    commit = source.resolve(ROOT, ref or HEAD)
    with interruption.handled(), _Run(fleet, wanted, report) as run:
        built = _build(wanted, ref, report)
        run.lock(f"fab deploy --env {env} --ref {ref or HEAD}")
        states, entries = run.look()
        if plan.serves(states, commit.release) and ledger.last_good(entries) == commit.release:
            run.balancers.shows(commit.release, len(states), everywhere=True)
            return f"{commit.release} serves every host already; nothing to do"
        return run.carry_out("deploy", commit.release, plan.deploy(states, commit.release), built)


def rollback(env: str) -> str:
    """Bring back the good release before the current one; answers a summary. NexusError: why not."""
    fleet, report = inventory.load(env), Report()
    with interruption.handled(), _Run(fleet, settings.read(fleet), report) as run:
        run.lock(f"fab rollback --env {env}")
        states, entries = run.look()
        staged = set.intersection(*(set(state.releases) for state in states))
        target = ledger.rollback_target(entries, [state.current for state in states], staged)
        if target is None:
            raise RollbackRefusedError(
                "there is no earlier good release on every host to roll back to", f"environment {env}",
                "fab status shows what there is; a fix goes out by fab deploy",
            )  # fmt: skip
        return run.carry_out("rollback", target, plan.rollback(states, target))


@dataclass(frozen=True)
class Status:
    """What an environment runs: its hosts, the ledger (oldest first), each balancer's answer by address."""

    states: Sequence[HostState]
    entries: Sequence[ledger.Entry]
    locks: dict[str, str]
    answers: dict[str, Answer]


def status(env: str) -> Status:
    """Ask every host and every balancer; changes nothing and takes no lock."""
    fleet = inventory.load(env)
    wanted = settings.read(fleet)
    balancers = _balancers(fleet, wanted)
    with (
        interruption.handled(),
        Session([settings.target(host) for host in fleet.need("web")], wanted) as session,
    ):
        found = session.status()
    return Status(
        [HostState.of(host, said) for host, said in found.items()],
        ledger.merge(said["ledger"] for said in found.values()),
        {host: lock.describe(said["lock"]) for host, said in found.items() if said["lock"]},
        {address: balancers.ask(address) for address in balancers.addresses},
    )


class _Run:
    """A locked session with one environment's hosts."""

    def __init__(self, fleet: Fleet, wanted: Settings, report: Report) -> None:
        self.settings, self.report = wanted, report
        self.balancers = _balancers(fleet, wanted)
        self.session = Session([settings.target(host) for host in fleet.need("web")], wanted)
        self.entries: list[ledger.Entry] = []
        self.states: list[HostState] = []

    def __enter__(self) -> _Run:
        with self.report.step("preflight"):
            self.balancers.preflight()
            self.session.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        with interruption.deferred():
            self.session.__exit__(None, None, None)
        self.balancers.close()

    def lock(self, command: str) -> None:
        """Take the lock on every host."""
        with self.report.step("lock"):
            try:
                self.session.lock(command)
            except HostError as failure:
                self.session.unlock()
                raise HostsError([failure]).as_preflight(self.settings.env) from None

    def look(self) -> tuple[list[HostState], list[ledger.Entry]]:
        """The hosts' states and the ledger, read under the lock."""
        try:
            found = self.session.status()
        except HostsError as failures:
            raise failures.as_preflight(self.settings.env) from None
        self.states = [HostState.of(host, said) for host, said in found.items()]
        self.entries = ledger.merge(said["ledger"] for said in found.values())
        return self.states, self.entries

    def carry_out(self, action: str, release: str, steps: list[Step], built: Artefact | None = None) -> str:
        """Do the steps; on any failure or interruption put every host back and say so by the right error."""
        begun = _now()
        identity = str(uuid.uuid4())
        rollout = Rollout(
            self.session, self.balancers, self.report, release,
            plan.homes(self.states, ledger.last_good(self.entries)), built, entries=self.entries,
        )  # fmt: skip
        rollout.entry = lambda outcome, reason: ledger.Entry(
            identity, action, release, outcome, begun, _now(), f"{getpass.getuser()}@{lock.machine()}",
            {state.name: state.current for state in self.states}, rollout.migrated, dict(self.report.seconds),
            reason,
        )  # fmt: skip
        try:
            rollout.run(steps)
        except (KeyboardInterrupt, Exception) as error:  # whatever it was, the hosts come first
            with interruption.deferred():
                raise self._put_back(action, rollout, error) from None
        before = ", ".join(sorted({state.current or "nothing" for state in self.states}))
        return f"{release} serves {len(self.states)} host(s), after {before}, in {self.report.total():.2f} s"

    def _put_back(self, action: str, rollout: Rollout, error: BaseException) -> NexusError:
        stopped = isinstance(error, KeyboardInterrupt)
        why, stuck = "  interrupted" if stopped else told(error), ""
        try:
            rollout.restore()
        except Exception as second:  # it is told beside the first
            stuck = told(second)
        with contextlib.suppress(Exception):  # the failure itself is what has to be told
            rollout.record(ledger.INTERRUPTED if stopped else ledger.FAILED, why[:LONGEST_REASON])
        where, again = (
            f"{action} of {rollout.release}",
            f"correct the cause, then: fab {action} --env {self.settings.env}",
        )
        if rollout.migrated:
            why += f"\n  applied migrations stay: {', '.join(rollout.migrated)}"
        if stuck:
            return NeedsPersonError(
                f"it failed, and not every host could be put back:\n{why}\nputting back:\n{stuck}",
                where, f"fab status --env {self.settings.env}, then mend the host named and run it again",
            )  # fmt: skip
        if stopped:
            return InterruptedRunError("interrupted; every host is on what it ran before", where, again)
        if not rollout.swapped:
            return UnchangedError(f"it failed before any host was switched:\n{why}", where, again)
        return RolledBackError(f"it failed, and every host is back on what it ran before:\n{why}", where, again)


def told(error: BaseException) -> str:
    """A failed step as text: every host with its unit and journal, or the balancer's answer, or the defect."""
    if isinstance(error, HostsError):
        return error.text()
    return f"  {error}" if isinstance(error, VerifyError | NexusError) else f"  {type(error).__name__}: {error}"


def _build(wanted: Settings, ref: str, report: Report, root: Path = ROOT, out: Path = BUILD) -> Artefact:
    commit = source.resolve(root, ref or HEAD)
    if not ref and not wanted.allow_dirty:
        source.refuse_changes(root, HEAD)
    with report.step("build") as notes:
        out.mkdir(parents=True, exist_ok=True)
        built = artefact.build(root, commit, wanted, out)
        notes.append(f"{built.release}, {built.size / 1e6:.1f} MB")
    return built


def _balancers(fleet: Fleet, wanted: Settings) -> Balancers:
    return Balancers([host.address for host in fleet.need("loadbalancers")], wanted)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
