"""Pure: which hosts are patched, in which order, and for which of them the service is away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from deploy.inventory import Fleet
from deploy.patch.facts import Survey

SINGLE = {"database": "the database", "cache": "the cache", "broker": "the broker"}
FLOATING = "loadbalancer_floating_addresses"


@dataclass(frozen=True)
class Turn:
    """One host's turn. web, worker, balancer: what it is. paired: another balancer takes over meanwhile.

    away: what of the service is away while this host restarts; empty for nothing. alone: nobody else serves pages, so
    that it goes on with that until it restarts.
    """

    host: str
    web: bool = False
    worker: bool = False
    balancer: bool = False
    paired: bool = False
    away: tuple[str, ...] = ()
    alone: bool = False

    @property
    def application(self) -> bool:
        """Whether releases run there."""
        return self.web or self.worker


def turn(fleet: Fleet, host: str, floating: Sequence[str]) -> Turn:
    """What a host is to its fleet."""
    groups = {name: [each.name for each in fleet.group(name)] for name in (*SINGLE, "web", "workers", "loadbalancers")}
    balancer = host in groups["loadbalancers"]
    paired = balancer and len(groups["loadbalancers"]) > 1 and bool(floating)
    away = [_single(what, groups[name]) for name, what in SINGLE.items() if host in groups[name]]
    if balancer and not paired:
        many = len(groups["loadbalancers"]) > 1
        away.append("one load balancer, whose address does not move" if many else "the only load balancer")
    if alone := groups["web"] == [host]:
        away.append("the only web server")
    return Turn(host, host in groups["web"], host in groups["workers"], balancer, paired, tuple(away), alone)


def _single(what: str, members: Sequence[str]) -> str:
    return f"{what}, which this command does not move to another host" if len(members) > 1 else f"{what}, a single one"


def order(turns: Sequence[Turn], surveys: Mapping[str, Survey]) -> list[Turn]:
    """The turns of hosts with something to do: first what a killed run left, then those during which nothing is
    away, web servers and workers before balancers, then the others."""

    def key(each: Turn) -> tuple[bool, bool, bool]:
        return surveys[each.host].intent is None, bool(each.away), each.balancer

    return sorted((each for each in turns if surveys[each.host].due), key=key)


def outage(turns: Sequence[Turn]) -> list[str]:
    """A line for each host during whose turn something is away."""
    return [f"{each.host}: {'; '.join(each.away)}" for each in turns if each.away]


def others(turn: Turn, web: Sequence[str], drained: Collection[str], states: Sequence[Mapping[str, str]]) -> list[str]:
    """The web servers that serve while this one does not: not drained, and up on every balancer."""
    return [
        host for host in web
        if host != turn.host and host not in drained and all(each.get(host, "").startswith("UP") for each in states)
    ]  # fmt: skip


def obstacles(surveys: Mapping[str, Survey]) -> list[tuple[str, str, str]]:
    """What stands against an upgrade, before anything is touched: host, what, what mends it."""
    found = []
    for host, said in surveys.items():
        if said.error and not said.half:
            found.append((host, f"apt-get cannot tell what it would do: {said.error}", "apt-get -s dist-upgrade there"))
        if said.removed:
            names = ", ".join(said.removed)
            found.append((host, f"the upgrade would remove {names}", "decide there: apt-get dist-upgrade"))
        if said.foreign:
            what = "/usr/sbin/policy-rc.d, which is not ours, forbids services"
            found.append((host, what, "rm /usr/sbin/policy-rc.d there"))
    return found
