"""What role cron makes of an inventory."""

from __future__ import annotations

from typing import Any

from deploy import declarations
from deploy.declarations import View


def cron_jobs(view: View, host: str) -> list[dict[str, Any]]:
    """The scheduled jobs of the host, by name: name, schedule, command, user, timeout_seconds and needs."""
    return [job.plain() for job in declarations.crons(view, host)]
