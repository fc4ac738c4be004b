"""What role base makes of an inventory."""

from __future__ import annotations

from ipaddress import ip_network

from deploy import declarations
from deploy.declarations import View

_WHOLE_WORLD_BITS = 7  # a network with a prefix as short as this is no people's own


def base_trusted_networks(view: View, host: str) -> list[str]:
    """The operators' networks as far as they are some people's, and not half the world: a fleet that is open to
    everybody by ssh trusts nobody for it."""
    networks = [str(network) for network in view.value(host, "base_ssh_sources")]
    return [network for network in networks if ip_network(network, strict=False).prefixlen > _WHOLE_WORLD_BITS]


def base_ops_keys(view: View, host: str) -> list[str]:
    """The public keys by which people log in, those of a rotation included, each once."""
    return _keys(view, host, "base_ops_authorized_keys")


def base_deploy_keys(view: View, host: str) -> list[str]:
    """The public keys by which the release engine logs in, those of a rotation included, each once."""
    return _keys(view, host, "base_deploy_authorized_keys")


def base_held_packages(view: View, host: str) -> list[str]:
    """Packages that no unattended upgrade touches, as the regular expressions that apt matches names with."""
    names = declarations.holds(view, host)
    return ["^" + name.replace(".", "[.]").replace("+", "[+]").replace("*", ".*") + "$" for name in names]


def _keys(view: View, host: str, name: str) -> list[str]:
    keys = [*view.value(host, name), *view.value(host, "base_rotation_authorized_keys")]
    return list(dict.fromkeys(str(key).strip() for key in keys))
