"""What the roles declare, resolved over an inventory: pure functions of plain data.

A `View` is all they need to know of an inventory: `deploy.inventory.Fleet` is one, the Ansible filters have
their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from deploy.crons import Job, faults
from deploy.errors import NoValueError, UsageError
from deploy.role_files import Port, Secret
from deploy.rules import WORLD, Rule, network, ordered
from deploy.specs import Tree

_LAST_PORT = 65535
_SCHEMES = {"http": 80, "https": 443}


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

    A host is never a source of its own rules: what it sends itself goes over the loopback interface. A port whose
    variable is absent or empty is not served, and opens nothing. Of one port the unlimited sources come first.
    UsageError: a port is not a port, or a source is a name where a firewall needs an address.
    """
    found = _Openings()
    for role in view.tree.roles_of(host, view.groups):
        for port in view.tree.role(role).ports:
            found.declare(view, host, role, port)
    return found.rules()


def outgoing(view: View, host: str) -> list[Rule]:
    """What `host` may reach where nothing else is let out; the rules' sources are the destinations.

    What its roles declare, what the inventory adds (firewall_outgoing), and whatever a peer lets it in to: that is
    said once, by the role that listens. Errors as of `rules`.
    """
    found = _Openings()
    for role in view.tree.roles_of(host, view.groups):
        for port in view.tree.role(role).outgoing:
            found.declare(view, host, role, port)
    for entry in _optional(view, host, "firewall_outgoing") or ():
        name = f"firewall_outgoing of host '{host}', port {entry['port']},"
        to = {network(str(each), name, "firewall_outgoing") for each in entry.get("networks") or WORLD}
        found.add((_checked(entry["port"], name), entry["protocol"], False), to, entry["purpose"], "firewall")
    own = [network(each, f"host '{host}'", "base_addresses") for each in addresses(view, [host])]
    for peer in view.groups.get("all", ()):
        for rule in rules(view, peer) if peer != host else ():
            if not rule.world and any(rule.admits(each) for each in own):
                to = {network(each, f"host '{peer}'", "base_addresses") for each in addresses(view, [peer])}
                found.add((rule.port, rule.protocol, False), to, rule.purpose, rule.role)
    return found.rules()


def denies_out(view: View, host: str) -> bool:
    """Whether `host` lets out only what `outgoing` names."""
    return bool(_optional(view, host, "firewall_deny_out"))


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


class _Openings:
    """Declarations of one host, merged by port, protocol and whether they are limited."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str, bool], _Opening] = {}

    def add(self, key: tuple[int, str, bool], sources: set[str], purpose: str, role: str) -> None:
        opening = self._found.setdefault(key, _Opening())
        opening.sources |= sources
        opening.purposes[purpose] = opening.roles[role] = None

    def declare(self, view: View, host: str, role: str, port: Port) -> None:
        number = _number(view, host, port)
        if number is None or (port.when and not _optional(view, host, port.when)):
            return
        self.add((number, port.protocol, port.limited), _sources(view, host, port), port.purpose, role)

    def rules(self) -> list[Rule]:
        return [
            Rule(number, protocol, ordered(found.sources), "; ".join(found.purposes), ", ".join(found.roles), limited)
            for (number, protocol, limited), found in sorted(self._found.items(), key=lambda item: item[0])
            if found.sources
        ]


def _number(view: View, host: str, port: Port) -> int | None:
    """The port's number, 0 for a protocol without; None where the variable that names it has no value."""
    if port.url:
        return _port_of(_optional(view, host, port.url), f"{port.url} of host '{host}'")
    if not port.port:
        return 0
    number = port.port if isinstance(port.port, int) else _optional(view, host, port.port)
    return None if number is None or number == "" else _checked(number, f"{port.port} of host '{host}'")


def _checked(number: Any, what: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _LAST_PORT:
        raise UsageError(f"{what} is not a port number: {number!r}")
    return int(number)


def _port_of(url: Any, what: str) -> int | None:
    if not url:
        return None
    try:
        parts = urlsplit(str(url))
        return parts.port or _SCHEMES[parts.scheme]
    except (KeyError, ValueError):
        raise UsageError(f"{what} is not an address that begins with https:// or http://") from None


def _sources(view: View, host: str, port: Port) -> set[str]:
    if port.world:
        return set(WORLD)
    what = f"{port.port or port.protocol} of host '{host}'"
    peers = [peer for group in port.groups for peer in view.groups.get(group, ()) if peer != host]
    found = {network(source, what, "base_addresses") for source in addresses(view, peers)}
    if port.networks:
        networks = _optional(view, host, port.networks) or ()
        if not isinstance(networks, list | tuple):
            raise UsageError(f"{port.networks} of host '{host}' is not a list of networks")
        found |= {network(str(source), what, port.networks) for source in networks}
    return found


def _optional(view: View, host: str, name: str) -> Any:
    try:
        return view.value(host, name)
    except NoValueError:
        return None
