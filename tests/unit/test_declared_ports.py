"""Which ports the roles declare, and to whom they are open."""

from __future__ import annotations

import pytest

from deploy import declarations
from deploy.declarations import WORLD
from deploy.errors import UsageError
from tests.unit.specimen import GROUPS, PEERS, Specimen


def _sources(rules: list[declarations.Rule]) -> dict[int, tuple[str, ...]]:
    return {rule.port: rule.sources for rule in rules}


def test_a_port_is_open_to_the_own_addresses_of_the_groups_that_it_names(specimen: Specimen) -> None:
    specimen.write("roles/base/meta/declares.yml", "")
    ports = declarations.ports(specimen.view(GROUPS, **PEERS))
    assert _sources(ports["web1"]) == {8080: ("192.0.2.10", "2001:db8::10")}
    assert _sources(ports["db1"]) == {5432: ("192.0.2.9", "192.0.2.100")}, "ordered as numbers, not as text"
    assert _sources(ports["lb1"]) == {443: WORLD}
    assert ports["lb1"][0].world
    assert not ports["web1"][0].world


def test_a_port_is_open_to_the_networks_of_a_variable_on_that_host(specimen: Specimen) -> None:
    view = specimen.view({"database": ["db1"]}, **PEERS)
    assert _sources(declarations.rules(view, "db1"))[22] == ("10.0.0.0/8", "198.51.100.7")


def test_families_are_told_apart_and_a_template_gets_plain_data(specimen: Specimen) -> None:
    view = specimen.view({"loadbalancers": ["lb1"], "web": ["web1"]}, **PEERS)
    specimen.write("roles/base/meta/declares.yml", "")
    (rule,) = declarations.rules(view, "web1")
    assert rule.plain() == {
        "port": 8080,
        "protocol": "tcp",
        "number": 6,
        "purpose": "HTTP from the balancers",
        "comment": b"HTTP from the balancers".hex(),
        "role": "nginx",
        "limited": False,
        "world": False,
        "ipv4": ["192.0.2.10"],
        "ipv6": ["2001:db8::10"],
    }
    (world,) = declarations.rules(view, "lb1")
    assert (world.ipv4, world.ipv6) == (("0.0.0.0/0",), ("::/0",))


def test_a_host_in_all_groups_needs_no_rule_for_itself(specimen: Specimen) -> None:
    one = {group: ["solo1"] for group in GROUPS}
    view = specimen.view(one, solo1={"base_ssh_sources": ["198.51.100.0/24"]})
    assert _sources(declarations.rules(view, "solo1")) == {22: ("198.51.100.0/24",), 443: WORLD}


def test_declarations_of_one_port_are_merged_and_sorted(specimen: Specimen) -> None:
    specimen.write(
        "roles/nginx/meta/declares.yml",
        """ports:
          - {port: nginx_port, protocol: tcp, groups: [loadbalancers], purpose: HTTP}
          - {port: nginx_port, protocol: tcp, groups: [loadbalancers, monitoring], purpose: metrics}
          - {port: nginx_port, protocol: udp, groups: [loadbalancers], purpose: HTTP/3}
          - {port: base_ssh_port, protocol: tcp, world: true, purpose: an example}""",
    )
    groups = {"loadbalancers": ["lb1"], "web": ["web1"], "monitoring": ["ops1", "lb1"]}
    values: dict[str, dict[str, object]] = {
        **PEERS,
        "web1": {"base_ssh_sources": ["192.0.2.0/24"]},
        "ops1": {"ansible_host": "192.0.2.2"},
    }
    rules = declarations.rules(specimen.view(groups, **values), "web1")
    assert [(rule.port, rule.protocol) for rule in rules] == [(22, "tcp"), (8080, "tcp"), (8080, "udp")]
    assert rules[0].sources == WORLD, "whoever else is named is part of the world"
    assert rules[1].sources == ("192.0.2.2", "192.0.2.10", "2001:db8::10")
    assert rules[1].purpose == "HTTP; metrics"


def test_a_peer_known_by_name_alone_is_an_error_that_names_the_variable(specimen: Specimen) -> None:
    specimen.write("roles/base/meta/declares.yml", "")
    values: dict[str, dict[str, object]] = {**PEERS, "lb1": {"ansible_host": "lb1.example.org"}}
    with pytest.raises(UsageError, match=r"nginx_port of host 'web1'.*'lb1\.example\.org'") as caught:
        declarations.rules(specimen.view(GROUPS, **values), "web1")
    assert "base_addresses" in caught.value.mend


@pytest.mark.parametrize("port", [0, 65536, -1, True, "8080"])
def test_what_is_no_port_number_is_an_error(specimen: Specimen, port: object) -> None:
    specimen.write("roles/base/meta/declares.yml", "")
    values: dict[str, dict[str, object]] = {**PEERS, "web1": {"nginx_port": port}}
    with pytest.raises(UsageError, match="nginx_port of host 'web1' is not a port number"):
        declarations.rules(specimen.view(GROUPS, **values), "web1")
