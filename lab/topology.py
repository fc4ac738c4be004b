"""Which hosts a sandbox has, in which groups, at which addresses. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

DOMAIN = "booking.test"
EXTRA_DOMAINS = (f"www.{DOMAIN}",)

# Every subnet comes from one /17 and one /48 of unique local addresses, so that a person
# who sees an address in a log knows what it belongs to.
SUBNETS = 64

SIZES: dict[str, dict[str, list[str]]] = {
    "solo": {
        "solo1": ["loadbalancers", "web", "workers", "database", "cache", "broker", "monitoring"],
        "outside": [],
    },
    "small": {
        "lb1": ["loadbalancers"],
        "web1": ["web", "workers"],
        "web2": ["web", "workers"],
        "db1": ["database"],
        "ops1": ["cache", "broker", "monitoring"],
        "outside": [],
    },
    # db2 is idle: it is what a database grows on to.
    "full": {
        "lb1": ["loadbalancers"],
        "lb2": ["loadbalancers"],
        "web1": ["web", "workers"],
        "web2": ["web", "workers"],
        "web3": ["web"],
        "db1": ["database"],
        "db2": [],
        "ops1": ["cache", "broker", "monitoring"],
        "outside": [],
    },
    # What convergence costs as a fleet grows; too many to serve with on a small machine.
    "wide": {
        "lb1": ["loadbalancers"],
        **{f"web{number}": ["web"] for number in range(1, 21)},
        "ops1": ["workers", "database", "cache", "broker", "monitoring"],
        "outside": [],
    },
}


@dataclass(frozen=True)
class Host:
    """One host: its name, inventory groups and addresses (IPv4, IPv6, without prefix length)."""

    name: str
    groups: tuple[str, ...]
    ipv4: str
    ipv6: str

    @property
    def is_outside(self) -> bool:
        """Whether this host plays the rest of the world instead of belonging to the fleet."""
        return self.name == "outside"


@dataclass(frozen=True)
class Topology:
    """A sandbox's network: bridge, subnets, gateway addresses and hosts."""

    index: int
    hosts: tuple[Host, ...]

    @property
    def bridge(self) -> str:
        """The bridge's interface name."""
        return f"nexus{self.index}"

    @property
    def gateway_mac(self) -> str:
        """The bridge's link-layer address, one that is locally administered: its IPv4 address after 02:00."""
        return ":".join(f"{byte:02x}" for byte in (0x02, 0x00, *self.ipv4[1].packed))

    @property
    def ipv4(self) -> IPv4Network:
        """The IPv4 subnet."""
        return subnet4(self.index)

    @property
    def ipv6(self) -> IPv6Network:
        """The IPv6 subnet."""
        return subnet6(self.index)

    @property
    def gateway4(self) -> str:
        """The machine's own IPv4 address on the bridge."""
        return str(self.ipv4[1])

    @property
    def gateway6(self) -> str:
        """The machine's own IPv6 address on the bridge."""
        return str(self.ipv6[1])

    @property
    def fleet(self) -> tuple[Host, ...]:
        """The hosts that the inventory knows: all but `outside`."""
        return tuple(host for host in self.hosts if not host.is_outside)

    @property
    def outside(self) -> Host:
        """The host that plays the rest of the world."""
        return next(host for host in self.hosts if host.is_outside)

    @property
    def floating(self) -> tuple[str, ...]:
        """The addresses (IPv4, IPv6) that several balancers have between them; none with one balancer."""
        several = len(self.group("loadbalancers")) > 1
        return (str(self.ipv4[10]), str(self.ipv6[10])) if several else ()

    @property
    def front(self) -> tuple[str, str]:
        """The addresses (IPv4, IPv6) by which clients reach the service."""
        if self.floating:
            return (self.floating[0], self.floating[1])
        first = self.group("loadbalancers")[0]
        return (first.ipv4, first.ipv6)

    def group(self, name: str) -> list[Host]:
        """The hosts of an inventory group, in order."""
        return [host for host in self.hosts if name in host.groups]


def subnet4(index: int) -> IPv4Network:
    """The IPv4 /24 of sandbox *index* (0 to SUBNETS - 1)."""
    return IPv4Network(f"10.89.{index}.0/24")


def subnet6(index: int) -> IPv6Network:
    """The IPv6 /64 of sandbox *index*: a unique local prefix (RFC 4193)."""
    return IPv6Network(f"fd89:6e78:7573:{index:x}::/64")


def build(size: str, index: int) -> Topology:
    """The topology of *size* on subnet *index*. Raises KeyError for an unknown size."""
    hosts = []
    for position, (name, groups) in enumerate(SIZES[size].items()):
        number = 53 if name == "outside" else 11 + position
        hosts.append(
            Host(name, tuple(groups), str(subnet4(index)[number]), str(subnet6(index)[number]))
        )
    return Topology(index, tuple(hosts))


def free_index(*, taken: Iterable[int], networks: Iterable[str], interfaces: Iterable[str]) -> int | None:
    """The first subnet index that nothing on this machine uses, or None.

    *taken*: indexes of other sandboxes; *networks*: every route and address of the machine in
    CIDR form; *interfaces*: the names of its network interfaces.
    """
    used = set(taken)
    present = set(interfaces)
    known = [ip_network(text, strict=False) for text in networks]
    ipv4 = [net for net in known if isinstance(net, IPv4Network) and net.prefixlen > 0]
    for index in range(SUBNETS):
        if index in used or f"nexus{index}" in present:
            continue
        if any(net.overlaps(subnet4(index)) for net in ipv4):
            continue
        return index
    return None
