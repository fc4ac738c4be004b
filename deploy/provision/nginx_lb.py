"""Role nginx_lb: nginx as the load balancer."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.provision import loadbalancer, nginx, operations


@deploy("nginx_lb")
def nginx_lb() -> None:
    """As roles/nginx_lb has it."""
    nginx.server()
    operations.packages(name="Packages of the load balancer are installed", role="nginx_lb")
    operations.files(name="The site of the load balancer is in place", role="nginx_lb")
    operations.units(name="The service runs, by that configuration", role="nginx")
    operations.units(name="Health and metrics are watched", role="nginx_lb")
    loadbalancer.succeed()
