"""Role cron: scheduled jobs that run once a fleet."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.provision import operations


@deploy("cron")
def cron() -> None:
    """As roles/cron has it."""
    operations.packages(name="Packages are installed", role="cron")
    operations.files(
        name="The program that runs a job once a fleet, and the jobs that the roles declare, are in place", role="cron"
    )
    operations.units(name="The service runs", role="cron")
