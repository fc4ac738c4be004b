"""One run of the engine, up to its first step: connected, locked, looked at; and what it comes to, as a summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from deploy.errors import InterruptedRunError, PreflightError
from deploy.inventory import Fleet
from deploy.release import commands, interruption, ledger, migrations, preflight, recovery, settings
from deploy.release.balancer import Edge, Standing
from deploy.release.ledger import Entry
from deploy.release.migrations import Known
from deploy.release.preflight import Problem
from deploy.release.remote import HostError
from deploy.release.report import Report
from deploy.release.rollout import Rollout
from deploy.release.session import HostsError, Session
from deploy.release.settings import Settings
from deploy.release.state import HostState, majority
from deploy.release.verify import Balancers


@dataclass(frozen=True)
class Summary:
    """What a run did. previous: what served before, by host. measured: the probe's figures, None where it did not run.

    without: hosts that were left out or lost, and are drained. seconds: by step. notes: what else to know.
    """

    action: str
    release: str
    hosts: Sequence[str]
    previous: Mapping[str, str | None] = field(default_factory=dict)
    migrated: Sequence[str] = ()
    without: Sequence[str] = ()
    measured: Mapping[str, Any] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    total: float = 0.0
    notes: Sequence[str] = ()
    changed: bool = True


class Run:
    """A session with one environment's hosts and balancers; a context manager.

    without: hosts that are not even asked. stubborn: goes on without hosts that do not answer, as long as most of
    the fleet does. needed: of the hosts, those that have to answer beside at least one other; all unless given.
    """

    def __init__(
        self,
        fleet: Fleet,
        wanted: Settings,
        command: str,
        *,
        without: Sequence[str] = (),
        stubborn: bool = False,
        needed: Sequence[str] = (),
    ) -> None:
        self.fleet, self.settings, self.command = fleet, wanted, command
        self.stubborn, self.needed = stubborn, set(needed)
        self.report, self.notes, self.faults = Report(), list[str](), list[Problem]()
        self.all = settings.hosts(fleet)
        self.web = {host.name for host in fleet.need("web")}
        self.without = list(without)
        edge = fleet.need("loadbalancers")
        port = int(fleet.value(edge[0].name, "loadbalancer_https_port"))
        self.balancers = Balancers([host.address for host in edge], wanted, port)
        self.edge = Edge([settings.target(host) for host in edge], wanted)
        self.standing: dict[str, Standing] = {}
        self.session = Session([settings.target(host) for host in self.all if host.name not in without], wanted)
        self.entries: list[Entry] = []
        self.states: list[HostState] = []
        self.known: Known = {}  # every release's migrations, as the hosts' manifests tell them
        self.database: dict[str, Any] | None = None  # what it said under the lock, if somebody could ask it then

    def __enter__(self) -> Run:
        """Connect to everything at once. What does not answer is in `missing`."""
        try:
            with self.report.step("connect"), ThreadPoolExecutor(max_workers=2) as pool:
                asked = [pool.submit(self.balancers.preflight), pool.submit(self.edge.connect)]
                self.session.__enter__()
                for one in asked:
                    try:
                        one.result()
                    except PreflightError as error:
                        self.faults.append(Problem(error.what, error.where, error.mend))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Free the lock and close, whatever happened."""
        with interruption.deferred():
            self.session.unlock()
            self.close()

    def close(self) -> None:
        """Close all connections."""
        self.session.close()
        self.edge.close()

    def lock(self, wait: float = 0) -> None:
        """Take the lock on every host. LockedError: who holds it. PreflightError: too few hosts answer."""
        self._admit()
        with self.report.step("lock"):
            while True:
                try:
                    self.session.lock(self.command, wait)
                    return
                except HostError as failed:
                    self.session.drop(failed)
                    self._admit()

    def look(self) -> None:
        """Read the hosts' states and the ledger under the lock; a run that was killed is finished or undone first."""
        with self.report.step("look"):
            self.read()
            self._admit()
        entry = ledger.unfinished(self.entries)
        concerned = {state.name: state for state in self.states if entry and state.name in entry.previous}
        if entry is None or not concerned:
            return
        try:
            said = recovery.recover(self.rollout(entry, concerned))
        except KeyboardInterrupt:
            raise InterruptedRunError(
                "interrupted while what a killed run left was put right", mend="the next fab command goes on with it"
            ) from None
        self.say(said)
        self.read()
        self._admit()

    def read(self) -> dict[str, dict[str, Any]]:
        """Ask every host, every balancer and the database what there is; answers what each host's helper said."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            standing, database = pool.submit(self.edge.status), pool.submit(self._ask_database)
            try:
                found = self.session.status()
            except HostsError as failures:
                found = failures.answers
                for failed in failures.failures:
                    self.session.drop(failed)
            try:
                self.standing = standing.result()
            except HostsError as failures:
                self.faults += [Problem(failed.what, failed.host, failed.mend) for failed in failures.failures]
            self.database = database.result()
        drained = {host for each in self.standing.values() for host in each.drained}
        self.states = [
            HostState.of(
                name, said, web=name in self.web, processes=settings.has_processes(self.fleet, name),
                drained=name in drained,
            )
            for name, said in found.items()
        ]  # fmt: skip
        self.entries = ledger.merge(said["ledger"] for said in found.values())
        self.known = migrations.known(said["migrations"] for said in found.values())
        return found

    def _ask_database(self) -> dict[str, Any] | None:
        """What the database says under this run's lock, asked while hosts are asked for their state. None: who needs
        it asks again."""
        first = next((remote for name, remote in self.session.remotes.items() if name in self.web), None)
        if first is None or not self.session.tokens:
            return None
        try:
            return first.call(commands.database())
        except HostError:
            return None

    def say(self, text: str) -> None:
        """A line of its own, now and in the summary."""
        self.report.say(text)
        self.notes.append(text)

    def to_drain(self, hosts: Iterable[str]) -> list[str]:
        """Of the hosts, those that a balancer still hands requests to."""
        asked = [host for host in hosts if host in self.web]
        return [host for host in asked if any(host not in each.drained for each in self.standing.values())]

    def missing(self) -> list[Problem]:
        """A problem for each host and balancer that does not answer."""
        env = self.settings.env
        return [
            *self.faults,
            *(
                Problem(
                    failed.what, host,
                    f"{failed.mend or 'start it'}; or leave it out: fab deploy --env {env} --without {host}",
                )
                for host, failed in self.session.missing.items()
            ),
        ]

    def _admit(self) -> None:
        """PreflightError unless everything is there; for a stubborn run: most hosts, a web host and a balancer."""
        here = set(self.session.hosts)
        if self.stubborn and majority(len(here), len(self.all)) and self.web & here:
            self._make_do()
        elif self.needed and self.needed <= here and not self.faults and (here > self.needed or len(self.all) == 1):
            return
        elif problems := self.missing():
            raise preflight.refusal(problems)

    def _make_do(self) -> None:
        """Go on with the balancers that answer. PreflightError: none does."""
        faults, self.faults = self.faults, []
        if not faults:
            return
        answering = [address for address in self.balancers.addresses if self.balancers.ask(address).status]
        if not answering:
            raise preflight.refusal(faults)
        self.balancers.addresses = answering
        for fault in faults:
            self.say(f"it goes on although {fault.where} cannot be used: {fault.what}")

    def rollout(self, entry: Entry, states: Mapping[str, HostState]) -> Rollout:
        """Effects on these hosts, told under a ledger entry."""
        return Rollout(
            self.session, self.balancers, self.edge, self.report, entry, states, self.entries,
            stubborn=self.stubborn, fleet=len(self.all),
        )  # fmt: skip
