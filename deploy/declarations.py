"""What the roles declare, resolved over an inventory: pure functions of plain data.

A `View` is all they need to know of an inventory: `deploy.inventory.Fleet` is one, the Ansible filters have
their own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deploy.crons import Job, faults
from deploy.errors import NoValueError, UsageError
from deploy.role_files import Port, Secret
from deploy.specs import Tree

WORLD = ("0.0.0.0/0", "::/0")
_LAST_PORT = 65535


class View(Protocol):
    """An inventory as the resolver sees it."""

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Host names by group, in inventory order; 'all' included."""

    @property
    def tree(self) -> Tree:
        """The source tree whose roles run there."""

    def value(self, host: str, name: str) -> Any:
        """A variable as it holds on `host`, defaults included. NoValueError: it has none."""


@dataclass(frozen=True, order=True)
class Rule:
    """One port open on a host. sources: addresses and CIDR networks, IPv4 before IPv6; WORLD is anyone."""

    port: int
    protocol: str
    sources: tuple[str, ...]
    purpose: str
    role: str

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

    def plain(self) -> dict[str, Any]:
        """The rule as a template takes it: port, protocol, purpose, role, world, ipv4 and ipv6 (lists)."""
        return {
            "port": self.port,
            "protocol": self.protocol,
            "purpose": self.purpose,
            "role": self.role,
            "world": self.world,
            "ipv4": list(self.ipv4),
            "ipv6": list(self.ipv6),
        }


def addresses(view: View, hosts: Iterable[str]) -> list[str]:
    """The own addresses of hosts, flat, each once: base_addresses, else ansible_host, else the name."""
    found: dict[str, None] = {}
    for host in hosts:
        own = _optional(view, host, "base_addresses") or [_optional(view, host, "ansible_host") or host]
        if not isinstance(own, list | tuple):
            raise UsageError(f"base_addresses of host '{host}' is not a list of addresses")
        found.update(dict.fromkeys(str(address) for address in own))
    return list(found)


def address(view: View, host: str) -> str:
    """The first of a host's own addresses."""
    return addresses(view, [host])[0]


def rules(view: View, host: str) -> list[Rule]:
    """The ports open on `host`, sorted, each once; what several declarations say of one port is merged.

    A host is never a source of its own rules: what it sends itself goes over the loopback interface.
    UsageError: a port is not a port, or a source is a name where a firewall needs an address.
    """
    merged: dict[tuple[int, str], _Opening] = {}
    for role in view.tree.roles_of(host, view.groups):
        for port in view.tree.role(role).ports:
            opening = merged.setdefault((_number(view, host, port), port.protocol), _Opening())
            opening.sources |= _sources(view, host, port)
            opening.purposes[port.purpose] = opening.roles[role] = None
    return sorted(
        Rule(number, protocol, _ordered(found.sources), "; ".join(found.purposes), ", ".join(found.roles))
        for (number, protocol), found in merged.items()
        if found.sources
    )


def ports(view: View) -> dict[str, list[Rule]]:
    """The ports open on each host of the inventory."""
    return {host: rules(view, host) for host in view.groups.get("all", ())}


def crons(view: View, host: str) -> list[Job]:
    """The scheduled jobs of `host`, by name. UsageError: one is not sound, or two bear one name."""
    found: dict[str, Job] = {}
    for role in view.tree.roles_of(host, view.groups):
        for cron in view.tree.role(role).crons:
            if not any(host in view.groups.get(group, ()) for group in cron.groups):
                continue
            for index, entry in enumerate(view.value(host, cron.jobs)):
                for key, message in faults(entry):
                    raise UsageError(f"{cron.jobs}[{index}].{key} of host '{host}': {message}")
                job = Job(**entry)
                if job.name in found:
                    raise UsageError(f"{cron.jobs}[{index}].name of host '{host}': another job is called {job.name}")
                found[job.name] = job
    return sorted(found.values())


def packages(view: View, hosts: Iterable[str]) -> list[str]:
    """Debian packages that the roles of `hosts` install, sorted, each once."""
    found: set[str] = set()
    for host in hosts:
        for role in view.tree.roles_of(host, view.groups):
            found.update(_optional(view, host, f"{role}_packages") or ())
    return sorted(found)


def holds(view: View, host: str) -> list[str]:
    """Debian packages of `host` that only an operator may upgrade, because they serve requests: names, with `*` for
    any characters; sorted, each once."""
    return sorted({name for role in view.tree.roles_of(host, view.groups) for name in view.tree.role(role).holds})


def secrets(tree: Tree, groups: Mapping[str, Sequence[str]]) -> list[Secret]:
    """The secrets that the roles of an inventory with these groups declare, in site.yml's order."""
    hosts = groups.get("all", ())
    names = dict.fromkeys(role for host in hosts for role in tree.roles_of(host, groups))
    ordered = sorted(names, key=[role for play in tree.plays for role in play.roles].index)
    return list({secret.name: secret for name in ordered for secret in tree.role(name).secrets}.values())


@dataclass
class _Opening:
    """What several declarations of one port on one host add up to; the dicts are ordered sets."""

    sources: set[str] = field(default_factory=set)
    purposes: dict[str, None] = field(default_factory=dict)
    roles: dict[str, None] = field(default_factory=dict)


def _number(view: View, host: str, port: Port) -> int:
    number = view.value(host, port.port)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _LAST_PORT:
        raise UsageError(f"{port.port} of host '{host}' is not a port number: {number!r}")
    return int(number)


def _sources(view: View, host: str, port: Port) -> set[str]:
    if port.world:
        return set(WORLD)
    peers = [peer for group in port.groups for peer in view.groups.get(group, ()) if peer != host]
    found = {_network(source, host, port, "base_addresses") for source in addresses(view, peers)}
    if port.networks:
        networks = view.value(host, port.networks)
        if not isinstance(networks, list | tuple):
            raise UsageError(f"{port.networks} of host '{host}' is not a list of networks")
        found |= {_network(str(source), host, port, port.networks) for source in networks}
    return found


def _network(source: str, host: str, port: Port, variable: str) -> str:
    try:
        network = ipaddress.ip_network(source, strict=False)
    except ValueError:
        raise UsageError(
            f"{port.port} of host '{host}' is to be open to '{source}', which is no address",
            mend=f"give the address in {variable}",
        ) from None
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def _ordered(sources: set[str]) -> tuple[str, ...]:
    if sources >= set(WORLD):
        return WORLD  # whoever else is named is part of it
    found = [ipaddress.ip_network(source) for source in sources]
    ranked = sorted(found, key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    return tuple(str(n.network_address) if n.prefixlen == n.max_prefixlen else str(n) for n in ranked)


def _optional(view: View, host: str, name: str) -> Any:
    try:
        return view.value(host, name)
    except NoValueError:
        return None
