"""The database, asked with a release's own interpreter: what it has applied, what it has room for; and migrations."""

import json
import subprocess
import time
from typing import Any

from . import lock
from .layout import HelperError, Layout
from .store import manifest_of, migrations_of

MANAGE = "booking-manage"
LOCK_TIMEOUT = "due to lock timeout"  # PostgreSQL's words
PATIENCE_SECONDS = 30.0  # for a moment in which nobody holds the lock
PAUSE_SECONDS = 1.0  # what queued up behind an attempt is answered meanwhile


def database(layout: Layout, release: str) -> dict[str, Any]:
    """What the database says of itself, without starting Django. HelperError if it does not answer.

    {applied: ["app.name"] ([] before the first migration), max_connections, reserved (for administrators),
    connections (of now), long: [{pid, seconds, user, state}] (transactions open for longer than 5 s),
    migrating: whether a migration is under way, whoever started it}
    """
    manifest_of(layout, release)
    command = [MANAGE, "--release", release, "--database"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelperError("the database could not be asked", journal=tail(done.stderr))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def migrate(layout: Layout, release: str, token: int) -> dict[str, Any]:
    """Apply the migrations of a release that the database lacks, if any; answers their names.

    A statement that waits for a lock holds up every request behind it, so `booking-manage migrate` gives up after
    200 ms and is tried again here, while requests pass in between. Only one runs at a time, whoever calls it, as it
    holds an advisory lock of the database meanwhile.
    """
    missing = sorted(set(migrations_of(layout, release)) - set(database(layout, release)["applied"]))
    until = time.monotonic() + PATIENCE_SECONDS
    while missing:
        with layout.guard():
            lock.require(layout, token)
        command = [MANAGE, "--release", release, "migrate", "--noinput"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            break
        said = done.stdout + done.stderr
        if LOCK_TIMEOUT not in said or time.monotonic() > until:
            raise HelperError(f"the migration failed (of {', '.join(missing)})", journal=tail(said))
        time.sleep(PAUSE_SECONDS)
    return {"migrated": missing}


def tail(text: str) -> tuple[str, ...]:
    """The last lines of a program's output."""
    return tuple(text.splitlines()[-20:])
