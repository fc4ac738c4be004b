"""Effects: carries out the steps of a plan on the hosts."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from deploy.release import commands, ledger, migrations, staging, switching, tidying
from deploy.release.artefact import Artefact
from deploy.release.balancer import Edge
from deploy.release.ledger import Entry
from deploy.release.plan import Action, Step
from deploy.release.probe import MeasuredError, Probe
from deploy.release.remote import Remote
from deploy.release.report import Report
from deploy.release.session import HostsError, Session
from deploy.release.state import HostState, majority
from deploy.release.trial import Trial
from deploy.release.verify import Balancers, VerifyError, tag

T = TypeVar("T")
ForHost = Callable[[Remote], commands.Command]
MIGRATION_SECONDS = 3600.0  # a migration may take long; a silent connection is noticed otherwise
DRAIN_SECONDS = 600.0
SHORTEST_SECONDS = 1.0  # what an act that has come to its turn may take, however late it is


@dataclass
class Rollout:
    """One run: its ledger entry, what the hosts were like before it, and what happened so far.

    entries: the ledger before it. artefacts: by release, what may have to be staged. stubborn: a host that is lost
    on the way is left behind, as long as most of the fleet is there (a rollback). trial: of the canary. fleet: how
    many hosts the environment has. blind: nobody can ask the database, so that nothing is ready. applied: the
    migrations that the database had before. step: the present one. until: when an interrupted run has to be over
    (time.monotonic()). unseen: why clients do not get a release that every host serves.
    """

    session: Session
    balancers: Balancers
    edge: Edge
    report: Report
    entry: Entry
    states: Mapping[str, HostState]
    entries: Sequence[Entry] = ()
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)
    probe: Probe | None = None
    trial: Trial | None = None
    stubborn: bool = False
    fleet: int = 0
    blind: bool = False
    applied: Sequence[str] = ()
    step: Action | None = None
    until: float = math.inf
    unseen: str = ""
    started: dict[str, str] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)
    undrained: list[str] = field(default_factory=list)

    def run(self, steps: Iterable[Step]) -> None:
        """Carry the steps out in order. HostsError, VerifyError, …: one failed, the rest is not done."""
        for step in steps:
            self.step = step.action
            with self.report.step(step.title) as notes:
                if note := self._act(step):
                    notes.append(note)

    def record(self, outcome: str, reason: str = "") -> str:
        """Write how this run ended to every host's ledger; answers what a stubborn run could not write."""
        ended = replace(
            self.entry, outcome=outcome, reason=reason, finished=ledger.now(), seconds=dict(self.report.seconds)
        )
        note, self.entry = self._write(self.session.hosts, ended), ended
        return note

    def left(self, most: float) -> float:
        """Of `most` seconds, those that may still be waited: an interrupted run has few, but always some."""
        return min(most, max(self.until - time.monotonic(), SHORTEST_SECONDS))

    def measure(self, *, judge: bool = True) -> str:
        """End the probe and keep what it counted; answers it as one line. A second call changes nothing.

        MeasuredError: failures count against the release. judge=False, and a rollback, only tell.
        """
        if self.probe is None:
            return ""
        probe, self.probe = self.probe, None
        found = probe.stop()
        self.entry = replace(self.entry, measured=found.as_json())
        if found.counted and judge and self.entry.action != "rollback":
            raise MeasuredError(f"clients saw failures of the new release: {found}")
        return str(found)

    def lose(self, failures: HostsError) -> None:
        """Go on without hosts that cannot be reached, drained on every balancer. HostsError: too few are left."""
        gone = [failure.host for failure in failures.failures]
        for failure in failures.failures:
            self.session.drop(failure)
        here = [state for host, state in self.states.items() if host in self.session.hosts]
        if not majority(len(here), self.fleet) or not any(state.web for state in here):
            raise failures
        self.drain([host for host in gone if self.states[host].web])
        self.entry = replace(self.entry, without=[*self.entry.without, *gone])

    def drain(self, hosts: Iterable[str]) -> None:
        """Take hosts out of rotation on every balancer, until `fab join`. HostsError: a balancer failed."""
        for host in hosts:
            self.edge.drain(host)
            self.report.say(f"{host} is drained on every balancer; fab join {host} brings it back")

    def each(
        self, hosts: Iterable[str], command: ForHost, timeout: float = 120, stream: Sequence[bytes] = ()
    ) -> dict[str, dict[str, Any]]:
        """Run a command on hosts at once; answers by host. A stubborn run leaves those behind that are gone."""
        return self._each(hosts, lambda remote: remote.call(command(remote), stream, timeout))

    def _each(self, hosts: Iterable[str], act: Callable[[Remote], T]) -> dict[str, T]:
        def told(remote: Remote) -> T:
            self.report.host(remote.name, "…")
            answer = act(remote)
            self.report.host(remote.name, "done")
            return answer

        try:
            return self.session.each([host for host in hosts if host not in self.session.missing], told)
        except HostsError as failures:
            if not (self.stubborn and failures.unreachable()):
                raise
            self.lose(failures)
            return failures.answers

    def token(self, remote: Remote) -> int:
        """The lock's token on a host."""
        return self.session.tokens[remote.name]

    def _act(self, step: Step) -> str:
        match step.action:
            case Action.BEGIN:
                return self._write(step.hosts, self.entry)
            case Action.DRAIN:
                self.drain(step.hosts)
            case Action.STAGE:
                return self._stage(step)
            case Action.MIGRATE:
                return self._migrate(step)
            case Action.START:
                self._start(step)
            case Action.SWAP:
                self._swap(step)
            case Action.VERIFY:
                return self._verify(step)
            case Action.CANARY:
                assert self.trial is not None
                return self.trial.watch(step.hosts[0])
            case Action.MEASURE:
                return self.measure()
            case Action.UNDRAIN:
                self.undrained += step.hosts
                for host in step.hosts:
                    self.edge.undrain(host)
            case Action.RETIRE:
                return self._retire(step)
            case Action.CLEAR:
                self.each(step.hosts, lambda remote: commands.clear(self.token(remote)), DRAIN_SECONDS)
            case Action.RECORD:
                return self.record(ledger.GOOD)
            case Action.PRUNE:
                keep = ledger.keep([*self.entries, self.entry], self.session.settings.keep)
                return tidying.prune(self.session, self.states, step.hosts, keep | {self.entry.release})
        return ""

    def _write(self, hosts: Sequence[str], entry: Entry) -> str:
        line = json.dumps(entry.as_json()).encode()
        return self._try(hosts, lambda remote: commands.record(self.token(remote)), self.left(120), [line])

    def _stage(self, step: Step) -> str:
        artefact = self.artefacts[step.argument]
        sent = self._each(
            step.hosts,
            lambda remote: staging.send(remote, artefact, self.states[remote.name], self.token(remote)),
        )
        return ", ".join(f"{host} {size / 1e6:.1f} MB" for host, size in sent.items())

    def _migrate(self, step: Step) -> str:
        answer = self.each(
            step.hosts, lambda remote: commands.migrate(step.argument, self.token(remote)), MIGRATION_SECONDS
        )
        migrated = [name for done in answer.values() for name in done["migrated"]]
        self.entry = replace(self.entry, migrated=migrated)
        return migrations.told(migrated) or "nothing new"

    def _start(self, step: Step) -> None:
        done = set(self.swapped) & self.started.keys()  # what was warm had ended: all was started anew for the switch
        self.started |= self._each(
            [host for host in step.hosts if host not in done],
            lambda remote: switching.start(
                remote, step.argument, self.token(remote), step.activations.get(remote.name, ""),
                switched=remote.name in self.swapped,
            ),
        )

    def _swap(self, step: Step) -> None:
        if self.probe and not self.swapped:
            self.probe.mark(self.entry.release)
        self.swapped += step.hosts
        warm = {host: step.activations.get(host, "") for host in step.hosts if host not in self.started}
        self._each(
            step.hosts,
            lambda remote: switching.swap(remote, self.token(remote), self.entry.release, warm, self.started),
        )

    def _verify(self, step: Step) -> str:
        asked = {host for host, state in self.states.items() if state.asked} - set(self.session.missing)
        hosts = {host: tag(host) for host in step.hosts if host not in self.session.missing}
        if not hosts:
            return ""
        try:
            self.balancers.shows(
                step.argument, hosts, everywhere=asked == set(hosts), most=self.left(math.inf), red=self.blind
            )
        except VerifyError as error:
            if not self.blind:
                raise
            self.unseen = str(error)  # without a database nothing else would be seen either: there is no way back
        return f"not seen by clients: {self.unseen}" if self.unseen else ""

    def _retire(self, step: Step) -> str:
        return self._try(
            step.hosts,
            lambda remote: commands.retire(
                self.token(remote), step.activations.get(remote.name, ""), step.seconds,
                wait=self.blind or self.entry.action != "rollback",
            ),
            DRAIN_SECONDS,
        )

    def _try(self, hosts: Iterable[str], command: ForHost, timeout: float, stream: Sequence[bytes] = ()) -> str:
        """As `each`. What fails in a stubborn run is only told: nobody wants what they roll back from to serve again
        because it would not end, or because a disk is full."""
        try:
            self.each(hosts, command, timeout, stream)
        except HostsError as failures:
            if not self.stubborn:
                raise
            return f"left for the next run: {failures}"
        return ""
