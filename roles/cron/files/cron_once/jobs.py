"""What is to be run: the jobs of this host, as the role cron wrote them down."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path("/etc/cron-once.json")


class CronError(Exception):
    """Why a job is not run: what is wrong, on one line."""


@dataclass(frozen=True)
class Job:
    """One job; the fields are described with `deploy.crons.Job`, which they come from."""

    name: str
    schedule: str
    command: str
    user: str
    timeout_seconds: int
    needs: str

    @property
    def words(self) -> list[str]:
        """The command as a program and its arguments."""
        return shlex.split(self.command)

    @property
    def due(self) -> bool:
        """Whether what it needs is there: on a host without it, it is not due yet."""
        return not self.needs or Path(self.needs).exists()


@dataclass(frozen=True)
class Host:
    """This host's name, its jobs by theirs, and where it leaves what is measured of them."""

    name: str
    jobs: dict[str, Job]
    metrics: Path

    def job(self, name: str) -> Job:
        """The job of that name. CronError: nothing declares one."""
        if name not in self.jobs:
            raise CronError(f"there is no job {name!r} here; there are: {', '.join(self.jobs) or 'none'}")
        return self.jobs[name]


def read(path: Path = FILE) -> Host:
    """What the role wrote. CronError: it is missing or broken."""
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        jobs = {each["name"]: Job(**each) for each in told["jobs"]}
        return Host(told["host"], jobs, Path(told["metrics_directory"]))
    except FileNotFoundError:
        raise CronError(f"{path} is missing: converge this host") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CronError(f"{path} is not what the role cron writes ({error}): converge this host") from None
