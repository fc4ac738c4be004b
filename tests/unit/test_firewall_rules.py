"""What a host lets in and out: protocols without ports, counted connections, what is reached; and ufw's files of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest

from deploy import declarations
from deploy.declarations import WORLD
from deploy.errors import UsageError
from deploy.rules import Rule
from deploy.specs import ROOT
from tests.unit.specimen import ENVIRONMENT, Specimen

GROUPS = {"loadbalancers": ["lb1", "lb2"], "web": ["web1"], "database": ["db1"]}
HOSTS: dict[str, dict[str, object]] = {
    "lb1": {"base_addresses": ["192.0.2.10", "2001:db8::10"]},
    "lb2": {"base_addresses": ["192.0.2.11", "2001:db8::11"]},
    "web1": {"ansible_host": "192.0.2.20"},
    "db1": {"ansible_host": "192.0.2.30"},
}
VRRP = "ports: [{protocol: vrrp, groups: [loadbalancers], purpose: which balancer has the address}]"


@pytest.fixture
def specimen(tmp_path: Path) -> Specimen:
    found = Specimen(tmp_path)
    found.write("roles/base/meta/declares.yml", "")
    return found


def _by_port(rules: list[Rule]) -> dict[tuple[int, str], tuple[str, ...]]:
    return {(rule.port, rule.protocol): rule.sources for rule in rules}


def test_a_protocol_without_ports_is_open_to_the_peers_of_its_group(specimen: Specimen) -> None:
    specimen.write("roles/haproxy/meta/declares.yml", VRRP)
    view = specimen.view(GROUPS, **HOSTS)
    assert _by_port(declarations.rules(view, "lb1")) == {(0, "vrrp"): ("192.0.2.11", "2001:db8::11")}
    assert _by_port(declarations.outgoing(view, "lb1"))[0, "vrrp"] == ("192.0.2.11", "2001:db8::11")
    alone = specimen.view({"loadbalancers": ["lb1"]}, **HOSTS)
    assert declarations.rules(alone, "lb1") == []


@pytest.mark.parametrize("value", [None, "", ...])
def test_a_port_whose_variable_is_empty_or_absent_opens_nothing(specimen: Specimen, value: object) -> None:
    specimen.write("roles/nginx/defaults/main.yml", "{}")
    web1 = HOSTS["web1"] | ({} if value is ... else {"nginx_port": value})
    assert declarations.rules(specimen.view(GROUPS, **(HOSTS | {"web1": web1})), "web1") == []


@pytest.mark.parametrize(("switch", "ports"), [(True, [8080]), ("x", [8080]), (False, []), ("", []), ([], [])])
def test_a_port_with_a_condition_is_open_only_where_it_holds(
    specimen: Specimen, switch: object, ports: list[int]
) -> None:
    text = "ports: [{port: nginx_port, protocol: tcp, world: true, when: base_strict, purpose: x}]"
    specimen.write("roles/nginx/meta/declares.yml", text)
    view = specimen.view(GROUPS, **(HOSTS | {"web1": {"base_strict": switch}}))
    assert [rule.port for rule in declarations.rules(view, "web1")] == ports


def test_networks_that_nobody_named_open_nothing(specimen: Specimen) -> None:
    text = "ports: [{port: base_ssh_port, protocol: tcp, networks: base_ssh_sources, purpose: x}]"
    specimen.write("roles/base/meta/declares.yml", text)
    for value in ({}, {"base_ssh_sources": []}, {"base_ssh_sources": None}):
        assert declarations.rules(specimen.view({"database": ["db1"]}, db1=value), "db1") == []


COUNTED = """ports:
  - {port: base_ssh_port, protocol: tcp, networks: base_elsewhere, limited: true, purpose: counted}
  - {port: base_ssh_port, protocol: tcp, networks: base_ssh_sources, purpose: ssh}
"""


def test_sources_that_are_not_counted_come_before_those_that_are(specimen: Specimen) -> None:
    specimen.write("roles/base/meta/declares.yml", COUNTED)
    db1: dict[str, object] = {"base_ssh_sources": ["192.0.2.0/24"], "base_elsewhere": list(WORLD)}
    rules = declarations.rules(specimen.view({"database": ["db1"]}, db1=db1), "db1")
    assert [(rule.limited, rule.sources) for rule in rules] == [(False, ("192.0.2.0/24",)), (True, WORLD)]


OUTGOING = """outgoing:
  - {port: 53, protocol: udp, world: true, purpose: names}
  - {url: base_url, purpose: an address}
  - {port: base_mail_port, protocol: tcp, world: true, when: base_mail_host, purpose: mail}
  - {port: nginx_port, protocol: tcp, groups: [web], purpose: own pages}
"""


def test_a_host_reaches_what_its_roles_declare_and_what_peers_let_it_in_to(specimen: Specimen) -> None:
    specimen.write("roles/base/meta/declares.yml", OUTGOING)
    view = specimen.view(GROUPS, **HOSTS)
    web = _by_port(declarations.outgoing(view, "web1"))
    assert web == {(53, "udp"): WORLD, (5432, "tcp"): ("192.0.2.30",)}, "the database says so; what is empty is closed"
    lb = _by_port(declarations.outgoing(view, "lb1"))
    assert lb == {(53, "udp"): WORLD, (8080, "tcp"): ("192.0.2.20",)}
    assert (443, "tcp") not in web, "what is open to the world is not thereby let out"


@pytest.mark.parametrize(
    ("url", "port"), [("https://a.test/dir", 443), ("http://a.test", 80), ("https://[::1]:14000/dir", 14000)]
)
def test_the_port_of_an_address_is_what_it_says_or_its_schemes(specimen: Specimen, url: str, port: int) -> None:
    specimen.write("roles/base/meta/declares.yml", "outgoing: [{url: base_url, purpose: x}]")
    view = specimen.view({"monitoring": ["ops1"]}, ops1={"base_url": url, "ansible_host": "192.0.2.9"})
    assert _by_port(declarations.outgoing(view, "ops1")) == {(port, "tcp"): WORLD}


@pytest.mark.parametrize("url", ["ftp://a.test", "a.test", "https://a.test:x/"])
def test_what_is_no_address_is_an_error_that_names_the_variable(specimen: Specimen, url: str) -> None:
    specimen.write("roles/base/meta/declares.yml", "outgoing: [{url: base_url, purpose: x}]")
    with pytest.raises(UsageError, match="base_url of host 'ops1' is not an address"):
        declarations.outgoing(specimen.view({"monitoring": ["ops1"]}, ops1={"base_url": url}), "ops1")


def test_the_inventory_may_add_to_what_is_reached(specimen: Specimen) -> None:
    more = [
        {"port": 3142, "protocol": "tcp", "purpose": "mirror", "networks": ["198.51.100.7/32"]},
        {"port": 6514, "protocol": "tcp", "purpose": "logs"},
    ]
    ops1: dict[str, object] = {"ansible_host": "192.0.2.9", "firewall_outgoing": more}
    view = specimen.view({"monitoring": ["ops1"]}, ops1=ops1)
    assert _by_port(declarations.outgoing(view, "ops1")) == {(3142, "tcp"): ("198.51.100.7",), (6514, "tcp"): WORLD}
    more[1]["port"] = 70000
    with pytest.raises(UsageError, match="firewall_outgoing of host 'ops1', port 70000, is not a port number"):
        declarations.outgoing(view, "ops1")


def test_validation_names_what_a_closed_host_could_not_reach(specimen: Specimen) -> None:
    specimen.write("roles/firewall/defaults/main.yml", "{firewall_deny_out: false}")
    specimen.write("roles/firewall/meta/argument_specs.yml", """
argument_specs: {main: {options: {firewall_deny_out: {type: bool, default: false, description: A switch.}}}}
""")
    specimen.write("roles/nginx/meta/declares.yml", "outgoing: [{url: base_home, purpose: x}]")
    assert specimen.problems() == [], "it is open"
    specimen.add(ENVIRONMENT, "firewall_deny_out: true\n")
    assert any("base_home of host 'web1' is not an address" in problem for problem in specimen.problems())


def _rendered(name: str, **variables: Any) -> list[str]:
    """A template's lines, rendered as Ansible does it."""
    loader = jinja2.FileSystemLoader(ROOT / "templates")
    environment = jinja2.Environment(
        loader=loader, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    return environment.get_template(f"etc/ufw/{name}.j2").render(variables).splitlines()


def _after(lines: list[str], tuple_: str) -> list[str]:
    """The rules below a comment of ufw's."""
    at = next(n for n, line in enumerate(lines) if line.startswith(f"### tuple ### {tuple_}"))
    return lines[at + 1 : lines.index("", at)]


def test_ufws_files_have_every_kind_of_rule_in_ufws_words() -> None:
    peers = ("192.0.2.11", "2001:db8::/64")
    let_in = [Rule(0, "vrrp", peers, "VRRP", "keepalived"), Rule(22, "tcp", WORLD, "ssh", "base", limited=True)]
    let_out = [Rule(5432, "tcp", peers, "SQL", "postgresql")]
    variables = {
        "firewall_rules": [rule.plain() for rule in let_in],
        "firewall_let_out": [rule.plain() for rule in let_out],
        "firewall_deny_out": True,
    }
    four, six = (_rendered(name, **variables) for name in ("user.rules", "user6.rules"))
    comment = b"VRRP".hex()
    assert _after(four, f"allow vrrp any 0.0.0.0/0 any 192.0.2.11 in comment={comment}") == [
        "-A ufw-user-input -p 112 -s 192.0.2.11 -j ACCEPT"
    ]
    assert _after(six, "allow vrrp any ::/0 any 2001:db8::/64 in") == [
        "-A ufw6-user-input -p 112 -s 2001:db8::/64 -j ACCEPT"
    ]
    assert _after(four, "limit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in") == [
        "-A ufw-user-input -p 6 --dport 22 -m conntrack --ctstate NEW -m recent --set",
        "-A ufw-user-input -p 6 --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 "
        "-j ufw-user-limit",
        "-A ufw-user-input -p 6 --dport 22 -j ufw-user-limit-accept",
    ]
    assert _after(six, "allow tcp 5432 2001:db8::/64 any ::/0 out") == [
        "-A ufw6-user-output -p 6 --dport 5432 -d 2001:db8::/64 -j ACCEPT"
    ]
    assert [line for line in four if "user-output -" in line][-2:] == [
        "-A ufw-user-output -p 6 ! --syn -j ACCEPT", "-A ufw-user-output -j REJECT"
    ], "what stood before the first load goes on"
    open_out = _rendered("user.rules", **variables | {"firewall_deny_out": False, "firewall_let_out": []})
    assert not any("-A ufw-user-output" in line for line in open_out)
