"""deploy.declarations and the filters on it: who may connect where, which packages, which secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import declarations
from deploy.declarations import WORLD
from deploy.errors import UsageError
from deploy.role_files import Role
from deploy.specs import ROOT
from tests.unit.specimen import ENVIRONMENT, Specimen

GROUPS = {"loadbalancers": ["lb1"], "web": ["web1", "web2"], "database": ["db1"]}
PEERS: dict[str, dict[str, object]] = {
    "lb1": {"ansible_host": "203.0.113.1", "base_addresses": ["192.0.2.10", "2001:db8::10"]},
    "web1": {"ansible_host": "192.0.2.9"},
    "web2": {"ansible_host": "192.0.2.100"},
    "db1": {"ansible_host": "192.0.2.4", "base_ssh_sources": ["10.0.0.0/8", "198.51.100.7"]},
}


@pytest.fixture
def specimen(tmp_path: Path) -> Specimen:
    return Specimen(tmp_path)


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


JOB = {"name": "sweep", "schedule": "*/5 * * * *", "command": "sweep 'a b'", "user": "root", "timeout_seconds": 60}


@pytest.fixture
def scheduled(specimen: Specimen) -> Specimen:
    """The specimen with two roles that declare jobs, on hosts of `web` and on all."""
    for role, group in (("nginx", "web"), ("base", "web, loadbalancers")):
        specimen.add(f"roles/{role}/meta/declares.yml", f"crons: [{{jobs: {role}_crons, groups: [{group}]}}]\n")
        specimen.add(
            f"roles/{role}/meta/argument_specs.yml",
            f"      {role}_crons: {{type: list, elements: dict, default: [], description: Jobs.}}\n",
        )
    specimen.add("roles/base/defaults/main.yml", "base_crons: []\n")
    specimen.write("roles/nginx/defaults/main.yml", "{nginx_port: 8080, nginx_crons: []}")
    return specimen


def test_jobs_are_those_of_the_roles_of_a_host_whose_groups_are_named_by_name(scheduled: Specimen) -> None:
    mine: dict[str, dict[str, object]] = {
        "web1": {"nginx_crons": [JOB], "base_crons": [JOB | {"name": "a-first", "needs": "/srv/current"}]},
        "db1": {"base_crons": [JOB], "nginx_crons": [JOB]},
    }
    view = scheduled.view(GROUPS, **mine)
    assert [job.plain() for job in declarations.crons(view, "web1")] == [
        JOB | {"name": "a-first", "needs": "/srv/current"}, JOB | {"needs": ""},
    ]  # fmt: skip
    assert declarations.crons(view, "lb1") == []
    assert declarations.crons(view, "db1") == [], "its group is not named"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Sweep"}, r"nginx_crons\[0\]\.name of host 'web1': begins with a lower-case letter"),
        ({"name": "../x"}, "lower-case letter"),
        ({"schedule": "61 * * * *"}, r"nginx_crons\[0\]\.schedule of host 'web1': the minute '61'"),
        ({"command": "echo 'a"}, "cannot be split into words"),
        ({"command": " "}, "is empty"),
        ({"user": "root root"}, "is not the name of a user"),
        ({"timeout_seconds": 0}, "is at least 1"),
        ({"needs": "srv"}, "is an absolute path"),
        ({"name": "taken"}, "another job is called taken"),
    ],
)
def test_a_job_that_cannot_be_run_as_it_is_written_is_an_error(
    scheduled: Specimen, change: dict[str, object], message: str
) -> None:
    values: dict[str, dict[str, object]] = {
        "web1": {"nginx_crons": [JOB | change], "base_crons": [JOB | {"name": "taken"}]}
    }
    with pytest.raises(UsageError, match=message):
        declarations.crons(scheduled.view(GROUPS, **values), "web1")


def test_a_job_in_an_inventory_that_cannot_be_run_is_told_with_its_line(scheduled: Specimen) -> None:
    job = '  - {name: sweep, schedule: "0 * * * *", command: sweep, user: root, timeout_seconds: 9}\n'
    scheduled.add(ENVIRONMENT, f"base_crons:\n{job}")
    assert scheduled.problems() == []
    scheduled.add(ENVIRONMENT, f"nginx_crons:\n{job}  - name: late\n    schedule: 0 25 * * *\n    command: x\n"
                               "    user: root\n    timeout_seconds: 1\n")  # fmt: skip
    late = "nginx_crons[1].schedule: the hour '25' is not within 0 to 23"
    twice = "nginx_crons[0].name: on host 'web1' a job of base_crons is called sweep as well"
    assert scheduled.problems() == [
        f"{ENVIRONMENT}:7: {twice}", f"{ENVIRONMENT}:7: {twice.replace('web1', 'web2')}", f"{ENVIRONMENT}:9: {late}",
    ]  # fmt: skip


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


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.assert:
        that: ansible_inventory_sources | nexus_problems == []
        fail_msg: "{{ ansible_inventory_sources | nexus_problems }}"
- hosts: all
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.copy:
        content: >-
          {{ {'rules': hostvars | nexus_firewall_rules(inventory_hostname, groups),
              'port': hostvars | nexus_value('db1', 'postgresql_port'),
              'shared': hostvars | nexus_value('web1', 'release_keep'),
              'web': hostvars | nexus_addresses(groups['web']),
              'first': hostvars | nexus_address('lb1')} | to_nice_yaml }}
        dest: "{{ out }}"
        mode: "0600"
      become: false
      delegate_to: localhost
      vars:
        ansible_connection: local
        ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""


def _play(specimen: Specimen, *arguments: str) -> subprocess.CompletedProcess[str]:
    plugin = specimen.root / "plugins/filter/nexus.py"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.write_text((ROOT / "plugins/filter/nexus.py").read_text())
    for module in (ROOT / "deploy").glob("*.py"):
        (specimen.root / "deploy" / module.name).symlink_to(module)
    specimen.write("play.yml", PLAY)
    specimen.write("ansible.cfg", "[defaults]\nfilter_plugins = plugins/filter\n")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventories/test", "play.yml"]
    return subprocess.run(
        [*command, *arguments],
        cwd=specimen.root,
        env={**os.environ, "ANSIBLE_CONFIG": "ansible.cfg"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_filters_see_the_whole_fleet_under_limit_delegation_and_become(specimen: Specimen) -> None:
    """The vault values of the specimen cannot be decrypted: a filter that read one would fail."""
    specimen.add(ENVIRONMENT, 'base_level: "{{ \'high\' }}"\nnginx_port: "{{ 8000 + 81 }}"\n')
    out = specimen.root / "out.yml"
    run = _play(specimen, "--limit", "web1:localhost", "-e", f"out={out}")
    assert run.returncode == 0, run.stdout + run.stderr
    found = yaml.safe_load(out.read_text())
    assert [(rule["port"], rule["ipv4"], rule["ipv6"]) for rule in found["rules"]] == [
        (22, ["198.51.100.0/24"], []),
        (8081, ["192.0.2.1"], ["2001:db8::1"]),
    ]
    assert (found["port"], found["shared"]) == (5432, 5)
    assert found["web"] == ["192.0.2.2", "192.0.2.3"]
    assert found["first"] == "192.0.2.1"


def test_the_first_play_stops_at_a_misspelled_variable_with_its_file_and_line(specimen: Specimen) -> None:
    specimen.add(ENVIRONMENT, "haproxy_maxcon: 1\n")
    run = _play(specimen, "-e", f"out={specimen.root}/out.yml")
    assert run.returncode != 0
    assert f"{ENVIRONMENT}:4: haproxy_maxcon: unknown variable; did you mean haproxy_maxconn?" in run.stdout
    assert not (specimen.root / "out.yml").exists()


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
