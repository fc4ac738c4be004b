"""The scheduled jobs that roles declare: as a role's variable lists them, and what may be wrong with one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deploy.schedule import ScheduleError, parse

# What a unit, a journal's identifier and a file may all be called.
_NAME = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_USER = re.compile(r"[a-z_][a-z0-9_-]*", re.ASCII)


@dataclass(frozen=True, order=True)
class Job:
    """One scheduled job of a host.

    schedule: as crontab(5). command: words as a shell splits them, run without one. user: who runs it.
    timeout_seconds: after which it is ended. needs: a path without which it is not due yet; "" for none.
    """

    name: str
    schedule: str
    command: str
    user: str
    timeout_seconds: int
    needs: str = ""

    def plain(self) -> dict[str, Any]:
        """The job as a template takes it, by the names of the fields."""
        return asdict(self)


def faults(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the values of a job whose keys and types are sound: the key, and a message."""
    if not _NAME.fullmatch(job["name"]):
        yield "name", "begins with a lower-case letter and goes on with such letters, digits and hyphens"
    try:
        parse(job["schedule"])
    except ScheduleError as error:
        yield "schedule", str(error)
    try:
        if not shlex.split(job["command"]):
            yield "command", "is empty"
    except ValueError as error:
        yield "command", f"cannot be split into words: {error}"
    if not _USER.fullmatch(job["user"]):
        yield "user", "is not the name of a user"
    if job["timeout_seconds"] < 1:
        yield "timeout_seconds", "is at least 1"
    if job.get("needs") and not job["needs"].startswith("/"):
        yield "needs", "is an absolute path"
