"""One rule of a host's firewall: what a port's declarations add up to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from deploy.errors import UsageError

WORLD = ("0.0.0.0/0", "::/0")
# By their numbers (iana.org, "Protocol Numbers"): a small host has no /etc/protocols to look the names up in.
PROTOCOLS = {"tcp": 6, "udp": 17, "vrrp": 112}
WITH_PORTS = ("tcp", "udp")


@dataclass(frozen=True, order=True)
class Rule:
    """One port open on a host, or, of what a host may reach, a port open elsewhere.

    port: 0 for a protocol that has none. sources: the addresses and CIDR networks of the other end, IPv4 before IPv6;
    WORLD is anyone. limited: no more than 6 connections in 30 s from one address, as `ufw limit` has it.
    """

    port: int
    protocol: str
    sources: tuple[str, ...]
    purpose: str
    role: str
    limited: bool = False

    @property
    def world(self) -> bool:
        """Whether anyone may connect."""
        return self.sources == WORLD

    @property
    def ipv4(self) -> tuple[str, ...]:
        """The IPv4 sources; ('0.0.0.0/0',) for anyone."""
        return tuple(source for source in self.sources if ":" not in source)

    @property
    def ipv6(self) -> tuple[str, ...]:
        """The IPv6 sources; ('::/0',) for anyone."""
        return tuple(source for source in self.sources if ":" in source)

    def admits(self, address: str) -> bool:
        """Whether an address is one of the sources."""
        own = ipaddress.ip_address(address)
        return any(own in ipaddress.ip_network(source) for source in self.sources)

    def plain(self) -> dict[str, Any]:
        """The rule as a template takes it: its fields, world, ipv4 and ipv6 (lists), the protocol's number, and the
        purpose as ufw writes a comment (hexadecimal UTF-8)."""
        return {
            "port": self.port,
            "protocol": self.protocol,
            "number": PROTOCOLS[self.protocol],
            "purpose": self.purpose,
            "comment": self.purpose.encode().hex(),
            "role": self.role,
            "limited": self.limited,
            "world": self.world,
            "ipv4": list(self.ipv4),
            "ipv6": list(self.ipv6),
        }


def network(source: str, what: str, variable: str) -> str:
    """An address or CIDR network in one spelling. UsageError: it is none; *what* is to be open to it, and *variable*
    is where it can be mended."""
    try:
        found = ipaddress.ip_network(source, strict=False)
    except ValueError:
        raise UsageError(
            f"{what} is to be open to '{source}', which is no address", mend=f"give the address in {variable}"
        ) from None
    return _text(found)


def ordered(sources: Iterable[str]) -> tuple[str, ...]:
    """Networks as numbers go, IPv4 first; WORLD where anyone is among them."""
    given = set(sources)
    if given >= set(WORLD):
        return WORLD  # whoever else is named is part of it
    found = [ipaddress.ip_network(source) for source in given]
    return tuple(map(_text, sorted(found, key=lambda n: (n.version, int(n.network_address), n.prefixlen))))


def _text(found: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(found.network_address) if found.prefixlen == found.max_prefixlen else str(found)
