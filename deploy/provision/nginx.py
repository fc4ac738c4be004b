"""Role nginx: the web server in front of the application."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.provision import operations


@deploy("nginx")
def nginx() -> None:
    """As roles/nginx has it."""
    server()
    operations.files(name="The site of the application is in place", role="nginx", set_name="site")
    operations.units(name="The service runs, by that configuration", role="nginx")


def server() -> None:
    """What a load balancer by nginx has as well."""
    operations.packages(name="Packages are installed", role="nginx", start=False)
    operations.files(
        name="The server's configuration is in place, and Debian's example site is gone", role="nginx",
        set_name="server",
    )  # fmt: skip
