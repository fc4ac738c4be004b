"""Migrations: what the database has applied, and applying what a release adds."""

import json
import subprocess
from typing import Any

from .layout import HelperError, Layout
from .store import manifest_of

MANAGE = "booking-manage"


def applied(release: str) -> set[str]:
    """The migrations that the database knows ("app.name"), read without starting Django.

    HelperError if the database does not answer. Before the first migration the set is empty.
    """
    done = subprocess.run([MANAGE, "--release", release, "--applied"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelperError("the database could not be asked for its migrations", journal=tail(done.stderr))
    return set(json.loads(done.stdout))


def migrate(layout: Layout, release: str) -> dict[str, Any]:
    """Apply the migrations of a release that the database lacks, if any; answers their names."""
    wanted: list[str] = manifest_of(layout, release)["migrations"]
    missing = sorted(set(wanted) - applied(release))
    if missing:
        done = subprocess.run(
            [MANAGE, "--release", release, "migrate", "--noinput"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HelperError(
                f"the migration failed (of {', '.join(missing)})", journal=tail(done.stdout + done.stderr)
            )
    return {"migrated": missing}


def tail(text: str) -> tuple[str, ...]:
    """The last lines of a program's output."""
    return tuple(text.splitlines()[-20:])
