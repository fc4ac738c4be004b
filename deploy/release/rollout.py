"""Effects: carries out the steps of a plan on the hosts; and, when one fails, puts every host back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.release import commands, ledger, plan
from deploy.release.artefact import Artefact
from deploy.release.plan import Action, HostState, Step
from deploy.release.remote import Remote, file_blocks
from deploy.release.report import Report
from deploy.release.session import HostsError, Session
from deploy.release.verify import Balancers

MIGRATION_SECONDS = 3600.0  # a migration may take long; a silent connection is noticed otherwise
DRAIN_SECONDS = 600.0


@dataclass
class Rollout:
    """One run: the release, where each host returns to on failure, and what happened so far."""

    session: Session
    balancers: Balancers
    report: Report
    release: str
    homes: Mapping[str, str | None]
    artefact: Artefact | None = None
    entry: Callable[[str, str], ledger.Entry] | None = None
    entries: Sequence[ledger.Entry] = ()
    started: dict[str, str] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)
    migrated: list[str] = field(default_factory=list)

    def run(self, steps: Iterable[Step]) -> None:
        """Carry the steps out in order. HostsError, VerifyError: one failed, the rest is not done."""
        for step in steps:
            with self.report.step(step.title) as notes:
                self._act(step, notes)

    def restore(self) -> None:
        """Put every host back on its home release. HostsError: at least one cannot be put back."""
        failures = []
        with self.report.step("put every host back"):
            with contextlib.suppress(HostsError):  # a host that does not answer is told by what follows
                self.session.fence()
            try:
                self.session.each(self.session.hosts, self._restore_host)
            except HostsError as error:
                failures = error.failures
        if failures:
            raise HostsError(failures)
        if self.swapped and (home := self._common_home()):
            with self.report.step("verify the old through the balancer"):
                self.balancers.shows(home, len(self.homes), everywhere=True)

    def record(self, outcome: str, reason: str) -> None:
        """Write this run to every host's ledger."""
        assert self.entry is not None
        line = json.dumps(self.entry(outcome, reason).as_json()).encode()
        self._each(self.session.hosts, lambda remote: commands.record(self._token(remote)), stream=[line])

    def _act(self, step: Step, notes: list[str]) -> None:
        if step.action is Action.STAGE:
            notes.append(self._stage(step))
        elif step.action is Action.MIGRATE:
            answer = self._each(
                step.hosts,
                lambda remote: commands.migrate(step.argument, self._token(remote)),
                MIGRATION_SECONDS,
            )
            self.migrated = [name for done in answer.values() for name in done["migrated"]]
            notes.append(", ".join(self.migrated) or "nothing new")
        elif step.action is Action.START:
            ready = self.session.settings.ready_seconds * 2 + 30.0
            answer = self._each(step.hosts, lambda remote: commands.start(step.argument, self._token(remote)), ready)
            self.started |= {host: str(done["activation"]) for host, done in answer.items()}
        elif step.action is Action.SWAP:
            self.swapped += step.hosts
            self._each(
                step.hosts,
                lambda remote: commands.swap(step.argument or self.started[remote.name], self._token(remote)),
            )
        elif step.action is Action.VERIFY:
            everywhere = len(step.hosts) == len(self.homes)
            self.balancers.shows(step.argument, len(self.homes), everywhere)
        elif step.action is Action.STOP:
            self._each(step.hosts, lambda remote: commands.stop_others(self._token(remote)), DRAIN_SECONDS)
        elif step.action is Action.CLEAR:
            self._each(step.hosts, lambda remote: commands.clear(self._token(remote)), DRAIN_SECONDS)
        elif step.action is Action.RECORD:
            self.record(ledger.GOOD, "")
        elif step.action is Action.PRUNE:
            notes.append(self._prune(step.hosts))

    def _stage(self, step: Step) -> str:
        assert self.artefact is not None
        artefact = self.artefact
        line = json.dumps(artefact.manifest).encode() + b"\n"
        states = self.session.status()

        def send(remote: Remote) -> int:
            known = artefact.manifest["venv"] in states[remote.name]["venvs"]
            parts = ["code", "static"] if known else ["venv", "code", "static"]
            blocks = (block for part in parts for block in file_blocks(artefact.parts[part].path))

            def stream() -> Iterable[bytes]:
                yield line
                yield from blocks

            remote.call(commands.stage(step.argument, parts, self._token(remote)), stream())
            return sum(artefact.parts[part].size for part in parts)

        sent = self.session.each(step.hosts, send)
        return ", ".join(f"{host} {size / 1e6:.1f} MB" for host, size in sent.items())

    def _prune(self, hosts: Sequence[str]) -> str:
        assert self.entry is not None
        keep = ledger.keep([*self.entries, self.entry(ledger.GOOD, "")], self.session.settings.keep)
        doomed = {host: plan.prune(HostState.of(host, status), keep) for host, status in self.session.status().items()}
        busy = [host for host in hosts if doomed[host]]
        try:
            self._each(busy, lambda remote: commands.remove(doomed[remote.name], self._token(remote)))
        except HostsError as failures:  # the release serves and is recorded: old files are no reason to go back
            return f"left for the next deploy: {failures}"
        return ", ".join(sorted({release for host in busy for release in doomed[host]}))

    def _restore_host(self, remote: Remote) -> None:
        """One host, independently of the others: a host that cannot be put back does not hold up the rest."""
        token = self._token(remote)
        now = HostState.of(remote.name, remote.call(commands.status()))
        activation = ""
        for step in plan.restore(now, self.homes[remote.name]):
            if step.action is Action.START:
                activation = str(remote.call(commands.start(step.argument, token), timeout=DRAIN_SECONDS)["activation"])
            elif step.action is Action.SWAP:
                remote.call(commands.swap(step.argument or activation, token))
            elif step.action is Action.STOP:
                remote.call(commands.stop_others(token), timeout=DRAIN_SECONDS)
            elif step.action is Action.CLEAR:
                remote.call(commands.clear(token), timeout=DRAIN_SECONDS)

    def _common_home(self) -> str | None:
        found = set(self.homes.values())
        return found.pop() if len(found) == 1 else None

    def _token(self, remote: Remote) -> int:
        return self.session.tokens[remote.name]

    def _each(
        self,
        hosts: Sequence[str],
        command: Callable[[Remote], commands.Command],
        timeout: float = 120,
        stream: Sequence[bytes] = (),
    ) -> dict[str, dict[str, Any]]:
        return self.session.each(hosts, lambda remote: remote.call(command(remote), stream, timeout))
