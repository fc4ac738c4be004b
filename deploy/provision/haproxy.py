"""Role haproxy: HAProxy as the load balancer."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.provision import loadbalancer, operations


@deploy("haproxy")
def haproxy() -> None:
    """As roles/haproxy has it."""
    operations.packages(name="Packages are installed", role="haproxy", start=False)
    operations.files(name="Configuration is in place", role="haproxy")
    operations.units(name="The service runs, by that configuration", role="haproxy")
    loadbalancer.succeed()
