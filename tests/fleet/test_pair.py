"""Two load balancers with an address between them: one dies, and clients that try again notice nothing."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from deploy.inventory import Fleet
from lab import host as machine
from lab.errors import LabError
from lab.state import Lab
from tests.fleet.retrying import Retrying
from tests.fleet.site import Site

HOST_SECONDS, HOST_P95, PROCESS_SECONDS = 2.0, 1.5, 2.5
START_SECONDS = 4.0
CONFIGURATION = "/etc/keepalived/keepalived.conf"
UNITS = {"haproxy": "haproxy.service", "nginx": "nginx.service"}

# Sends VRRP version 3 adverts of the highest priority for some seconds: what a stranger in the network could do.
FORGER = """
import socket, struct, sys, time
source, target, router, address, seconds = sys.argv[1:]
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
body = struct.pack("!BBBBH", 0x31, int(router), 254, 1, 20)
pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 112, 12)
data = body + b"\\0\\0" + socket.inet_aton(address)
words = struct.unpack(f"!{len(pseudo + data) // 2}H", pseudo + data)
total = sum(words)
while total >> 16:
    total = (total & 0xFFFF) + (total >> 16)
data = body + struct.pack("!H", ~total & 0xFFFF) + socket.inet_aton(address)
until = time.monotonic() + float(seconds)
while time.monotonic() < until:
    try:
        sock.sendto(data, (target, 0))
    except OSError:
        pass
    time.sleep(0.1)
"""


class Pair:
    """Who of the balancers has the floating addresses, and whether the other could take them."""

    def __init__(self, site: Site, fleet: Fleet) -> None:
        self.site = site
        self.names = [each.name for each in fleet.need("loadbalancers")]
        self.floating = [str(each) for each in fleet.value(self.names[0], "loadbalancer_floating_addresses")]
        self.unit = UNITS[str(fleet.value(self.names[0], "loadbalancer_engine"))]
        assert len(self.names) > 1, "a fleet with two load balancers is needed: make up SIZE=full"

    def has(self, name: str, address: str) -> bool:
        """Whether a host has an address; one that is down has none."""
        try:
            said = self.site.inside(name, "ip", "-json", "address", "show", "to", address)
        except LabError:
            return False
        return any(link.get("addr_info") for link in json.loads(said))

    def holders(self) -> list[tuple[str, ...]]:
        """Of each floating address, who has it."""
        return [tuple(name for name in self.names if self.has(name, each)) for each in self.floating]

    def holder(self) -> str:
        """Who has them all, once one alone has."""
        Site.wait(lambda: len(set(self.holders())) == 1 and len(self.holders()[0]) == 1, "one holder of all addresses")
        return self.holders()[0][0]

    def other(self, name: str) -> str:
        """A balancer that is not *name*."""
        return next(each for each in self.names if each != name)

    def priority(self, name: str) -> int:
        """The priority that a host's keepalived goes by now; 0 where it does not say."""
        script = (
            # 0, of one that does not run, would be this very process group.
            "rm -f /tmp/keepalived.data; pid=$(systemctl show --property MainPID --value keepalived); "
            "[ \"$pid\" -gt 0 ] && kill -USR1 \"$pid\" && "
            "timeout 3 sh -c 'until grep -qi \"effective priority\" /tmp/keepalived.data 2>/dev/null; do sleep 0.05; "
            "done'; cat /tmp/keepalived.data"
        )
        try:
            found = re.search(r"[Ee]ffective [Pp]riority = (\d+)", self.site.shell(name, script))
        except LabError:
            return 0
        return int(found[1]) if found else 0

    def running(self, name: str) -> float:
        """For how long keepalived has run on a host (seconds)."""
        shown = self.site.inside(
            name, "systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--value", "keepalived"
        )
        return float(self.site.inside(name, "cut", "-d ", "-f1", "/proc/uptime")) - int(shown) / 1e6

    def ready(self) -> str:
        """Wait until one has the addresses and every other could take them; the one."""
        Site.wait(lambda: all(self.priority(name) == 150 for name in self.names), "every balancer in good health")
        # One that has just started listens for a while before it would claim anything (vrrp_startup_delay).
        Site.wait(lambda: all(self.running(name) > START_SECONDS for name in self.names), "the end of the start")
        return self.holder()


@pytest.fixture(scope="module")
def pair(site: Site, fleet: Fleet) -> Pair:
    return Pair(site, fleet)


@pytest.fixture
def clients(fleet: Fleet, pair: Pair) -> Iterator[Retrying]:
    pair.ready()
    with Retrying(fleet) as running:
        yield running


def boot(lab: Lab, site: Site, name: str) -> None:
    target = site.host(name)
    machine.start(lab, target)
    machine.wait(lab, (target,))


def test_one_balancer_has_the_addresses_of_both_families(pair: Pair) -> None:
    holder = pair.ready()
    assert pair.holders() == [(holder,)] * 2
    assert {":" in each for each in pair.floating} == {False, True}


def test_a_crashed_balancer_host_costs_clients_that_try_again_no_request(
    lab: Lab, site: Site, pair: Pair, clients: Retrying, soak: bool
) -> None:
    times = []
    for _ in range(20 if soak else 2):
        holder = pair.ready()
        began = time.monotonic()
        machine.crash(lab, site.host(holder))
        clients.settle(4)
        times.append(clients.away(began))
        assert not clients.lost, clients.faults[-5:]
        assert pair.holder() == pair.other(holder)
        boot(lab, site, holder)
        assert pair.ready() == pair.other(holder), "an address moves when a host fails, not when one returns"
    print(f"balancer host crashed {len(times)} times, away for (s): {', '.join(f'{each:.2f}' for each in times)}")
    assert max(times) <= HOST_SECONDS
    if len(times) > 2:
        assert statistics.quantiles(times, n=20)[-1] <= HOST_P95
    assert not clients.lost


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_balancer_process_that_ends_costs_clients_that_try_again_no_request(
    site: Site, pair: Pair, clients: Retrying, how: str
) -> None:
    holder = pair.ready()
    began = time.monotonic()
    if how == "killed":
        site.inside(holder, "systemctl", "kill", "--kill-whom=all", "--signal=KILL", pair.unit)
    else:
        site.inside(holder, "systemctl", "stop", pair.unit)
    clients.settle(4)
    away = clients.away(began)
    print(f"balancer process {how}: away for {away:.2f} s")
    assert not clients.lost, clients.faults[-5:]
    assert away <= PROCESS_SECONDS
    if how == "stopped":
        assert pair.holder() == pair.other(holder)
        site.inside(holder, "systemctl", "start", pair.unit)
        assert pair.ready() == pair.other(holder)


def test_without_the_check_a_stopped_balancer_is_an_outage(site: Site, pair: Pair, clients: Retrying) -> None:
    """The control of the test above."""
    holder = pair.ready()
    path = site.path(holder, CONFIGURATION)
    before = path.read_text()
    try:
        path.write_text(re.sub(r"track_script \{[^}]*\}", "", before))
        site.inside(holder, "systemctl", "reload", "keepalived.service")
        Site.wait(lambda: pair.priority(holder) == 150, "the configuration without a check")
        began = time.monotonic()
        site.inside(holder, "systemctl", "stop", pair.unit)
        clients.settle(6)
        assert clients.away(began) > PROCESS_SECONDS
        assert clients.lost
        assert pair.holders()[0] == (holder,)
    finally:
        site.inside(holder, "systemctl", "start", pair.unit)
        path.write_text(before)
        site.inside(holder, "systemctl", "reload", "keepalived.service")
    pair.ready()


def test_a_reload_of_keepalived_moves_no_address_and_costs_no_request(
    site: Site, pair: Pair, clients: Retrying
) -> None:
    holder = pair.ready()
    failed = len(clients.faults)
    for name in (*pair.names, *pair.names):
        site.inside(name, "systemctl", "reload", "keepalived.service")
        clients.settle(1)
    assert pair.ready() == holder
    assert clients.faults[failed:] == []


def test_adverts_of_a_stranger_move_no_address(
    lab: Lab, site: Site, fleet: Fleet, pair: Pair, on: Callable[..., object], clients: Retrying
) -> None:
    holder = pair.ready()
    router = fleet.value(holder, "keepalived_router_id")
    failed = len(clients.faults)
    outside = lab.topology.outside
    targets = [site.host(name).ipv4 for name in pair.names]
    forged = " & ".join(
        f"python3 -c '{FORGER}' {outside.ipv4} {target} {router} {pair.floating[0]} 3" for target in targets
    )
    on("outside", f"{forged} & wait")
    assert pair.holders() == [(holder,)] * len(pair.floating)
    assert clients.faults[failed:] == []


def test_the_same_adverts_of_a_peer_would(site: Site, fleet: Fleet, pair: Pair) -> None:
    """The control of the test above: the firewall and the list of peers are what keeps them out."""
    holder = pair.ready()
    other = pair.other(holder)
    router = fleet.value(holder, "keepalived_router_id")
    source, target = site.host(other).ipv4, site.host(holder).ipv4
    site.inside(other, "systemctl", "stop", "keepalived.service")
    try:
        site.inside(
            other, "systemd-run", "--quiet", "--unit=test-forger", "python3", "-c", FORGER, source, target,
            str(router), pair.floating[0], "20",
        )
        Site.wait(lambda: not any(pair.holders()), "the end of the holder's claim", seconds=15)
    finally:
        site.shell(other, "systemctl stop test-forger.service; systemctl start keepalived.service")
    pair.ready()
