"""Which roles of the stateless part a host has, and what is asked of it for them before anything is done."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from gevent.monkey import get_original
from pyinfra import host as current

from deploy import inventory
from deploy.declarations import View
from deploy.opened import Opened, vault
from deploy.provision import certbot, firewall, keepalived, loadbalancer
from deploy.provision.here import Here
from deploy.rendering import value
from deploy.specs import STATELESS

if TYPE_CHECKING:
    from ansible.parsing.vault import VaultLib

ENGINES = {"haproxy": "haproxy", "nginx_lb": "nginx"}


def begin() -> list[str]:
    """The roles of the host that pyinfra has in hand, which from here on is `here()`."""
    host, view = current.state.inventory.get_host(current.name), _view()
    names = roles_of(view, host.name)
    Here(host, view, declaring(names), (*keepalived.LATER, *certbot.LATER), questions(view, host.name, names))
    return names


def roles_of(view: View, host: str) -> list[str]:
    """The roles of the stateless part that site.yml runs on a host, in its order; of two engines the chosen one."""
    found = [name for name in view.tree.roles_of(host, view.groups) if name in STATELESS]
    return [name for name in found if name not in ENGINES or view.value(host, "loadbalancer_engine") == ENGINES[name]]


def declaring(names: Iterable[str]) -> list[str]:
    """Those whose declarations these roles use, each once: nginx as a load balancer is the web server's as well."""
    return list(dict.fromkeys(each for name in names for each in (("nginx", name) if name == "nginx_lb" else (name,))))


def questions(view: View, host: str, names: Iterable[str]) -> dict[str, list[str]]:
    """What is asked of a host's own programs for these roles, by name."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name == "firewall":
            found |= firewall.QUESTIONS
        if name == "loadbalancer":
            found |= loadbalancer.QUESTIONS
        if name == "keepalived" and value(view, host, "keepalived_floats"):
            found |= keepalived.questions(value(view, host, "keepalived_own"))
        if name == "certbot":
            found |= certbot.QUESTIONS
            found |= certbot.ISSUER_QUESTIONS if value(view, host, "certbot_issues") else {}
    return found


@cache
def _view() -> Opened:
    return Opened(inventory.load(inventory.chosen()), cache(_vault))


def _vault() -> VaultLib:
    """The vault, imported with the system's own look-up of names: Ansible tries that with a number of a kind of its
    own, of which gevent would print a traceback."""
    patched = socket.getaddrinfo
    socket.getaddrinfo = get_original("socket", "getaddrinfo")
    try:
        return vault()
    finally:
        socket.getaddrinfo = patched
