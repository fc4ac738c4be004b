"""All hosts of a run at once: connect, act in parallel, hold the lock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from deploy.errors import LockedError, PreflightError
from deploy.release import commands, lock
from deploy.release.lease import Lease
from deploy.release.remote import FencedError, HostError, Remote, UnreachableError
from deploy.release.settings import Settings, Target

T = TypeVar("T")
LOCK_POLL_SECONDS = 1.0
UNLOCK_SECONDS = 2.0  # the end of a run that was interrupted, which has a few seconds in all


class Session:
    """Connections to hosts, in inventory order; a context manager that closes them and frees the lock.

    missing: hosts without a connection, and why; the session goes on without them.
    """

    def __init__(self, targets: Sequence[Target], settings: Settings) -> None:
        self.settings = settings
        self.remotes = {target.name: Remote(target, settings) for target in targets}
        self.missing: dict[str, HostError] = {}
        self.lease = Lease(settings.lease_seconds, dict(self.remotes), self._abort)
        self._pool = ThreadPoolExecutor(max_workers=max(len(targets), 1), thread_name_prefix="host")

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts that are connected, in inventory order."""
        return list(self.remotes)

    def __enter__(self) -> Self:
        """Connect to every host at once."""
        try:
            self.each(self.hosts, _reach)
        except HostsError as failures:
            for failure in failures.failures:
                self.drop(failure)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Free the lock and close, whatever happened."""
        self.unlock()
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for remote in self.remotes.values():
            remote.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def drop(self, failure: HostError) -> None:
        """Go on without a host. Its lock, if it has one, runs out by itself."""
        self.missing[failure.host] = failure
        self.lease.tokens.pop(failure.host, None)
        if remote := self.remotes.pop(failure.host, None):
            remote.close()

    def each(self, hosts: Iterable[str], act: Callable[[Remote], T]) -> dict[str, T]:
        """Act on several hosts at once; answers by host. HostsError, once all have ended, if any failed.

        LostLockError: this run does not hold the lock any more. An interruption ends what is under way on the
        hosts' connections before it goes on.
        """
        self.lease.check()
        futures: dict[str, Future[T]] = {host: self._pool.submit(act, self.remotes[host]) for host in hosts}
        try:
            failed = [error for future in futures.values() if (error := future.exception())]
        except BaseException:
            for host in futures:
                self.remotes[host].abort()
            for future in futures.values():
                if not future.cancel():
                    future.exception()
            raise
        for error in failed:
            if isinstance(error, FencedError):
                self.lease.lose(error)
        self.lease.check()
        answers = {host: future.result() for host, future in futures.items() if not future.exception()}
        if failed:
            others = [error for error in failed if not isinstance(error, HostError)]
            raise others[0] if others else HostsError([e for e in failed if isinstance(e, HostError)], answers)
        return answers

    def status(self) -> dict[str, dict[str, Any]]:
        """What every host says of itself. HostsError: one that does not answer."""
        return self.each(self.hosts, lambda remote: remote.call(commands.status()))

    @property
    def tokens(self) -> Mapping[str, int]:
        """The lock's token by host; empty while this run holds none."""
        return self.lease.tokens

    def lock(self, command: str, wait: float = 0) -> None:
        """Take the lock on every host, in inventory order, waiting up to `wait` seconds for another's run to end.

        LockedError: who holds it. HostError: a host that does not answer.
        """
        owner, until = lock.owner(command), time.monotonic() + wait
        self.lease.owner = owner
        try:
            while refused := self._take(owner):
                self._free()
                host, held = refused
                if time.monotonic() >= until:
                    raise LockedError(lock.describe(held), host, lock.mend(self.remotes[host].target.address, held))
                time.sleep(min(LOCK_POLL_SECONDS, max(until - time.monotonic(), 0)))
        except BaseException:
            self._free()
            raise
        self.lease.start()

    def _take(self, owner: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Take the lock host by host; answers the first host that another holds, and that lock."""
        for host in self.hosts:
            answer = self.remotes[host].call(commands.lock(owner))
            if (held := answer.get("held")) and lock.is_dead(held["owner"]):
                answer = self.remotes[host].call(commands.lock(owner, replace=held["token"]))
            if held := answer.get("held"):
                return host, held
            self.lease.tokens[host] = answer["token"]
        return None

    def fence(self, timeout: float = 120) -> None:
        """Take a new token everywhere. What this run still has under way on a host cannot act any more: to end a
        connection does not end what was called through it.

        A host that does not answer within `timeout` seconds, over a new connection either, is dropped.
        """
        self._abort()
        try:
            self.each(list(self.lease.tokens), lambda remote: self.lease.renew(remote, timeout))
        except HostsError as failures:
            for failure in failures.failures:
                self.drop(failure)

    def unlock(self) -> None:
        """Free the lock wherever it is held; a host that is gone is passed over."""
        self.lease.stop()
        self._free()

    def _free(self) -> None:
        held = dict(self.lease.tokens)
        self.lease.tokens.clear()

        def free(host: str) -> None:
            # a lock that stays runs out; and it names this process, which the next run finds dead
            with contextlib.suppress(HostError):
                self.remotes[host].call(commands.unlock(held[host]), timeout=UNLOCK_SECONDS)

        for future in [self._pool.submit(free, host) for host in held]:
            future.exception()

    def _abort(self) -> None:
        for remote in list(self.remotes.values()):
            remote.abort()


class HostsError(Exception):
    """At least one host failed. answers: those of the others."""

    def __init__(self, failures: Sequence[HostError], answers: Mapping[str, Any] | None = None) -> None:
        super().__init__("; ".join(str(failure) for failure in failures))
        self.failures, self.answers = list(failures), dict(answers or {})

    def unreachable(self) -> bool:
        """Whether all that failed is that hosts could not be reached."""
        return all(isinstance(failure, UnreachableError) for failure in self.failures)

    def text(self) -> str:
        """All failures: host, what, unit and the last lines of its journal."""
        return "\n".join(_paragraph(failure) for failure in self.failures)

    def mend(self) -> str:
        """What mends the first failure that knows it; empty if none does."""
        return next((failure.mend for failure in self.failures if failure.mend), "")

    def as_preflight(self, env: str) -> PreflightError:
        """These failures as a condition that did not hold before anything was touched."""
        mend = self.mend() or f"ansible-playbook -i inventories/{env} site.yml"
        return PreflightError(f"not every host can be used, nothing was changed:\n{self.text()}", mend=mend)


def _reach(remote: Remote) -> None:
    remote.connect()
    remote.greet()


def _paragraph(failure: HostError) -> str:
    head = f"  {failure.host}: {failure.what}"
    unit = [f"    last lines of {failure.unit or 'its output'}:"] if failure.journal else []
    return "\n".join([head, *unit, *(f"      {line}" for line in failure.journal)])
