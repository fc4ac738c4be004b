"""All hosts of a run at once: connect, act in parallel, hold the lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from deploy.errors import LockedError, PreflightError
from deploy.release import commands, lock
from deploy.release.remote import HostError, Remote
from deploy.release.settings import Settings, Target

T = TypeVar("T")


class Session:
    """Connections to hosts, in inventory order; a context manager that closes them and frees the lock."""

    def __init__(self, targets: Sequence[Target], settings: Settings) -> None:
        self.settings = settings
        self.remotes = {target.name: Remote(target, settings) for target in targets}
        self.tokens: dict[str, int] = {}
        self._owner: dict[str, Any] = {}
        self._pool = ThreadPoolExecutor(max_workers=max(len(targets), 1), thread_name_prefix="host")

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts, in inventory order."""
        return list(self.remotes)

    def __enter__(self) -> Self:
        """Connect to every host at once. PreflightError: names every host that cannot be used, and why."""
        try:
            self.each(self.hosts, lambda remote: remote.connect())
        except HostsError as failures:
            self.close()
            raise failures.as_preflight(self.settings.env) from None
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

    def each(self, hosts: Iterable[str], act: Callable[[Remote], T]) -> dict[str, T]:
        """Act on several hosts at once; answers by host. HostsError, once all have ended, if any failed.

        An interruption ends what is under way on the hosts' connections before it goes on.
        """
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
        if failed:
            others = [error for error in failed if not isinstance(error, HostError)]
            raise others[0] if others else HostsError([e for e in failed if isinstance(e, HostError)])
        return {host: future.result() for host, future in futures.items()}

    def status(self) -> dict[str, dict[str, Any]]:
        """What every host says of itself. HostsError: one that does not answer."""
        return self.each(self.hosts, lambda remote: remote.call(commands.status()))

    def lock(self, command: str) -> None:
        """Take the lock on every host, in inventory order. LockedError: who holds it."""
        self._owner = owner = lock.owner(command)
        for host in self.hosts:
            answer = self.remotes[host].call(commands.lock(owner))
            if (held := answer.get("held")) and lock.is_dead(held["owner"]):
                answer = self.remotes[host].call(commands.lock(owner, replace=held["token"]))
            if held := answer.get("held"):
                self.unlock()
                raise LockedError(lock.describe(held), host, lock.mend(self.remotes[host].target.address, held))
            self.tokens[host] = answer["token"]

    def fence(self) -> None:
        """Take a new token everywhere. What this run still has under way on a host cannot act any more: to end a
        connection does not end what was called through it.

        HostsError: a host that did not answer; it keeps its old token.
        """

        def renew(remote: Remote) -> None:
            answer = remote.call(commands.lock(self._owner, replace=self.tokens[remote.name]))
            if "held" in answer:
                raise HostError(remote.name, f"its lock was taken: {lock.describe(answer['held'])}")
            self.tokens[remote.name] = answer["token"]

        self.each(list(self.tokens), renew)

    def unlock(self) -> None:
        """Free the lock wherever it is held; a host that is gone is passed over."""
        held, self.tokens = dict(self.tokens), {}

        def free(remote: Remote) -> None:
            # a lock that stays names this process: the next run finds it dead and replaces it
            with contextlib.suppress(HostError):
                remote.call(commands.unlock(held[remote.name]), timeout=5)

        self.each(held, free)


class HostsError(Exception):
    """At least one host failed."""

    def __init__(self, failures: Sequence[HostError]) -> None:
        super().__init__("; ".join(str(failure) for failure in failures))
        self.failures = list(failures)

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


def _paragraph(failure: HostError) -> str:
    lines: Mapping[str, Sequence[str]] = {failure.unit: failure.journal}
    head = f"  {failure.host}: {failure.what}"
    unit = [f"    last lines of {name or 'its output'}:" for name, found in lines.items() if found]
    return "\n".join([head, *unit, *(f"      {line}" for line in failure.journal)])
