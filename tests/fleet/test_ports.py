"""Port matrix: what every host, and the world, reaches of every host is what is declared, neither more nor less.

By default the ports that something listens on, those declared anywhere and 100 at random are tried; the soak tries all.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy import declarations
from deploy.rules import PROTOCOLS, WITH_PORTS
from tests.fleet import knocking

PORTLESS = [number for name, number in PROTOCOLS.items() if name not in WITH_PORTS]
AT_RANDOM = 100
EXTRA = 5999


@pytest.fixture(scope="module")
def listening(lab, on):
    """TCP ports that something listens on, by host."""
    found = {}
    for host in lab.topology.hosts:
        rows = on(host.name, "ss -Htln").stdout.splitlines()
        found[host.name] = {int(row.split()[3].rsplit(":", 1)[1]) for row in rows}
    return found


def pairs(source, target):
    """Both families' addresses of a connection: (the sender's, the receiver's)."""
    return ((source.ipv4, target.ipv4), (source.ipv6, target.ipv6))


def declared(fleet, source, target):
    """(address of the target, protocol, port) that the declarations let *source* reach, at both ends."""
    let_in = declarations.rules(fleet, target.name)
    closed = source.name in fleet.hosts and declarations.denies_out(fleet, source.name)
    let_out = declarations.outgoing(fleet, source.name) if closed else []
    return {
        (theirs, rule.protocol, rule.port)
        for own, theirs in pairs(source, target) for rule in let_in
        if rule.admits(own) and (not closed or any(
            out.admits(theirs) and (out.protocol, out.port) == (rule.protocol, rule.port) for out in let_out
        ))
    }


def everywhere(fleet, protocol):
    """Ports of a protocol that any host declares."""
    return {r.port for name in fleet.hosts for r in declarations.rules(fleet, name) if r.protocol == protocol}


def at_random(*names):
    return set(random.Random(" ".join(names)).sample(range(1, 65536), AT_RANDOM))


def differences(lab, fleet, found, wanted):
    """What is open and not declared, or declared and not open, in words."""
    names = {address: host.name for host in lab.topology.hosts for address in (host.ipv4, host.ipv6)}
    said = []
    for title, rows in (("open, not declared", found - wanted), ("declared, not open", wanted - found)):
        said += [f"{title}: {source} to {names[to]} ({to}) {port}/{protocol}"
                 for source, to, protocol, port in sorted(rows)]
    return said


def tcp_matrix(lab, fleet, on, listening, *, every_port, sources=None):
    """(found, wanted): (source, address, protocol, port) over TCP. What answers without a listener is found as well,
    under the protocol "tcp, nothing listens"."""
    sources = sources or lab.topology.hosts
    common = everywhere(fleet, "tcp")

    def ask(source):
        asked = []
        for target in lab.topology.fleet:
            ports = [] if every_port else sorted(
                listening[target.name] | common | at_random(source.name, target.name)
            )
            asked += [(theirs, ports) for _, theirs in pairs(source, target)] if target != source else []
        return {
            (source.name, address, "tcp" if listens else "tcp, nothing listens", port)
            for (address, port), listens in knocking.knock(on, source.name, asked).items()
        }

    with ThreadPoolExecutor(max_workers=2) as pool:
        found = set().union(*pool.map(ask, sources))
    wanted = {
        (source.name, *row) for source in sources for target in lab.topology.fleet if target != source
        for row in declared(fleet, source, target) if row[1] == "tcp"
    }
    return found, wanted


def witnessed(lab, fleet, on, *, extra=()):
    """(found, wanted): as above, of UDP and of the protocols without ports."""
    numbers = {number: name for name, number in PROTOCOLS.items()}
    ports = everywhere(fleet, "udp") | set(extra)
    by_address = {address: host.name for host in lab.topology.hosts for address in (host.ipv4, host.ipv6)}
    watching = {host: knocking.start_witness(on, host.name, PORTLESS) for host in lab.topology.fleet}

    def ask(source):
        targets = [target for target in lab.topology.fleet if target != source]
        asked = [(theirs, sorted(ports | at_random(source.name, target.name)))
                 for target in targets for _, theirs in pairs(source, target)]
        knocking.send(on, source.name, asked, PORTLESS)

    found = set()
    try:
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(ask, lab.topology.hosts))
    finally:
        for host, process in watching.items():
            for sender, protocol, port in knocking.end_witness(on, host.name, process):
                to = host.ipv6 if ":" in sender else host.ipv4
                found.add((by_address.get(sender, sender), to, numbers[protocol], port))
    wanted = {
        (source.name, *row) for source in lab.topology.hosts for target in lab.topology.fleet if target != source
        for row in declared(fleet, source, target) if row[1] != "tcp"
    }
    return found, wanted


def test_ports_open_between_every_pair_of_hosts_and_to_the_world_are_exactly_the_declared(
    lab, fleet, on, listening, soak
):
    found, wanted = tcp_matrix(lab, fleet, on, listening, every_port=soak)
    assert wanted, "the declarations open something"
    assert differences(lab, fleet, found, wanted) == []


def test_datagrams_and_protocols_without_ports_come_in_exactly_where_they_are_declared(lab, fleet, on):
    found, wanted = witnessed(lab, fleet, on)
    assert differences(lab, fleet, found, wanted) == []


def test_the_world_reaches_http_and_https_of_the_balancers_and_nothing_else(lab, fleet, on, listening):
    """Said once without the declarations, which could themselves be wrong."""
    found, _ = tcp_matrix(lab, fleet, on, listening, every_port=False, sources=[lab.topology.outside])
    balancers = {address for host in lab.topology.group("loadbalancers") for address in (host.ipv4, host.ipv6)}
    assert {(to, port) for _, to, _, port in found} == {(address, port) for address in balancers for port in (80, 443)}


@pytest.fixture
def opened(lab, on):
    """Something listens on an undeclared port of the database's host, behind a rule that lets everyone in."""
    host = lab.topology.group("database")[0]
    rules = [f"{program} -w {{}} {chain} {match} -j ACCEPT"
             for program, chain in (("iptables", "ufw-user-input"), ("ip6tables", "ufw6-user-input"))
             for match in (f"-p tcp --dport {EXTRA}", f"-p udp --dport {EXTRA}", *(f"-p {n}" for n in PORTLESS))]
    listener = f"systemd-run --quiet --unit=test-listener python3 -m http.server --bind :: {EXTRA}"
    assert on(host.name, listener).returncode == 0
    for rule in rules:
        assert on(host.name, rule.format("-I")).returncode == 0
    assert on(host.name, f"timeout 20 sh -c 'until ss -Htln | grep -q :{EXTRA}; do sleep 0.1; done'").returncode == 0
    yield host
    on(host.name, "; ".join([*(rule.format("-D") for rule in rules), "systemctl stop test-listener"]))
    assert on(host.name, "firewall-guard status").returncode == 0


def test_one_port_more_with_a_rule_and_a_listener_is_found(lab, fleet, on, listening, opened):
    """The control of the tests above, in both families."""
    known = {**listening, opened.name: listening[opened.name] | {EXTRA}}
    found, wanted = tcp_matrix(lab, fleet, on, known, every_port=False, sources=[lab.topology.outside])
    assert found - wanted == {("outside", address, "tcp", EXTRA) for address in (opened.ipv4, opened.ipv6)}


def test_one_rule_more_for_datagrams_and_for_a_protocol_without_ports_is_found(lab, fleet, on, opened):
    found, wanted = witnessed(lab, fleet, on, extra=[EXTRA])
    extra = {(name, port) for _, to, name, port in found - wanted if to in (opened.ipv4, opened.ipv6)}
    names = [name for name in PROTOCOLS if name not in WITH_PORTS]
    assert extra == {("udp", EXTRA), *((name, 0) for name in names)}
    assert {source for source, *_ in found - wanted} == {"outside"}, "the others' own firewalls let none of it out"
