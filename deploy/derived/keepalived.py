"""What role keepalived makes of an inventory."""

from __future__ import annotations

from deploy import declarations
from deploy.declarations import View
from deploy.errors import UsageError


def keepalived_addresses(view: View, host: str) -> list[str]:
    """The addresses that the load balancers have between them."""
    return [str(address) for address in view.value(host, "loadbalancer_floating_addresses")]


def keepalived_floats(view: View, host: str) -> bool:
    """Whether any address floats."""
    return bool(keepalived_addresses(view, host))


def keepalived_ipv6(view: View, host: str) -> bool:
    """Whether the protocol runs in IPv6: in the family of the first address; the others go along with it."""
    return ":" in next(iter(keepalived_addresses(view, host)), "")


def keepalived_own(view: View, host: str) -> str:
    """The host's own address in the protocol's family. UsageError: it has none."""
    for address in _of_family(view, host, [host]):
        return address
    family = "IPv6" if keepalived_ipv6(view, host) else "IPv4"
    raise UsageError(f"host '{host}' has no {family} address to speak from", "base_addresses")


def keepalived_peers(view: View, host: str) -> list[str]:
    """The other balancers' addresses in that family."""
    return _of_family(view, host, [name for name in view.groups.get("loadbalancers", ()) if name != host])


def _of_family(view: View, host: str, names: list[str]) -> list[str]:
    ipv6 = keepalived_ipv6(view, host)
    return [address for address in declarations.addresses(view, names) if (":" in address) is ipv6]
