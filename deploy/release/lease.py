"""The heartbeat: while a run works, its locks are kept alive; a lock that was lost is noticed at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from deploy.errors import LostLockError
from deploy.release import commands
from deploy.release.remote import FencedError, HostError, Remote, UnreachableError

BEATS_A_LEASE = 3


class Lease:
    """Tokens by host, and a thread that shows every host a sign of life.

    It uses channels of its own, so that a long act does not hold it up. lost: set once a host refused a token;
    who waits for anything else waits on it as well. owner: this run as the locks name it.
    """

    def __init__(self, seconds: float, remotes: Mapping[str, Remote], on_lost: Callable[[], None]) -> None:
        self.tokens: dict[str, int] = {}
        self.owner: Mapping[str, Any] = {}
        self.lost = threading.Event()
        self._remotes, self._on_lost, self._why = remotes, on_lost, ""
        self._every = seconds / BEATS_A_LEASE
        self._turns = {host: threading.Lock() for host in remotes}  # a beat never meets a change of its own token
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat. Once, when all locks are held."""
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the beat; what is under way ends by itself."""
        self._over.set()

    def renew(self, remote: Remote, timeout: float) -> None:
        """Take a new token on a host, over a new connection where the old one is broken: what this run still has
        under way there cannot act any more. Each answer has `timeout` seconds to come.

        A host that answers, but cannot do it, keeps the old token. FencedError: the lock is another's by now.
        UnreachableError: no answer, or the host came back without its lock; this run has no token for it any more.
        """
        with self._turn(remote, timeout):
            token = self.tokens[remote.name]
            try:
                self.tokens[remote.name] = self._renewed(remote, token, timeout)
            except UnreachableError:
                del self.tokens[remote.name]
                remote.reconnect(timeout)
                try:
                    self.tokens[remote.name] = self._renewed(remote, token, timeout)
                except FencedError as gone:  # it restarted, and its lock with it: no reason to leave the rest
                    raise UnreachableError(remote.name, f"it came back without its lock: {gone.what}") from None

    def _renewed(self, remote: Remote, token: int, timeout: float) -> int:
        """The new token; the old one of a host that answers but cannot do it. FencedError: the lock is lost."""
        try:
            return int(remote.call(commands.renew(token), timeout=timeout)["token"])
        except UnreachableError:
            raise
        except FencedError:
            if taken := self._retake(remote, token, timeout):
                return taken
            raise
        except HostError:
            return token

    def _retake(self, remote: Remote, token: int, timeout: float) -> int | None:
        """The token of a lock that ran out and that nobody has claimed since, taken again; None: it is lost.

        Tokens rise by one at a time: after another's lock, the next one would be higher.
        """
        try:
            held = remote.call(commands.status(), timeout=timeout).get("lock") or {}
            if held.get("token") == token + 1 and held["owner"] == self.owner and not held["expired"]:
                return token + 1  # it was renewed, and only the answer did not arrive
            if held.get("token") != token or not held["expired"]:
                return None
            taken = remote.call(commands.lock(self.owner), timeout=timeout).get("token")
            if taken and taken != token + 1:
                remote.call(commands.unlock(taken), timeout=timeout)
        except HostError:
            return None
        return taken if taken == token + 1 else None

    @contextmanager
    def _turn(self, remote: Remote, timeout: float) -> Iterator[None]:
        if not self._turns[remote.name].acquire(timeout=timeout):
            self.tokens.pop(remote.name, None)
            raise UnreachableError(remote.name, f"no answer to a sign of life within {timeout:.0f} s")
        try:
            yield
        finally:
            self._turns[remote.name].release()

    def lose(self, failure: FencedError) -> None:
        """Note that a lock was lost."""
        if not self.lost.is_set():
            self._why = str(failure)
            self.lost.set()
            self._on_lost()

    def check(self) -> None:
        """LostLockError if a lock was lost."""
        if self.lost.is_set():
            raise LostLockError(
                "the lock was lost while this run worked; it stopped where it was", self._why,
                "fab status says what runs; the next fab deploy, rollback or restart finishes it or puts it back",
            )  # fmt: skip

    def _run(self) -> None:
        with ThreadPoolExecutor(max_workers=max(len(self._remotes), 1), thread_name_prefix="beat") as pool:
            while not self._over.wait(self._every):
                for host in list(self.tokens):
                    pool.submit(self._beat, host)

    def _beat(self, host: str) -> None:
        if not self._turns[host].acquire(blocking=False):
            return  # the beat before has no answer yet, or a new token is on its way
        try:
            if token := self.tokens.get(host):
                self._show(self._remotes[host], token)
        except FencedError as failure:
            if not self._over.is_set() and host in self.tokens:
                self.lose(failure)
        except HostError:
            return  # a host that is gone is noticed by the act that needs it
        finally:
            self._turns[host].release()

    def _show(self, remote: Remote, token: int) -> None:
        """One sign of life, over a new connection where the old one is broken; a lock that ran out is taken again."""
        try:
            try:
                remote.call(commands.beat(token), timeout=self._every)
            except UnreachableError:
                if self._over.is_set() or not remote.idle():
                    raise
                remote.reconnect()
                remote.call(commands.beat(token), timeout=self._every)
        except FencedError:
            taken = None if self._over.is_set() else self._retake(remote, token, self._every)
            if taken is None:
                raise
            self.tokens[remote.name] = taken
