"""deploy.inventory: from ansible-inventory's JSON to a Fleet."""

from __future__ import annotations

import copy
import json

import click
import pytest

from deploy import inventory
from deploy.errors import Exit, NoValueError, PreflightError, UsageError
from tests.unit.specimen import ENVIRONMENT, HOSTS, Specimen, listing


def _fleet(specimen: Specimen, **hostvars: dict[str, object]) -> inventory.Fleet:
    groups = {"web": ["web2", "web1"], "database": ["db1"]}
    return inventory.parse("test", listing(groups, **hostvars), specimen.tree)


def test_groups_keep_the_order_of_the_inventory(specimen: Specimen) -> None:
    fleet = _fleet(specimen)
    assert [host.name for host in fleet.group("web")] == ["web2", "web1"]
    assert list(fleet.hosts) == ["web2", "web1", "db1"]


def test_a_group_holds_the_hosts_of_the_groups_below_it_once(specimen: Specimen) -> None:
    found = {
        "all": {"children": ["web"]},
        "web": {"hosts": ["w1"], "children": ["north"]},
        "north": {"hosts": ["w2", "w1"]},
    }
    assert inventory.parse("test", found, specimen.tree).groups["web"] == ["w1", "w2"]


def test_a_group_that_is_not_there_is_empty_and_needing_it_fails(specimen: Specimen) -> None:
    fleet = _fleet(specimen)
    assert fleet.group("workers") == []
    with pytest.raises(PreflightError, match="group 'workers' has no hosts") as caught:
        fleet.need("workers")
    assert caught.value.where == "inventories/test/hosts.yml"


def test_addresses_fall_back_to_the_ssh_address_and_then_to_the_name(specimen: Specimen) -> None:
    fleet = _fleet(
        specimen,
        web1={"ansible_host": "198.51.100.1", "base_addresses": ["192.0.2.1", "2001:db8::1"]},
        web2={"ansible_host": "198.51.100.2", "base_addresses": []},
    )
    assert fleet.hosts["web1"].addresses == ("192.0.2.1", "2001:db8::1")
    assert fleet.hosts["web1"].address == "198.51.100.1"
    assert fleet.hosts["web2"].addresses == ("198.51.100.2",)
    assert fleet.hosts["db1"].addresses == (fleet.hosts["db1"].address,) == ("db1",)


def test_a_value_is_the_inventorys_over_the_roles_over_the_shared_default(specimen: Specimen) -> None:
    fleet = _fleet(specimen, web1={"nginx_port": 8081})
    assert fleet.value("web1", "nginx_port") == 8081
    assert fleet.value("web2", "nginx_port") == 8080
    assert fleet.value("db1", "nginx_port") == 8080, "defaults hold for hosts that do not run the role too"
    assert fleet.value("db1", "release_keep") == 5


def test_a_value_that_nothing_gives_names_the_variable_and_the_folder(specimen: Specimen) -> None:
    with pytest.raises(NoValueError, match="loadbalancer_domain has no value for host 'web1'") as caught:
        _fleet(specimen).value("web1", "loadbalancer_domain")
    assert "inventories/test/group_vars/all/" in caught.value.mend


@pytest.mark.parametrize("value", ["{{ other }}", ["{% if x %}"], {"a": ["{{ x }}"]}])
def test_a_template_that_the_engine_needs_is_an_error_that_says_so(specimen: Specimen, value: object) -> None:
    with pytest.raises(UsageError, match=r"nginx_port \(host 'web1'\) is a template"):
        _fleet(specimen, web1={"nginx_port": value}).value("web1", "nginx_port")
    with pytest.raises(UsageError, match="ansible_host"):
        _fleet(specimen, web1={"ansible_host": "{{ x }}"})


def test_an_encrypted_value_is_never_handed_out_nor_shown(specimen: Specimen) -> None:
    cipher = "$ANSIBLE_VAULT;1.1;AES256\n6162"
    fleet = _fleet(specimen, web1={"postgresql_password": {"__ansible_vault": cipher}})
    with pytest.raises(UsageError, match="encrypted") as caught:
        fleet.value("web1", "postgresql_password")
    assert "6162" not in str(caught.value)
    assert "6162" not in repr(fleet)


def test_secrets_in_the_clear_are_veiled_at_every_step_of_their_renewal_and_nothing_else_is(specimen: Specimen) -> None:
    """A sandbox's are: what Ansible says of them is kept in a file."""
    cipher = {"__ansible_vault": "x"}
    secrets = {"postgresql_password": "a", "postgresql_password_next": "b", "postgresql_password_previous": cipher}
    others = {"nginx_port": 8080, "postgresql_port": 5432}
    said = json.dumps(listing({"web": ["web1"]}, web1=secrets | others))
    found = json.loads(inventory.veiled(said, specimen.tree))["_meta"]["hostvars"]["web1"]
    veil = {"__ansible_vault": ""}
    assert {name: found[name] for name in secrets} == {
        "postgresql_password": veil, "postgresql_password_next": veil, "postgresql_password_previous": cipher,
    }  # fmt: skip
    assert {name: found[name] for name in others} == others


def test_an_unknown_host_is_answered_with_those_that_exist(specimen: Specimen) -> None:
    with pytest.raises(UsageError, match=r"no host 'web3'.*web2, web1, db1"):
        _fleet(specimen).value("web3", "nginx_port")


def test_an_inventory_without_hosts_is_an_error(specimen: Specimen) -> None:
    with pytest.raises(UsageError, match="no hosts"):
        inventory.parse("test", {"all": {}}, specimen.tree)


@pytest.mark.parametrize("name", ["prodction", "../test", "test/group_vars", "", "common.yml"])
def test_a_missing_environment_is_answered_with_those_that_exist(specimen: Specimen, name: str) -> None:
    (specimen.root / "inventories/solo").mkdir()
    with pytest.raises(UsageError, match="under inventories/; there are: solo, test") as caught:
        inventory.load(name, specimen.root)
    assert caught.value.code == Exit.USAGE


def test_ansible_reads_the_environment_with_its_links_and_needs_no_vault_password(specimen: Specimen) -> None:
    fleet = inventory.load("test", specimen.root)
    assert list(fleet.hosts) == ["lb1", "web1", "web2", "db1"]
    assert fleet.value("web1", "ansible_user") == "ops"
    assert fleet.value("lb1", "loadbalancer_domain") == "booking.example.org"
    assert fleet.roles("web1") == ("base", "pki", "nginx")


def test_what_is_kept_of_an_environment_holds_no_secret_that_it_has_in_the_clear(specimen: Specimen) -> None:
    specimen.add(ENVIRONMENT, "postgresql_password_next: in-the-clear\n")
    with pytest.raises(UsageError, match="encrypted"):
        inventory.load("test", specimen.root).value("web1", "postgresql_password_next")
    (kept,) = (specimen.root / "build/cache").glob("*test*")
    assert "booking.example.org" in kept.read_text()
    assert "in-the-clear" not in kept.read_text()


@pytest.mark.parametrize("path", [HOSTS, ENVIRONMENT])
def test_a_file_that_ansible_cannot_read_is_an_error_not_a_smaller_fleet(specimen: Specimen, path: str) -> None:
    specimen.write(path, "all: [unclosed\n")
    with pytest.raises(UsageError, match="ansible-inventory cannot read it") as caught:
        inventory.load("test", specimen.root)
    assert caught.value.where == "inventories/test"


def test_an_error_keeps_its_fields_when_it_crosses_processes() -> None:
    error = PreflightError("what", "where", "mend")
    twin = copy.copy(error)  # as pickle does: by __reduce__
    assert type(twin) is PreflightError
    assert (twin.what, twin.where, twin.mend, twin.code) == ("what", "where", "mend", 14)
    assert str(twin) == "where: what\n  mend: mend"


@pytest.mark.parametrize(("limit", "exclude", "left"), [
    ([], [], "lb1 web1 web2 db1 ops1"),
    (["web"], [], "web1 web2"),
    (["web*", "lb1", "web1"], [], "web1 web2 lb1"),
    (["web"], ["web2"], "web1"),
])  # fmt: skip
def test_a_run_is_restricted_by_hosts_groups_and_patterns(limit: list[str], exclude: list[str], left: str) -> None:
    assert inventory.selected(inventory.load("production"), limit, exclude) == left.split()


@pytest.mark.parametrize(("limit", "exclude", "where"), [
    (["nobody"], [], "--limit"), (["web", "etcd"], [], "--limit"), (["web"], ["web*"], "--exclude"),
    ([], ["nobody"], "--exclude"),
])  # fmt: skip
def test_a_run_of_no_host_is_refused_by_pyinfra_itself_too(
    limit: list[str], exclude: list[str], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_ENV", "production")
    context = click.Context(click.Command("pyinfra"))
    context.params = {"limit": limit, "exclude": exclude}
    with context, pytest.raises(UsageError, match=r"no host is called|every host is excluded") as caught:
        inventory.fleet()
    assert caught.value.where == where
