"""The load balancers' own helper, over ssh: drains, maintenance, and what each web host answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from deploy.release.canary import Traffic
from deploy.release.commands import Command
from deploy.release.remote import HostError, Remote, UnreachableError
from deploy.release.session import HostsError
from deploy.release.settings import Settings, Target

HELPER = "/usr/local/sbin/booking-balancer"
ANSWER_SECONDS = 30.0
T = TypeVar("T")


def helper(act: str, *arguments: str) -> Command:
    """A call of the root-owned helper."""
    return ("sudo", "-n", HELPER, act, *arguments)


def status() -> Command:
    """Ask for drains, maintenance and the servers' states."""
    return helper("status")


def drain(host: str) -> Command:
    """Send a web host no new request."""
    return helper("drain", host)


def undrain(host: str) -> Command:
    """Send a web host requests again."""
    return helper("undrain", host)


def maintenance(on: bool, retry_after: int | None = None) -> Command:
    """Answer everyone 503, or no longer. retry_after: seconds until clients may ask again."""
    retry = ("--retry-after", str(retry_after)) if on and retry_after is not None else ()
    return helper("maintenance", "on" if on else "off", *retry)


def traffic(since: float, until: float | None = None) -> Command:
    """Count what clients got between two times (Unix time; until now)."""
    end = () if until is None else ("--until", f"{until:.3f}")
    return helper("traffic", "--since", f"{since:.3f}", *end)


@dataclass(frozen=True)
class Standing:
    """What a balancer does: drained web hosts; maintenance and since when (Unix time); what it says of each server."""

    drained: frozenset[str]
    maintenance: bool
    retry_after: int
    since: int | None
    servers: dict[str, str]


class Edge:
    """Every load balancer of an environment, over ssh as the deploy account; what is done is done on all."""

    def __init__(self, targets: Sequence[Target], settings: Settings) -> None:
        self.settings = settings
        self._remotes = {target.name: Remote(target, settings) for target in targets}
        self._pool = ThreadPoolExecutor(max_workers=max(len(targets), 1), thread_name_prefix="balancer")
        self._closed = False

    def connect(self) -> None:
        """Connect to all at once. PreflightError: names every balancer that cannot be reached, and why."""
        try:
            self._each(lambda remote: remote.connect())
        except HostsError as failures:
            raise failures.as_preflight(self.settings.env) from None

    def close(self) -> None:
        """Close all connections; what is under way over them ends."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for remote in self._remotes.values():
            remote.close()

    def status(self) -> dict[str, Standing]:
        """What each balancer does. HostsError: one that does not answer."""
        found = {}
        for name, said in self._call(status()).items():
            on = said["maintenance"]
            found[name] = Standing(
                frozenset(said["drained"]), bool(on["on"]), int(on["retry_after"]), on["since"], dict(said["servers"])
            )
        return found

    def drained(self) -> set[str]:
        """The web hosts that at least one balancer leaves out."""
        return {host for standing in self.status().values() for host in standing.drained}

    def drain(self, host: str) -> None:
        """Send a web host no new request, until it is undrained. HostsError: a balancer did not."""
        self._call(drain(host))

    def undrain(self, host: str) -> None:
        """Send a web host requests again; one that is not drained stays as it is. HostsError."""
        self._call(undrain(host))

    def maintenance(self, on: bool, retry_after: int | None = None) -> None:
        """Answer every client 503, or let them through again. HostsError: a balancer did not."""
        self._call(maintenance(on, retry_after))

    def traffic(self, since: float, until: float | None = None) -> dict[str, list[Traffic]]:
        """What clients got between two times (Unix time): web host -> what each balancer counted of it. HostsError."""
        found: dict[str, list[Traffic]] = {}
        for said in self._call(traffic(since, until)).values():
            for host, counted in said["servers"].items():
                times = (float(counted["p50_ms"] or 0), float(counted["p95_ms"] or 0))
                found.setdefault(host, []).append(Traffic(counted["requests"], counted["errors"], *times))
        return found

    def _call(self, command: Command) -> dict[str, dict[str, Any]]:
        """One act on each, over a new connection where the old one is gone: every act can be repeated."""

        def act(remote: Remote) -> dict[str, Any]:
            try:
                return remote.call(command, timeout=ANSWER_SECONDS)
            except UnreachableError:
                if self._closed:
                    raise
                remote.close()
                remote.connect()
                return remote.call(command, timeout=ANSWER_SECONDS)

        return self._each(act)

    def _each(self, act: Callable[[Remote], T]) -> dict[str, T]:
        futures = {name: self._pool.submit(act, remote) for name, remote in self._remotes.items()}
        failed = [error for future in futures.values() if (error := future.exception())]
        others = [error for error in failed if not isinstance(error, HostError)]
        if failed:
            raise others[0] if others else HostsError([error for error in failed if isinstance(error, HostError)])
        return {name: future.result() for name, future in futures.items()}
