"""Role firewall: what is open is what is declared, in both families and both directions, and nothing else."""

import re

import pytest

from deploy import declarations
from deploy.rules import PROTOCOLS

GROUP = "all"
FAMILIES = [("iptables", "ufw", "ipv4"), ("ip6tables", "ufw6", "ipv6")]
ANYONE = ("0.0.0.0/0", "::/0")
NAMES = {**{name: name for name in PROTOCOLS}, **{str(number): name for name, number in PROTOCOLS.items()}}


def declared(rules, family):
    return {
        (rule.protocol, rule.port, "any" if source in ANYONE else source, rule.limited)
        for rule in rules for source in getattr(rule, family)
    }


def in_force(host, program, chain, end):
    """What a chain lets through: (protocol, port, the other end, whether it is counted); and its last rule."""
    found, last = set(), ""
    for line in host.check_output(f"{program} -w -S {chain}").splitlines():
        if not line.startswith("-A"):
            continue
        last = line
        if "-j REJECT" in line:
            assert " -p " not in line, line
            continue
        if "! --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT" in line:  # what stood before the first load goes on
            continue
        if "-m recent" in line:  # the two that count precede the one that lets through
            continue
        assert line.endswith(("-j ACCEPT", "-user-limit-accept")), line
        port = re.search(r"--dport (\d+)", line)
        other = re.search(rf" {end} (\S+)", line)
        protocol = re.search(r"-p (\w+)", line)
        assert protocol, line
        address = re.sub(r"/(32|128)$", "", other[1]) if other else "any"
        found.add((NAMES[protocol[1]], int(port[1]) if port else 0, address, "limit-accept" in line))
    return found, last


@pytest.mark.parametrize(("program", "prefix", "family"), FAMILIES)
def test_rules_in_force_are_exactly_the_declared_ones(host, fleet, program, prefix, family):
    found, _ = in_force(host, program, f"{prefix}-user-input", "-s")
    assert found == declared(declarations.rules(fleet, host.name), family)


@pytest.mark.parametrize(("program", "prefix", "family"), FAMILIES)
def test_what_is_let_out_is_exactly_what_is_declared_where_the_rest_is_refused(host, fleet, program, prefix, family):
    found, last = in_force(host, program, f"{prefix}-user-output", "-d")
    if declarations.denies_out(fleet, host.name):
        assert found == declared(declarations.outgoing(fleet, host.name), family)
        assert "-j REJECT" in last
    else:
        assert (found, last) == (set(), "")


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_everything_else_is_dropped(host, program):
    assert "-P INPUT DROP" in host.check_output(f"{program} -w -S INPUT").splitlines()
    assert "-P FORWARD DROP" in host.check_output(f"{program} -w -S FORWARD").splitlines()


def test_ufw_reads_the_rules_as_they_are_meant(host, fleet):
    """What people look at says the same, each with its purpose."""
    said = host.run("ufw status")
    assert said.rc == 0
    assert said.stderr == ""
    assert "WARN" not in said.stdout
    assert said.stdout.startswith("Status: active")
    let_out = declarations.outgoing(fleet, host.name) if declarations.denies_out(fleet, host.name) else []
    for rule in [*declarations.rules(fleet, host.name), *let_out]:
        what = f"{rule.port}/{rule.protocol}" if rule.port else rule.protocol
        rows = [line for line in said.stdout.splitlines() if rule.purpose in line and what in line]
        # Two lines of one meaning, such as a world-wide rule in both families, are shown as they are: one each.
        assert len(rows) >= len(rule.sources), f"{what} ({rule.purpose}) in:\n{said.stdout}"


def test_firewall_comes_up_at_boot(host):
    assert host.service("ufw").is_enabled
    assert "ENABLED=yes" in host.file("/etc/ufw/ufw.conf").content_string


def test_no_way_back_is_still_armed(host):
    assert host.run("systemctl is-active firewall-revert.timer").stdout.strip() == "inactive"
    assert host.run("firewall-guard status").rc == 0
