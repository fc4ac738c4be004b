"""What role certbot makes of an inventory."""

from __future__ import annotations

from typing import Any

from deploy import declarations
from deploy.declarations import View
from deploy.derived.loadbalancer import loadbalancer_names


def certbot_chosen(view: View, host: str) -> str:
    """The balancer that issues for all: the one that is named, else the first."""
    return str(view.value(host, "certbot_issuer") or view.groups["loadbalancers"][0])


def certbot_issues(view: View, host: str) -> bool:
    """Whether it is this host."""
    return host == certbot_chosen(view, host)


def certbot_several(view: View, _host: str) -> bool:
    """Whether there are others to hand certificates on to."""
    return len(view.groups["loadbalancers"]) > 1


def certbot_takes(view: View, host: str) -> bool:
    """Whether this host is handed certificates."""
    return certbot_several(view, host) and not certbot_issues(view, host)


def certbot_peers(view: View, host: str) -> list[str]:
    """The other balancers, in inventory order."""
    return [name for name in view.groups["loadbalancers"] if name != host]


def certbot_sources(view: View, host: str) -> list[str]:
    """The addresses that certificates come from."""
    return declarations.addresses(view, [certbot_chosen(view, host)])


def certbot_configuration(view: View, host: str) -> dict[str, Any]:
    """The program's configuration; peers are those that this host hands certificates on to."""
    issues = certbot_issues(view, host)
    return {
        "name": host,
        "issuer": issues,
        "directory": view.value(host, "certbot_acme_directory"),
        "key_type": view.value(host, "certbot_key_type"),
        "names": loadbalancer_names(view, host),
        "https_port": view.value(host, "loadbalancer_https_port"),
        "metrics": view.value(host, "certbot_metrics_directory"),
        "ca_file": "/etc/letsencrypt/acme-ca.pem" if view.value(host, "certbot_acme_ca") else "",
        "peers": [_peer(view, name) for name in certbot_peers(view, host)] if issues else [],
    }


def _peer(view: View, name: str) -> dict[str, Any]:
    return {
        "name": name, "address": declarations.address(view, name), "ssh_port": view.value(name, "base_ssh_port"),
    }  # fmt: skip
