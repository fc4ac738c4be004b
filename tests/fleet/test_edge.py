"""What the world reaches, and what hosts reach of one another: exactly what is declared."""

import json
import random
import subprocess

import pytest

from deploy import declarations
from tests.fleet.conftest import wait_until
from tests.fleet.load import Load

# Runs on a host: tries to connect to every [address, port] of stdin, prints those that were accepted.
SCANNER = """
import asyncio, json, sys
async def tried(target, gate):
    async with gate:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(*target), 1.5)
        except (OSError, asyncio.TimeoutError):
            return None
        writer.close()
        return target
async def main():
    gate = asyncio.Semaphore(400)
    print(json.dumps([t for t in await asyncio.gather(*(tried(t, gate) for t in json.load(sys.stdin))) if t]))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def listening(lab, on):
    """Ports that something listens on, by host."""
    found = {}
    for host in lab.topology.hosts:
        rows = on(host.name, "ss -Htln").stdout.splitlines()
        found[host.name] = {int(row.split()[3].rsplit(":", 1)[1]) for row in rows}
    return found


@pytest.fixture(scope="module")
def scan(lab, on):
    def run(source, targets):
        done = on(source, f"python3 -c '{SCANNER}'", stdin=json.dumps(targets))
        assert done.returncode == 0, done.stderr
        return {tuple(target) for target in json.loads(done.stdout)}

    return run


def candidates(lab, fleet, listening, source):
    """[address, port] of every other host: the listening, the declared, and 100 at random."""
    declared = {rule.port for name in fleet.hosts for rule in declarations.rules(fleet, name)}
    chance = random.Random(source)
    targets = []
    for host in lab.topology.fleet:
        if host.name == source:
            continue
        ports = listening[host.name] | declared | set(chance.sample(range(1, 65536), 100))
        targets += [[address, port] for address in (host.ipv4, host.ipv6) for port in sorted(ports)]
    return targets


def allowed(lab, fleet, source):
    """(address, port) that the declarations open to *source*."""
    own = {host.name: {host.ipv4, host.ipv6} for host in lab.topology.hosts}[source]
    found = set()
    for host in lab.topology.fleet:
        for rule in declarations.rules(fleet, host.name):
            if rule.world or own & {each.split("/")[0] for each in rule.sources}:
                found |= {(address, rule.port) for address in (host.ipv4, host.ipv6)}
    return found


def test_ports_open_between_every_pair_of_hosts_are_exactly_the_declared(lab, fleet, listening, scan):
    for host in lab.topology.hosts:
        targets = candidates(lab, fleet, listening, host.name)
        reached = scan(host.name, targets)
        tried = {tuple(target) for target in targets}
        # A declared port on which nothing listens yet does not answer, and need not.
        serving = {(a, p) for each in lab.topology.fleet for a in (each.ipv4, each.ipv6) for p in listening[each.name]}
        assert reached == allowed(lab, fleet, host.name) & serving & tried, f"from {host.name}"


def test_from_outside_only_http_and_https_of_the_balancer_answer(lab, fleet, listening, scan):
    reached = scan("outside", candidates(lab, fleet, listening, "outside"))
    balancers = lab.topology.group("loadbalancers")
    assert reached == {(a, port) for host in balancers for a in (host.ipv4, host.ipv6) for port in (80, 443)}


def test_scan_sees_an_open_port_that_nobody_declared(lab, fleet, on, scan):
    """The control of the scans: with the firewall opened by hand, the undeclared port shows."""
    host = lab.topology.group("database")[0]
    rule = "INPUT -p tcp --dport 5999 -j ACCEPT"
    on(host.name, "systemd-run --unit=test-listener python3 -m http.server 5999")
    try:
        assert scan("outside", [[host.ipv4, 5999]]) == set()
        on(host.name, f"iptables -w -I {rule}")
        assert scan("outside", [[host.ipv4, 5999]]) == {(host.ipv4, 5999)}
    finally:
        on(host.name, f"iptables -w -D {rule}; systemctl stop test-listener")


def answers(on, name):
    try:
        return on(name, "true", timeout=8).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def lock_out(on, name, *, seconds):
    """Load rules that let nobody in, as a mistake would, under the guard with *seconds* to confirm."""
    spoil = "sed -i '/--dport 22 /d' /etc/ufw/user.rules /etc/ufw/user6.rules"
    done = on(name, f"{spoil} && systemd-run --quiet --wait firewall-guard load {seconds}", timeout=60)
    assert done.returncode == 0, done.stderr


def test_rules_that_lock_everybody_out_are_taken_back_by_the_host_itself(fleet, on):
    name = fleet.group("web")[0].name
    lock_out(on, name, seconds=6)
    assert not answers(on, name), "the control: the mistake really locks out"
    wait_until(lambda: answers(on, name), 60, "the return of the confirmed rules")
    assert on(name, "firewall-guard status").returncode == 0
    assert "the previous ones are back" in on(name, "journalctl -t firewall-guard -n 5 --no-pager").stdout


def test_certificate_was_issued_by_the_acme_authority(fleet, on):
    """Trust in its root is what every client of these tests verifies; this names the issuer."""
    name = fleet.group("loadbalancers")[0].name
    issuer = on(name, "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -issuer")
    assert "Pebble Intermediate CA" in issuer.stdout


def test_renewal_swaps_the_certificate_without_a_dropped_connection(fleet, on, soak):
    name = fleet.group("loadbalancers")[0].name

    def serial():
        return on(name, "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null "
                        "| openssl x509 -noout -serial").stdout.strip()

    with Load(fleet, rate=50) as load:
        for _ in range(10 if soak else 2):
            before = serial()
            done = on(name, "REQUESTS_CA_BUNDLE=/etc/letsencrypt/acme-ca.pem certbot renew --quiet --force-renewal "
                            "--no-random-sleep-on-renew")
            assert done.returncode == 0, done.stderr
            assert serial() not in ("", before)
        load.wait_for(len(load.results) + 50)
    assert load.failures == []


def test_balancer_restarted_instead_of_reloaded_drops_connections(fleet, on):
    """The control of the test above: the same load notices when the balancer is taken away."""
    name = fleet.group("loadbalancers")[0].name
    with Load(fleet, rate=50) as load:
        on(name, "systemctl restart haproxy.service")
        load.wait_for(len(load.results) + 100)
    assert load.failures
