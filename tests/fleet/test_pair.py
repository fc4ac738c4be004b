"""Two load balancers with an address between them: who has it, and whom that must not be told by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import yaml

from deploy.inventory import Fleet
from lab.state import Lab
from tests.fleet.conftest import tool
from tests.fleet.pair import Pair
from tests.fleet.retrying import Retrying
from tests.fleet.site import Site

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


def test_one_balancer_has_the_addresses_of_both_families(pair: Pair) -> None:
    holder = pair.ready()
    assert pair.holders() == [(holder,)] * 2
    assert {":" in each for each in pair.floating} == {False, True}


def test_a_reload_of_keepalived_moves_no_address_and_costs_no_request(
    site: Site, pair: Pair, retrying: Retrying
) -> None:
    holder = pair.ready()
    failed = len(retrying.faults)
    for name in (*pair.names, *pair.names):
        site.inside(name, "systemctl", "reload", "keepalived.service")
        retrying.settle(1)
    assert pair.ready() == holder
    assert retrying.faults[failed:] == []


def test_adverts_of_a_stranger_move_no_address(
    lab: Lab, site: Site, fleet: Fleet, pair: Pair, on: Callable[..., object], retrying: Retrying
) -> None:
    holder = pair.ready()
    router = fleet.value(holder, "keepalived_router_id")
    failed = len(retrying.faults)
    outside = lab.topology.outside
    targets = [site.host(name).ipv4 for name in pair.names]
    forged = " & ".join(
        f"python3 -c '{FORGER}' {outside.ipv4} {target} {router} {pair.floating[0]} 3" for target in targets
    )
    on("outside", f"{forged} & wait")
    assert pair.holders() == [(holder,)] * len(pair.floating)
    assert retrying.faults[failed:] == []


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


NOTIFY, TOLD = "/usr/local/sbin/test-notify", "/run/test-notify"


@pytest.fixture
def notified(lab: Lab, env: str, site: Site, pair: Pair) -> Iterator[None]:
    """A program of the operator's brings the addresses to whoever is to have them, as a cloud wants it."""
    variable = lab.inventory / "group_vars/all/90-notify.yml"

    def converge() -> None:
        done = tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--limit", "localhost,loadbalancers",
                    "--tags", "keepalived")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr

    for name in pair.names:
        site.shell(name, f"printf '#!/bin/sh\\nid -un >> {TOLD}/who\\necho \"$@\" >> {TOLD}/states\\n' > {NOTIFY}; "
                         f"chmod 755 {NOTIFY}; install -d -o keepalived_script {TOLD}")
    variable.write_text(yaml.safe_dump({"keepalived_notify": NOTIFY}))
    try:
        converge()
        yield
    finally:
        variable.unlink()
    converge()
    for name in pair.names:
        site.shell(name, f"rm -r {NOTIFY} {TOLD}")
    pair.ready()


def test_where_the_network_carries_no_address_a_given_program_is_told_who_is_to_have_it(
    site: Site, pair: Pair, notified: None
) -> None:
    holder = pair.ready()
    other = pair.other(holder)
    site.shell(other, f"rm -f {TOLD}/states")
    site.inside(holder, "systemctl", "stop", "keepalived.service")
    try:
        site.wait(
            lambda: "INSTANCE front MASTER" in site.shell(other, f"cat {TOLD}/states || true"), "the program's call"
        )
        assert set(site.shell(other, f"cat {TOLD}/who").split()) == {"keepalived_script"}, "never as root"
        where = json.loads(site.shell(other, f"ip -json address show to {pair.floating[0]}"))
        assert [link["ifname"] for link in where if link.get("addr_info")] == ["lo"], "it takes what comes for it"
    finally:
        site.inside(holder, "systemctl", "start", "keepalived.service")
    pair.ready()
