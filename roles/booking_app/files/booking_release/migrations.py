"""Migrations: applied once, by a release's own code, and tried again where a lock is in the way."""

import subprocess
import time
from typing import Any

from . import database, lock, psql
from .layout import HelperError, Layout
from .store import migrations_of

MANAGE = "booking-manage"
LOCK_TIMEOUT = "due to lock timeout"  # PostgreSQL's words
PATIENCE_SECONDS = 30.0  # for a moment in which nobody holds the lock
PAUSE_SECONDS = 1.0  # what queued up behind an attempt is answered meanwhile


def migrate(layout: Layout, release: str, token: int) -> dict[str, Any]:
    """Apply the migrations of a release that the database lacks, if any; answers their names.

    A statement that waits for a lock holds up every request behind it, so `booking-manage migrate` gives up after
    200 ms and is tried again here, while requests pass in between. Only one runs at a time, whoever calls it, as it
    holds an advisory lock of the database meanwhile.
    """
    missing = sorted(set(migrations_of(layout, release)) - set(database.ask(layout)["applied"]))
    until = time.monotonic() + PATIENCE_SECONDS
    while missing:
        with layout.guard():
            lock.require(layout, token)
        command = [MANAGE, "--release", release, "migrate", "--noinput", "--skip-checks"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            break
        said = done.stdout + done.stderr
        if LOCK_TIMEOUT not in said or time.monotonic() > until:
            raise HelperError(f"the migration failed (of {', '.join(missing)})", journal=psql.tail(said))
        time.sleep(PAUSE_SECONDS)
    return {"migrated": missing}
