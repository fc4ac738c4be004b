"""Migrations: what the database has applied, and applying what a release adds."""

import json
import subprocess
import time
from typing import Any

from .layout import HelperError, Layout
from .store import manifest_of

MANAGE = "booking-manage"
LOCK_TIMEOUT = "due to lock timeout"  # PostgreSQL's words
ATTEMPTS = 5
PAUSE_SECONDS = 1.0


def applied(release: str) -> set[str]:
    """The migrations that the database knows ("app.name"), read without starting Django.

    HelperError if the database does not answer. Before the first migration the set is empty.
    """
    done = subprocess.run([MANAGE, "--release", release, "--applied"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelperError("the database could not be asked for its migrations", journal=tail(done.stderr))
    return set(json.loads(done.stdout))


def migrate(layout: Layout, release: str) -> dict[str, Any]:
    """Apply the migrations of a release that the database lacks, if any; answers their names.

    A statement that waits for a lock would hold up every request behind it, so `booking-manage migrate` gives up
    after two seconds and is tried again here, while requests pass in between.
    """
    wanted: list[str] = manifest_of(layout, release)["migrations"]
    missing = sorted(set(wanted) - applied(release))
    for attempt in range(ATTEMPTS if missing else 0):
        command = [MANAGE, "--release", release, "migrate", "--noinput"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            break
        said = done.stdout + done.stderr
        if LOCK_TIMEOUT not in said or attempt == ATTEMPTS - 1:
            raise HelperError(f"the migration failed (of {', '.join(missing)})", journal=tail(said))
        time.sleep(PAUSE_SECONDS)
    return {"migrated": missing}


def tail(text: str) -> tuple[str, ...]:
    """The last lines of a program's output."""
    return tuple(text.splitlines()[-20:])
