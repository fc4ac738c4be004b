"""Pure builders of the argument lists that hosts run. One place, so that tests see every command there is."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

HELPER = "/usr/local/sbin/booking-release"
Command = tuple[str, ...]


def helper(act: str, *arguments: str, token: int | None = None) -> Command:
    """A call of the root-owned helper; acts that change something carry the lock's token."""
    lock = () if token is None else ("--token", str(token))
    return ("sudo", "-n", HELPER, act, *lock, *arguments)


def session() -> Command:
    """Begin a conversation: acts one after another, each without the start of a program."""
    return helper("session")


def status() -> Command:
    """Ask for the state of a host."""
    return helper("status")


def lock(owner: Mapping[str, Any], replace: int | None = None) -> Command:
    """Take the lock; `replace` is the token of a lock whose owner is dead."""
    dead = () if replace is None else ("--replace", str(replace))
    return helper("lock", *dead, json.dumps(owner, sort_keys=True))


def beat(token: int) -> Command:
    """A sign of life: the lock holds for another lease."""
    return helper("beat", token=token)


def renew(token: int) -> Command:
    """A new token for the same owner: what was begun under the old one cannot act any more."""
    return helper("renew", token=token)


def unlock(token: int) -> Command:
    """Give the lock back."""
    return helper("unlock", token=token)


def preflight() -> Command:
    """Ask for what has to hold before anything is touched: clock, space, memory, Python, credentials, names."""
    return helper("preflight")


def database() -> Command:
    """Ask the database, as the application of this host would: applied migrations, connections, long transactions."""
    return helper("database")


def stage(release: str, parts: Sequence[str], token: int) -> Command:
    """Receive a release on standard input: the manifest on one line, then `parts` in this order."""
    return helper("stage", *(word for part in parts for word in ("--part", part)), release, token=token)


def migrate(release: str, token: int) -> Command:
    """Apply the migrations that the database lacks."""
    return helper("migrate", release, token=token)


def start(release: str, token: int, reuse: str = "") -> Command:
    """Start an activation and wait until it is ready: a new one, or what is missing beside a warm one."""
    return helper("start", *(("--reuse", reuse) if reuse else ()), release, token=token)


def swap(activation: str, token: int) -> Command:
    """Switch the host to a running activation."""
    return helper("swap", activation, token=token)


def retire(token: int, warm: str = "", seconds: int = 0, *, wait: bool = True) -> Command:
    """Stop every activation but the serving one; the web server of `warm` stays up for that many seconds.

    wait: for what is stopped to finish what it does.
    """
    kept = ("--warm", warm, "--seconds", str(seconds)) if warm else ()
    return helper("retire", *kept, *(() if wait else ("--no-wait",)), token=token)


def stop(activation: str, token: int) -> Command:
    """Stop one activation that does not serve."""
    return helper("stop", activation, token=token)


def clear(token: int, *, wait: bool = True) -> Command:
    """Back to a host without a release. wait: for what is stopped to finish what it does."""
    return helper("clear", *(() if wait else ("--no-wait",)), token=token)


def record(token: int) -> Command:
    """Append the ledger entry that comes on standard input."""
    return helper("record", token=token)


def remove(releases: Sequence[str], token: int) -> Command:
    """Delete releases, and what only they referred to."""
    return helper("remove", *releases, token=token)


def spoken(command: Command, sent: bytes) -> bytes:
    """A call of the helper, with its standard input, as a line of a conversation with it."""
    return json.dumps([command[len(helper("")) - 1 :], sent.decode()]).encode() + b"\n"


def shell(command: Command) -> str:
    """The command as one line for a remote shell, every word quoted."""
    return shlex.join(command)
