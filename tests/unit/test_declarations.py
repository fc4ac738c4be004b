"""What roles declare of packages, holds and secrets; whose a variable is; and declarations that are broken."""

from __future__ import annotations

import pytest
import yaml

from deploy import declarations
from deploy.errors import UsageError
from deploy.role_files import Role
from tests.unit.specimen import GROUPS, PEERS, Specimen


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("all", {"lb1", "web1", "web2", "db1"}),
        ("web", {"web1", "web2"}),
        ("web:database", {"web1", "web2", "db1"}),
        ("[web, database]", {"web1", "web2", "db1"}),
        ("'all:!web'", {"lb1", "db1"}),
        ("'all:&web'", {"web1", "web2"}),
        ("workers", set()),
        ("localhost", set()),
    ],
)
def test_site_yml_alone_says_which_hosts_run_a_role(specimen: Specimen, pattern: str, expected: set[str]) -> None:
    specimen.write("site.yml", f"- {{hosts: {pattern}, roles: [haproxy]}}")
    view = specimen.view(GROUPS)
    assert {host for host in view.groups["all"] if specimen.tree.roles_of(host, GROUPS)} == expected


def test_a_variable_belongs_to_the_role_with_the_longest_name_that_fits(specimen: Specimen) -> None:
    specimen.write("roles/nginx_lb/defaults/main.yml", "nginx_lb_port: 81")
    assert specimen.tree.owner("nginx_lb_port") == "nginx_lb"
    assert specimen.tree.owner("nginx_port") == "nginx"
    assert specimen.tree.owner("nginxport") == ""
    assert specimen.tree.default("nginx_lb_port") == 81


def test_packages_are_those_of_the_roles_of_the_hosts_each_once(specimen: Specimen) -> None:
    view = specimen.view(GROUPS, web1={"base_packages": ["sudo", "vim"]})
    assert declarations.packages(view, ["web2", "db1"]) == ["curl", "nginx-light", "postgresql-17", "sudo"]
    assert declarations.packages(view, ["web1"]) == ["curl", "nginx-light", "sudo", "vim"]
    role: Role = specimen.tree.role("nginx")
    assert role.packages == ("nginx-light", "curl")


def test_secrets_are_those_of_the_roles_that_have_hosts(specimen: Specimen) -> None:
    everything = declarations.secrets(specimen.tree, specimen.view(GROUPS).groups)
    assert [secret.names for secret in everything] == [
        ("pki_key", "pki_certificate"),
        ("postgresql_password",),
    ]
    web = declarations.secrets(specimen.tree, specimen.view({"web": ["web1"]}).groups)
    assert [secret.name for secret in web] == ["pki_key"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ports: [{port: nginx_port, protocol: tcp, purpose: x}]", "nobody who may connect"),
        ("ports: [{port: nginx_port, protocol: icmp, world: true, purpose: x}]", "tcp or udp"),
        ("ports: [{port: nginx_port, protocol: tcp, group: [web], purpose: x}]", "unknown key group"),
        ("ports: [{port: nginx_port, world: true, purpose: x}]", "missing key protocol"),
        ("ports: {nginx_port: tcp}", "a list of mappings"),
        ("ports: [{protocol: tcp, world: true, purpose: x}]", "missing key port"),
        ("ports: [{port: 80, protocol: tcp, world: true, purpose: x}]", "the name of a variable is expected"),
        ("ports: [{port: nginx_port, protocol: vrrp, groups: [web], purpose: x}]", "vrrp has no ports"),
        ("ports: [{protocol: vrrp, groups: [web], limited: true, purpose: x}]", "no connections to count"),
        ("outgoing: [{port: 53, protocol: udp, purpose: x}]", "nobody who may connect"),
        ("outgoing: [{url: nginx_url, port: 1, purpose: x}]", "unknown key port"),
        ("outgoing: [{port: 53, protocol: udp, world: true, limited: true, purpose: x}]", "unknown key limited"),
        ("secrets: [{name: x, kind: rsa}]", "token, given, or ca"),
        ("secrets: [{name: x, kind: ca}]", "token, given, or ca"),
        ("secrets: [{name: x, kind: given, certificate: y}]", "token, given, or ca"),
        ("crons: [{jobs: nginx_crons}]", "missing key groups"),
        ("crons: [{jobs: nginx_crons, groups: []}]", "lists those whose hosts have them"),
        ("crons: [{jobs: nginx_crons, groups: [web], every: hour}]", "unknown key every"),
        ("ports: [", "not readable as YAML"),
    ],
)
def test_a_broken_declaration_is_an_error_with_its_file(specimen: Specimen, text: str, message: str) -> None:
    specimen.write("roles/nginx/meta/declares.yml", text)
    with pytest.raises(UsageError, match=message) as caught:
        specimen.tree.role("nginx")
    assert "roles/nginx/meta/declares.yml" in caught.value.where


def test_held_packages_are_those_of_the_roles_of_a_host(specimen: Specimen) -> None:
    specimen.write("roles/base/meta/declares.yml", "holds: [python3.13, erlang-*]")
    specimen.write("roles/haproxy/meta/declares.yml", "holds: [haproxy, python3.13]")
    view = specimen.view(GROUPS, **PEERS)
    assert declarations.holds(view, "lb1") == ["erlang-*", "haproxy", "python3.13"]
    assert declarations.holds(view, "db1") == ["erlang-*", "python3.13"]


@pytest.mark.parametrize("name", ["Nginx", "a b", "x;y", "(nginx)", 5])
def test_a_hold_that_is_no_name_of_a_package_is_refused(specimen: Specimen, name: object) -> None:
    specimen.write("roles/base/meta/declares.yml", yaml.safe_dump({"holds": [name]}))
    with pytest.raises(UsageError, match="no name of a package"):
        declarations.holds(specimen.view(GROUPS, **PEERS), "db1")
