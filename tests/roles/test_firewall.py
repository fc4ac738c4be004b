"""Role firewall: what is open is what is declared, in both families, and nothing else."""

import re

import pytest

from deploy import declarations

GROUP = "all"
DROP = "-P INPUT DROP"


@pytest.mark.parametrize(("program", "chain", "family"), [
    ("iptables", "ufw-user-input", "ipv4"), ("ip6tables", "ufw6-user-input", "ipv6"),
])
def test_rules_in_force_are_exactly_the_declared_ones(host, fleet, program, chain, family):
    wanted = {
        (rule.protocol, rule.port, source.split("/")[0] if source not in ("0.0.0.0/0", "::/0") else "any")
        for rule in declarations.rules(fleet, host.name) for source in getattr(rule, family)
    }
    found = set()
    for line in host.check_output(f"{program} -w -S {chain}").splitlines():
        if not line.startswith("-A"):
            continue
        assert line.endswith("-j ACCEPT"), line
        port = re.search(r"--dport (\d+)", line)
        source = re.search(r"-s ([^/ ]+)", line)
        protocol = re.search(r"-p (\w+)", line)
        assert port, line
        assert protocol, line
        found.add((protocol[1], int(port[1]), source[1] if source else "any"))
    assert found == wanted


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_everything_else_is_dropped(host, program):
    assert DROP in host.check_output(f"{program} -w -S INPUT").splitlines()
    assert "-P FORWARD DROP" in host.check_output(f"{program} -w -S FORWARD").splitlines()


def test_firewall_comes_up_at_boot(host):
    assert host.service("ufw").is_enabled
    assert "ENABLED=yes" in host.file("/etc/ufw/ufw.conf").content_string


def test_no_way_back_is_still_armed(host):
    assert host.run("systemctl is-active firewall-revert.timer").stdout.strip() == "inactive"
    assert host.run("firewall-guard status").rc == 0
