"""Effects: one host after another, each out of the way, upgraded, restarted, proven and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deploy.patch import commands, facts
from deploy.patch.facts import Intent, Survey
from deploy.patch.front import Front
from deploy.patch.hosts import Operated
from deploy.patch.plan import Turn
from deploy.release import conduct, joining
from deploy.release import plan as releasing
from deploy.release.plan import Action
from deploy.release.probe import Measurement, Probe
from deploy.release.remote import UnreachableError
from deploy.release.run import Run

MARGIN_SECONDS = 5
WATCHED_SECONDS = 3.0  # how long the others are watched without a host before it is touched
RENEW_SECONDS = 30.0
# An address that moves to another balancer takes no connection along: clients send again what changes nothing.
PATIENCE_SECONDS = 4.0


class ClientsError(Exception):
    """Clients saw failures while nothing was to be away."""


@dataclass(frozen=True)
class Done:
    """What became of a host. rebooted: why, "" if it was not. restarted: services. clients: what they got meanwhile."""

    host: str
    packages: Sequence[str]
    rebooted: str
    restarted: Sequence[str]
    seconds: float
    clients: Measurement
    away: Sequence[str] = ()


class Roll:
    """A run over hosts, under the engine's lock. out: the host whose turn it is may serve nobody already."""

    def __init__(self, run: Run, front: Front, hosts: dict[str, Operated]) -> None:
        self.run, self.front, self.hosts = run, front, hosts
        self.web = [host.name for host in run.fleet.need("web")]
        self.out = False

    def host(self, turn: Turn, survey: Survey) -> Done:
        """One host's turn. HostError, HostsError, VerifyError, ClientsError, NexusError: the roll ends here."""
        run, host = self.run, self.hosts[turn.host]
        self.out, before = False, run.report.total()
        patience = PATIENCE_SECONDS if turn.paired else 0
        probe = Probe(self.front.addresses, run.settings, port=run.balancers.port, patience=patience)
        probe.start()
        try:
            intent = self._begin(turn, host, survey)
            self._step(turn, "out of the way", lambda: self.away(turn, host))
            if turn.web and not turn.away and survey.intent is None:
                self._step(turn, "the others carry the load", lambda: self._carried(turn, host, intent, probe))
            self._step(turn, "upgrade", host.upgrade)
            why, units = self._anew(turn, host, intent)
            self._step(turn, "back", lambda: self._back(turn, host, intent, rebooted=bool(why)))
            host.act(commands.FORGET, what="the note of this upgrade could not be taken away")
        finally:
            clients = probe.stop()
        if clients.failures and not turn.away:
            raise ClientsError(f"{turn.host} is done, but clients saw failures meanwhile: {clients}")
        return Done(turn.host, intent.packages, why, units, run.report.total() - before, clients, turn.away)

    def _step(self, turn: Turn, title: str, act: Callable[[], object]) -> None:
        self.run.session.lease.check()
        with self.run.report.step(f"{turn.host}: {title}"):
            act()

    def _begin(self, turn: Turn, host: Operated, survey: Survey) -> Intent:
        drained = any(turn.host in each.drained for each in self.run.standing.values())
        intent = survey.intended(drained)
        host.act(commands.begin(intent.dump()), what="it could not be written down what begins")
        return intent

    def away(self, turn: Turn, host: Operated) -> None:
        """Nobody is served by this host any more: its last request is answered, its workers have ended."""
        if turn.alone:
            return
        if turn.web:
            self.front.spare(turn, self.web)
            self.out = True
            self.front.drain(turn.host)
            patience = int(self.run.fleet.value(turn.host, "booking_app_drain_seconds")) + MARGIN_SECONDS
            host.act(commands.QUIET_PROXY, str(patience), what=f"requests are still in flight after {patience} s",
                     unit=commands.PROXY, timeout=patience + 60)  # fmt: skip
        if turn.application:
            patience = max((int(each["drain_seconds"]) for each in
                            self.run.fleet.value(turn.host, "booking_app_processes")), default=0)  # fmt: skip
            host.act(commands.QUIET_WORKERS, what="its workers did not end", timeout=patience + 60)
        if turn.paired:
            self.out = True
            self.front.move(host)

    def _carried(self, turn: Turn, host: Operated, intent: Intent, probe: Probe) -> None:
        """The others do without this host. ClientsError: they do not; it is back, and untouched."""
        time.sleep(WATCHED_SECONDS)
        if failed := probe.failed():
            self._restart(host, [commands.PROXY])
            self._back(turn, host, intent, rebooted=False)
            host.act(commands.FORGET, what="the note of this upgrade could not be taken away")
            raise ClientsError(
                f"{failed} requests failed as soon as {turn.host} was out of the way: the others do not carry the load;"
                f" it is back, and nothing was upgraded"
            )

    def _anew(self, turn: Turn, host: Operated, intent: Intent) -> tuple[str, list[str]]:
        """A reboot, or the restart of what was upgraded; answers why the first, or what the second."""
        survey = host.survey()
        if why := facts.needs_reboot(intent.packages, survey.reboot, survey.stale):
            self._step(turn, f"reboot ({why})", lambda: host.reboot(survey.boot))
            if turn.application:
                self.reconnect(turn.host)
            return why, []
        owned = host.act(commands.units_of(intent.packages), what="its services could not be listed").split()
        units = facts.to_restart(owned, survey.stale, [commands.PROXY] if turn.web else [])
        self._step(turn, "restart", lambda: self._restart(host, units))
        return "", units

    @staticmethod
    def _restart(host: Operated, units: Sequence[str]) -> None:
        code, said = host.run(commands.restart(units), timeout=600)
        if code:
            unit = next((line for line in reversed(said.splitlines()) if line in units), "")
            raise host.failed(f"{unit or 'a service'} did not restart", said, unit)

    def reconnect(self, name: str) -> None:
        """The engine's own connection to a host that was rebooted, and its lock there, which ran out with the boot."""
        session = self.run.session
        session.remotes[name].reconnect()
        if name in session.lease.tokens:
            session.lease.renew(session.remotes[name], RENEW_SECONDS)

    def _back(self, turn: Turn, host: Operated, intent: Intent, *, rebooted: bool) -> None:
        """The host is what it was before, and serves: its units, its release, its place behind the balancers."""
        host.healthy(intent.failed)
        if turn.paired:
            self.front.back(host, host.host.address)
        if turn.application:
            self._join(turn, host, intent, rebooted)
        self.front.answers(turn.host)

    def _join(self, turn: Turn, host: Operated, intent: Intent, rebooted: bool) -> None:
        """The current release in processes of its own on this host, proven; a person's drain stays."""
        run = self.run
        run.read()
        release = joining.wanted(run, [state for state in run.states if state.name != turn.host] or run.states)
        if release is None:  # nothing was ever deployed
            if turn.web and not intent.drained:
                run.edge.undrain(turn.host)
            return
        if rebooted:
            patience = run.settings.ready_seconds * 3
            host.wait(lambda: self._serves(turn.host, release), f"{release} serving again", patience)
        state = next((state for state in run.states if state.name == turn.host), None)
        if state is None:
            raise UnreachableError(turn.host, "its release helper does not answer", "look at its console")
        state = replace(state, drained=turn.web, stale=state.stale or not rebooted)
        steps = releasing.join(state, release, run.session.hosts)
        if intent.drained:
            steps = [step for step in steps if step.action not in (Action.UNDRAIN, Action.VERIFY)]
        conduct.carry_out(run, "join", release, steps, states=[state])

    def _serves(self, name: str, release: str) -> bool:
        self.run.read()
        return any(state.name == name and state.serving() == release for state in self.run.states)


def still(turn: Turn, out: bool) -> str:
    """What a host is left as when its turn ended too early. out: it serves nobody already."""
    if out and turn.web:
        return f"{turn.host} stays drained on every balancer"
    return f"{turn.host} stays without the floating address" if out else f"{turn.host} stays as it is"
