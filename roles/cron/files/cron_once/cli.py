"""The command line."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from . import jobs, metrics, running
from .claims import Claim, Claims
from .jobs import CronError, Host, Job
from .schedule import parse

USAGE = "usage: cron-once NAME | cron-once --status"
# A host whose clock is this much ahead of the database's, and calls that much too early, means the time that comes.
AHEAD_SECONDS = 30


def main(arguments: Sequence[str], path: Path = jobs.FILE, claims: Claims | None = None) -> int:
    """The job's exit status; 0 where it is not this host's turn; 1 and a line if it cannot be run; 2 for bad usage."""
    if len(arguments) != 1 or (arguments[0].startswith("-") and arguments[0] != "--status"):
        print(USAGE, file=sys.stderr)
        return 2
    claims = claims or Claims()
    try:
        host = jobs.read(path)
        if arguments[0] == "--status":
            last = claims.last()
            print(json.dumps({name: last.get(name) for name in host.jobs}, indent=2))
            return 0
        return turn(host, host.job(arguments[0]), claims)
    except CronError as error:
        print(f"not run: {error}" if arguments[0] != "--status" else error, file=sys.stderr)
        return 1


def turn(host: Host, job: Job, claims: Claims) -> int:
    """Run a job, unless it is not due here or another host has taken it; its exit status."""
    if not job.due:
        return 0
    claim = Claim(job.name, slot(job, claims.moment()), host.name)
    if not claims.take(claim, running.lease_seconds(job)):
        return 0
    outcome = running.Outcome(127, 0.0)
    try:
        outcome = running.run(job)
    finally:
        try:
            claims.end(claim, ok=not outcome.code)
        except CronError as error:
            print(f"{job.name} holds its lock for {running.lease_seconds(job)} s: {error}", file=sys.stderr)
        metrics.write(host.metrics, job.name, outcome, set(host.jobs))
    if outcome.code:
        print(f"{job.name} failed ({outcome.code}) after {outcome.seconds:.1f} s", file=sys.stderr)
    return outcome.code


def slot(job: Job, moment: float) -> int:
    """The time at which a job is due that a call at *moment* is for (both: seconds since 1970).

    Not simply this minute: hosts whose clocks differ call in different ones, and a host that was held up calls late.
    """
    now = datetime.fromtimestamp(moment + AHEAD_SECONDS)  # noqa: DTZ006 - cron goes by the host's local time
    return int(parse(job.schedule).latest(now).timestamp())
