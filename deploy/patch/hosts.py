"""One host over OpenSSH as the operator, who may do everything: a script goes there, what it said comes back."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from deploy.inventory import Fleet, Host
from deploy.patch import commands, facts
from deploy.patch.facts import Survey
from deploy.release.remote import HostError, UnreachableError
from deploy.tasks import operator

OPTIONS = ("-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")
ANSWER_SECONDS = 120.0
REFRESH_SECONDS = 600.0
POLL_SECONDS = 0.5
BACK_SECONDS = 300.0  # what a reboot may take, of a real machine with its firmware
UPGRADE_SECONDS = 3600.0
ENDED = "the package upgrade"


class Operated:
    """A host as `ops`. Every act is a connection of its own: hosts reboot, and sshd itself is upgraded."""

    def __init__(self, fleet: Fleet, host: Host) -> None:
        self.fleet, self.host = fleet, host

    @property
    def name(self) -> str:
        """The host's name in the inventory."""
        return self.host.name

    def run(self, script: str, *arguments: str, timeout: float = ANSWER_SECONDS) -> tuple[int, str]:
        """Run a shell script as root; answers its exit code and what it said. UnreachableError: nobody is there."""
        command = ["sudo", "-n", "sh", "-s", *(["--", *arguments] if arguments else [])]
        ssh, *words = operator.ssh(self.fleet, self.host, command)
        try:
            done = subprocess.run(
                [ssh, *OPTIONS, *words], input=script, capture_output=True, text=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise UnreachableError(self.name, f"no answer within {timeout:.0f} s") from None
        if done.returncode == operator.LOST:
            mend = f"ssh {operator.OPERATOR}@{self.host.address} tells more"
            raise UnreachableError(self.name, done.stderr.strip() or "ssh has no connection, or lost it", mend)
        return done.returncode, done.stdout + (done.stderr if done.returncode else "")

    def act(self, script: str, *arguments: str, what: str, unit: str = "", timeout: float = ANSWER_SECONDS) -> str:
        """Run a script that has to succeed; answers what it said. HostError: what failed, with the unit's journal."""
        code, said = self.run(script, *arguments, timeout=timeout)
        if code:
            raise self.failed(what, said, unit)
        return said

    def ask(self, script: str, timeout: float = ANSWER_SECONDS) -> Mapping[str, list[str]]:
        """Run a script that answers in sections."""
        code, said = self.run(script, timeout=timeout)
        if not said.strip():
            raise HostError(self.name, f"the host said nothing (ended with {code})", "run sudo there by hand")
        return commands.sections(said)

    def failed(self, what: str, said: str, unit: str = "") -> HostError:
        """A failure with what is known of it: the last lines of a unit's journal, or of what was said."""
        lines = said.splitlines()[-commands.JOURNAL_LINES :]
        if unit:
            with contextlib.suppress(HostError):
                lines = self.run(commands.journal(unit))[1].splitlines() or lines
        return HostError(self.name, what, unit=unit, journal=lines)

    def survey(self, *, refresh: bool = False) -> Survey:
        """What there is to upgrade. refresh: fetch the lists of packages first. HostError: apt could not."""
        if refresh:
            self.act(commands.REFRESH, what="apt-get update failed", timeout=REFRESH_SECONDS)
        return facts.survey(self.name, self.ask(commands.SURVEY))

    def upgrade(self, started: Callable[[], object] = lambda: None) -> None:
        """Upgrade every package; what a killed run began is waited for first. HostError: with the unit's journal."""
        with self._patience():
            before = facts.result(self.ask(commands.FINISHED))
            if before["running"]:
                self._end()
        self.act(commands.upgrade(), what="the upgrade could not be started", unit=commands.UNIT)
        started()
        self._end()

    def _end(self) -> None:
        """Wait for the end of the upgrade's unit, over as many connections as it takes."""
        until = time.monotonic() + UPGRADE_SECONDS
        while time.monotonic() < until:
            with self._patience():
                said = facts.result(self.ask(commands.FINISHED))
                if said["failed"]:
                    raise self.failed(f"{ENDED} failed", "", commands.UNIT)
                if not said["running"]:
                    return
        raise self.failed(f"{ENDED} did not end within {UPGRADE_SECONDS:.0f} s", "", commands.UNIT)

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """sshd may be away for a moment while it is upgraded: within, that is waited out."""
        try:
            yield
        except UnreachableError:
            self.wait(lambda: self.run("true")[0] == 0, "an answer over ssh", 30)

    def reboot(self, boot: str) -> None:
        """Reboot, and wait for the end of the boot. boot: id of the present one. HostError: it did not come back."""
        with contextlib.suppress(UnreachableError):  # the line may go before the answer
            self.run(commands.REBOOT)
        self.wait(lambda: self._booted(boot), "the end of its boot", BACK_SECONDS)

    def _booted(self, before: str) -> bool:
        said = self.ask(commands.HEALTH)
        return "".join(said.get("boot", ())) not in ("", before) and self._system(said) in ("running", "degraded")

    @staticmethod
    def _system(said: Mapping[str, list[str]]) -> str:
        return "".join(said.get("system", ())).strip()

    def healthy(self, failed_before: Sequence[str]) -> None:
        """HostError unless systemd runs and no unit failed that had not before."""
        self.wait(lambda: self._system(self.ask(commands.HEALTH)) in ("running", "degraded"), "systemd running", 120)
        failed = [unit for unit in self.ask(commands.HEALTH).get("failed", ()) if unit.strip() not in failed_before]
        if failed:
            raise self.failed(f"{', '.join(failed)} failed", "", failed[0])

    def wait(self, check: Callable[[], object], what: str, seconds: float) -> None:
        """Wait on a condition; a host that does not answer yet is none. HostError: not within so many seconds."""
        until, why = time.monotonic() + seconds, ""
        while True:
            try:
                if check():
                    return
            except UnreachableError as error:
                why = f": {error.what}"
            if time.monotonic() > until:
                raise HostError(self.name, f"{what}: not within {seconds:.0f} s{why}", "look at its console")
            time.sleep(POLL_SECONDS)
