"""Which roles of the stateless part a host has, and what is asked of it for them before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from pyinfra import host as current

from deploy import inventory
from deploy.declarations import View
from deploy.opened import Opened, vault
from deploy.provision import certbot as certificates
from deploy.provision import firewall as walls
from deploy.provision import keepalived as floating
from deploy.provision import loadbalancer as balancers
from deploy.provision.base import base
from deploy.provision.booking_app import booking_app
from deploy.provision.certbot import certbot
from deploy.provision.cron import cron
from deploy.provision.firewall import firewall
from deploy.provision.haproxy import haproxy
from deploy.provision.here import Here
from deploy.provision.keepalived import keepalived
from deploy.provision.loadbalancer import loadbalancer
from deploy.provision.nginx import nginx
from deploy.provision.nginx_lb import nginx_lb
from deploy.rendering import value

ROLES: dict[str, Callable[[], object]] = {
    "base": base, "firewall": firewall, "booking_app": booking_app, "cron": cron, "nginx": nginx,
    "loadbalancer": loadbalancer, "haproxy": haproxy, "nginx_lb": nginx_lb, "keepalived": keepalived,
    "certbot": certbot,
}  # fmt: skip
ENGINES = {"haproxy": "haproxy", "nginx_lb": "nginx"}
LATER = (*floating.LATER, *certificates.LATER)


def converge() -> None:
    """Every role of the host that pyinfra has in hand."""
    host = current.state.inventory.get_host(current.name)
    view = _view()
    names = roles_of(view, host.name)
    Here(host, view, declaring(names), LATER, questions(view, host.name, names))
    for name in names:
        ROLES[name]()


def roles_of(view: View, host: str) -> list[str]:
    """The roles of the stateless part that site.yml runs on a host, in its order; of two engines the chosen one."""
    found = [name for name in view.tree.roles_of(host, view.groups) if name in ROLES]
    return [name for name in found if name not in ENGINES or view.value(host, "loadbalancer_engine") == ENGINES[name]]


def declaring(names: Iterable[str]) -> list[str]:
    """Those whose declarations these roles use, each once: nginx as a load balancer is the web server's as well."""
    return list(dict.fromkeys(each for name in names for each in (("nginx", name) if name == "nginx_lb" else (name,))))


def questions(view: View, host: str, names: Iterable[str]) -> dict[str, list[str]]:
    """What is asked of a host's own programs for these roles, by name."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name == "firewall":
            found |= walls.QUESTIONS
        if name == "loadbalancer":
            found |= balancers.QUESTIONS
        if name == "keepalived" and value(view, host, "keepalived_floats"):
            found |= floating.questions(value(view, host, "keepalived_own"))
        if name == "certbot":
            found |= certificates.QUESTIONS
            found |= certificates.ISSUER_QUESTIONS if value(view, host, "certbot_issues") else {}
    return found


@cache
def _view() -> Opened:
    return Opened(inventory.load(inventory.chosen()), cache(vault))
