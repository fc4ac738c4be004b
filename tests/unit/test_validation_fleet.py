"""deploy.validation: hosts, groups, what has to be set and ports, each with the file that mends it."""

from __future__ import annotations

import pytest

from deploy import validation
from tests.unit.specimen import ENVIRONMENT, HOSTS, SECRETS, Specimen


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    web:", "    wbe:", "11: wbe: unknown group; did you mean web?"),
        ("  children:", "  childrn:", "7: childrn: unknown key of group 'all'; did you mean children?"),
        ("      hosts:\n        lb1:", "      hosts: lb1", "9: hosts: a mapping is expected"),
        ("        web2:", "        web_2:", "14: web_2: not a host name"),
        ("        web2:", "        web[1:x]:", "14: web[1:x]: not a host name"),
        ("        web2:", "        workers:", "14: workers: a host may not bear the name of a group"),
    ],
)
def test_hosts_and_groups_that_make_no_sense_are_named(specimen: Specimen, old: str, new: str, problem: str) -> None:
    specimen.replace(HOSTS, old, new)
    assert any(found.startswith(f"{HOSTS}:{problem}") for found in specimen.problems())


def test_variables_of_a_group_or_host_that_is_not_there_are_a_problem(specimen: Specimen) -> None:
    specimen.write("inventories/test/group_vars/wbe.yml", "nginx_port: 1\n")
    specimen.write("inventories/test/host_vars/web3.yml", "nginx_port: 1\n")
    assert specimen.problems() == [
        "inventories/test/group_vars/wbe.yml: wbe: there is no group of that name here; did you mean web?",
        "inventories/test/host_vars/web3.yml: web3: there is no host of that name here; did you mean web2?",
    ]


def test_ranges_of_hosts_are_expanded_and_an_address_is_not_required(specimen: Specimen) -> None:
    specimen.write("roles/postgresql/meta/declares.yml", "secrets: [{name: postgresql_password, kind: token}]")
    specimen.replace(HOSTS, "        web2:", "        web[03:11]:")
    assert specimen.problems() == []


def test_an_inventory_without_hosts_says_so_and_nothing_else(specimen: Specimen) -> None:
    specimen.write(HOSTS, "all:\n  hosts:\n")
    assert specimen.problems() == [f"{HOSTS}: the inventory has no hosts"]
    (specimen.root / HOSTS).unlink()
    assert specimen.problems() == [f"{HOSTS}: the inventory has no hosts"]


@pytest.mark.parametrize("group", ["web", "loadbalancers", "database"])
def test_an_empty_group_on_the_path_of_a_request_is_a_problem(specimen: Specimen, group: str) -> None:
    names = {"web": ["web1", "web2"], "loadbalancers": ["lb1"], "database": ["db1"]}[group]
    for name in names:
        specimen.replace(HOSTS, f"        {name}:\n", "")
    (found,) = specimen.problems()
    assert found.endswith(f": {group}: the group has no hosts; the service needs at least one")
    assert found.startswith(f"{HOSTS}:")


def test_groups_that_this_test_does_not_empty_are_those_without_a_play_here(specimen: Specimen) -> None:
    served = {group for play in specimen.tree.plays for _, group in play.terms}
    assert set(validation.REQUIRED_GROUPS) - served == {"cache", "broker"}


SECOND = ("        lb1:\n", "        lb1:\n        lb2:\n          ansible_host: 192.0.2.9\n")
FLOATING = "loadbalancer_floating_addresses"
CERTBOT = """
argument_specs:
  main:
    options:
      certbot_issuer: {type: str, default: "", description: Who issues.}
"""


def test_two_load_balancers_need_no_floating_address(specimen: Specimen) -> None:
    specimen.replace(HOSTS, *SECOND)
    assert specimen.problems() == []
    specimen.add(ENVIRONMENT, f'{FLOATING}: [192.0.2.10, "2001:db8::a"]\n')
    assert specimen.problems() == []


def test_the_last_load_balancer_keeps_the_floating_addresses(specimen: Specimen) -> None:
    """Else a host that is lost could not be taken out of the inventory without an outage."""
    specimen.add(ENVIRONMENT, f"{FLOATING}: [192.0.2.10]\n")
    assert specimen.problems() == []


def test_an_issuer_that_is_no_load_balancer_is_a_problem(specimen: Specimen) -> None:
    specimen.write("roles/certbot/meta/argument_specs.yml", CERTBOT)
    specimen.write("roles/certbot/defaults/main.yml", 'certbot_issuer: ""\n')
    specimen.add(ENVIRONMENT, "certbot_issuer: lb1\n")
    assert specimen.problems() == []
    specimen.replace(ENVIRONMENT, "certbot_issuer: lb1", "certbot_issuer: web1")
    assert specimen.problems() == [f"{ENVIRONMENT}:4: certbot_issuer: 'web1' is no host of loadbalancers: lb1"]


PROCESSES = """\
argument_specs:
  main:
    options:
      booking_app_processes:
        type: list
        elements: dict
        default: []
        description: Processes beside the web.
        options:
          name: {type: str, required: true, description: Its name.}
"""


@pytest.mark.parametrize(("names", "problem"), [
    ("mail", ""),
    ("Mail", "[0].name: 'Mail': a name begins with a lower-case letter, and goes on with such, digits and hyphens"),
    ("a/b", "[0].name: 'a/b': a name begins with a lower-case letter, and goes on with such, digits and hyphens"),
    ("web", "[0].name: another process is called web as well"),
    ("mail, beat, mail", "[2].name: another process is called mail as well"),
])  # fmt: skip
def test_a_process_that_no_unit_can_be_named_after_is_a_problem(specimen: Specimen, names: str, problem: str) -> None:
    specimen.write("roles/booking_app/meta/argument_specs.yml", PROCESSES)
    specimen.write("roles/booking_app/defaults/main.yml", "booking_app_processes: []\n")
    entries = ", ".join(f"{{name: {name}}}" for name in names.split(", "))
    specimen.add(ENVIRONMENT, f"booking_app_processes: [{entries}]\n")
    assert specimen.problems() == ([f"{ENVIRONMENT}:4: booking_app_processes{problem}"] if problem else [])


def test_a_floating_address_that_is_none_is_a_problem(specimen: Specimen) -> None:
    specimen.replace(HOSTS, *SECOND)
    specimen.add(ENVIRONMENT, f"{FLOATING}: [192.0.2.10, lb.example.org]\n")
    (found,) = specimen.problems()
    assert found.endswith(f"{FLOATING}[1]: 'lb.example.org' is no address")


def test_a_group_that_is_not_written_at_all_is_a_problem_too(specimen: Specimen) -> None:
    specimen.replace(HOSTS, "    database:\n      hosts:\n        db1:\n", "")
    assert specimen.problems() == [f"{HOSTS}: database: the group has no hosts; the service needs at least one"]


def test_a_required_variable_that_is_missing_names_the_file_to_put_it_in(specimen: Specimen) -> None:
    specimen.write(ENVIRONMENT, "base_ssh_sources: [192.0.2.0/24]\n")
    assert specimen.problems() == [f"{ENVIRONMENT}: loadbalancer_domain: required and not set; set it in this file"]


def test_a_required_variable_set_for_some_hosts_names_the_others(specimen: Specimen) -> None:
    specimen.write(ENVIRONMENT, "loadbalancer_domain: a\n")
    specimen.write("inventories/test/group_vars/web.yml", "base_ssh_sources: [192.0.2.0/24]\n")
    (found,) = specimen.problems()
    assert "base_ssh_sources: required and not set for lb1, db1; set it in this file" in found


def test_a_missing_secret_names_the_command_that_draws_it(specimen: Specimen) -> None:
    (specimen.root / SECRETS).unlink()
    assert specimen.problems() == [
        f"{SECRETS}: {name}: the secret is not drawn yet: fab secrets.init --env test"
        for name in ("pki_certificate", "pki_key", "postgresql_password")
    ]


def test_two_roles_on_one_port_of_one_host_are_a_problem_at_the_line_that_sets_it(specimen: Specimen) -> None:
    specimen.add(HOSTS, "    cache:\n      hosts:\n        web1:\n")
    specimen.replace("site.yml", "- hosts: web\n", "- hosts: cache\n  roles: [haproxy]\n- hosts: web\n")
    assert specimen.problems() == []
    specimen.add(ENVIRONMENT, "nginx_port: 443\n")
    (found,) = specimen.problems()
    clash = "443/tcp: on host 'web1' both haproxy (haproxy_port) and nginx (nginx_port) listen on this port"
    assert found == f"{ENVIRONMENT}:4: {clash}"


def test_a_later_file_a_group_and_a_host_win_in_ansibles_order(specimen: Specimen) -> None:
    specimen.add(HOSTS, "    cache:\n      hosts:\n        web1:\n")
    specimen.replace("site.yml", "- hosts: web\n", "- hosts: cache\n  roles: [haproxy]\n- hosts: web\n")
    specimen.add(ENVIRONMENT, "nginx_port: 443\n")
    specimen.write("inventories/test/group_vars/all/30-more.yml", "nginx_port: 444\n")
    assert specimen.problems() == []
    specimen.write("inventories/test/group_vars/web.yml", "nginx_port: 443\n")
    assert len(specimen.problems()) == 1
    specimen.write("inventories/test/host_vars/web1.yml", "nginx_port: 445\n")
    assert specimen.problems() == []
    specimen.replace(HOSTS, "        web1:\n        web2:\n", "        web1: {nginx_port: 443}\n        web2:\n")
    assert specimen.problems() == []


def test_a_group_wins_over_those_above_it(specimen: Specimen) -> None:
    specimen.replace("site.yml", "hosts: all", "hosts: all:xeast:anorth")
    specimen.add(HOSTS, "    xeast:\n      children:\n        anorth:\n          hosts: {web1: }\n")
    specimen.write("inventories/test/group_vars/xeast.yml", "nginx_port: 0\n")
    assert len(specimen.problems()) == 1
    specimen.write("inventories/test/group_vars/anorth.yml", "nginx_port: 81\n")
    assert specimen.problems() == [], "by name alone xeast would win"


def test_a_loop_of_groups_ends(specimen: Specimen) -> None:
    specimen.add(HOSTS, "    workers:\n      children:\n        cache:\n          children: {workers: }\n")
    specimen.write("inventories/test/group_vars/cache.yml", "nginx_port: 81\n")
    assert specimen.problems() == []


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_out_of_range_is_a_problem(specimen: Specimen, port: str) -> None:
    specimen.add(ENVIRONMENT, f"nginx_port: {port}\n")
    assert any("is not a port number" in problem for problem in specimen.problems())


def test_a_peer_that_a_firewall_cannot_name_is_a_problem(specimen: Specimen) -> None:
    specimen.replace(HOSTS, "ansible_host: 192.0.2.3", "ansible_host: web2.example.org")
    (found,) = specimen.problems()
    assert found.startswith(f"{HOSTS}:6: db1: postgresql_port of host 'db1' is to be open to 'web2.example.org'")
    assert found.endswith("give the address in base_addresses")


def test_a_dynamic_inventory_beside_the_hosts_is_passed_over(specimen: Specimen) -> None:
    specimen.write("inventories/test/cloud.yml", "plugin: example\nregions: [a]\n")
    assert specimen.problems() == []


def test_a_folder_that_is_not_there_is_answered_with_those_that_are(specimen: Specimen) -> None:
    problems = validation.problems(specimen.root / "inventories/tset", specimen.root)
    assert [str(p) for p in problems] == ["inventories/tset: no such environment; there are: test"]


def test_the_report_takes_one_folder_or_a_file_in_it(specimen: Specimen) -> None:
    folder = specimen.root / "inventories/test"
    assert validation.report([str(folder)], specimen.root) == []
    assert validation.report([str(folder / "hosts.yml")], specimen.root) == []
    assert "one inventory a run" in validation.report([str(folder)] * 2, specimen.root)[0]
    assert "one inventory a run" in validation.report([], specimen.root)[0]
    assert "not a list of hosts" in validation.report([f"{folder},"], specimen.root)[0]


def test_a_port_of_sshd_that_is_not_the_one_it_is_reached_by_is_a_problem(specimen: Specimen) -> None:
    specimen.add(ENVIRONMENT, "base_ssh_port: 2222\n")
    assert any("is reached on port 22; set ansible_port as well" in found for found in specimen.problems())
    specimen.add(ENVIRONMENT, "ansible_port: 2222\n")
    assert specimen.problems() == []


def test_a_required_list_may_not_be_empty(specimen: Specimen) -> None:
    """Without a source that may connect, the firewall would lock everybody out."""
    specimen.add(ENVIRONMENT, "base_ssh_sources: []\n")
    assert any("base_ssh_sources: an empty list" in found for found in specimen.problems())
