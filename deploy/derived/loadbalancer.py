"""What the load balancers' roles make of an inventory."""

from __future__ import annotations

from typing import Any

from deploy import declarations
from deploy.declarations import View


def loadbalancer_names(view: View, host: str) -> list[str]:
    """Every name that the service answers to, the domain first."""
    return [view.value(host, "loadbalancer_domain"), *view.value(host, "loadbalancer_extra_domains")]


def loadbalancer_servers(view: View, _host: str) -> dict[str, dict[str, Any]]:
    """The web servers by host name, in inventory order: address and port of each."""
    return {
        name: {"address": declarations.address(view, name), "port": view.value(name, "nginx_port")}
        for name in view.groups.get("web", ())
    }
