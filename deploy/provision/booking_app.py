"""Role booking_app: a host that is ready to run releases. The application itself is the release engine's."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.provision import operations


@deploy("booking_app")
def booking_app() -> None:
    """As roles/booking_app has it; nothing here restarts the application."""
    operations.packages(name="Packages that releases need are installed", role="booking_app")
    operations.accounts(name="The user that runs the service exists", role="booking_app")
    operations.files(name="Secrets are in place", role="booking_app", set_name="secrets")
    operations.files(
        name="Folders, the release helper, settings, units and the deploy account's one privilege are in place",
        role="booking_app",
    )
    operations.units(name="The current release will come back after a boot", role="booking_app")
