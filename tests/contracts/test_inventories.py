"""Every environment in the repository is sound, and says nothing that nobody declares."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fnmatch import fnmatch
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

import pytest

from deploy import declarations, inventory, secrets, validation
from deploy.errors import NoValueError
from deploy.inventory_files import read
from deploy.specs import ROOT, tree
from deploy.static_inventory import StaticInventory, UnresolvedError

# RFC 5737 and RFC 3849: addresses that nobody has.
DOCUMENTATION = [ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]


def _examples() -> list[str]:
    """The environments that are part of the repository; generated ones are ignored by git."""
    ignored = [line.strip().strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    return [name for name in inventory.environments() if not any(fnmatch(f"inventories/{name}", i) for i in ignored)]


EXAMPLES = _examples()


@pytest.fixture(scope="module", params=EXAMPLES)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of an environment, its links followed, with every secret drawn (not encrypted)."""
    name: str = request.param
    copy = tmp_path_factory.mktemp(name) / name
    shutil.copytree(ROOT / "inventories" / name, copy)
    with (copy / secrets.FILE).open("a") as stream:
        stream.write(secrets.dump(secrets.draw(secrets.missing(copy)), None))
    return copy


@pytest.fixture(scope="module", params=EXAMPLES)
def fleet(request: pytest.FixtureRequest) -> inventory.Fleet:
    """An environment as Ansible reads it."""
    return inventory.load(request.param)


def _static(folder: Path) -> StaticInventory:
    return read(folder, ROOT, tree())[0]


def test_the_examples_are_there() -> None:
    assert {"production", "solo"} <= set(EXAMPLES)


def test_an_environment_is_sound_once_its_secrets_are_drawn(drawn: Path) -> None:
    assert [str(problem) for problem in validation.problems(drawn)] == []


def test_a_misspelled_variable_in_an_environment_would_be_noticed(drawn: Path, tmp_path: Path) -> None:
    """The control of the test above."""
    copy = tmp_path / drawn.name
    shutil.copytree(drawn, copy)
    (copy / "group_vars/all/15-spoiled.yml").write_text("loadbalancer_domian: x\n")
    (problem,) = validation.problems(copy)
    assert problem.message == "unknown variable; did you mean loadbalancer_domain?"


def test_an_environment_lacks_nothing_but_secrets() -> None:
    for name in EXAMPLES:
        lacking = {n for s in secrets.missing(ROOT / "inventories" / name) for n in s.names}
        found = {problem.key for problem in validation.problems(ROOT / "inventories" / name)}
        assert found <= lacking


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_all_share_is_linked_and_not_copied(name: str) -> None:
    link = ROOT / "inventories" / name / "group_vars/all/00-common.yml"
    assert link.is_symlink()
    assert link.readlink() == Path("../../../common.yml")
    assert link.resolve() == ROOT / "inventories/common.yml"


def test_no_variables_stand_where_they_would_outrank_an_environment() -> None:
    assert not [name for name in ("group_vars", "host_vars") if (ROOT / name).exists()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_holds_no_secret(name: str) -> None:
    static = _static(ROOT / "inventories" / name)
    secret = {n for s in declarations.secrets(static.tree, static.groups) for n in s.names}
    assert not [s.name for s in static.settings if s.name in secret and isinstance(s.value, str)]


@pytest.mark.parametrize("name", ["production", "solo"])
def test_an_example_names_nobodys_addresses_and_domains(name: str) -> None:
    static = _static(ROOT / "inventories" / name)
    for setting in static.settings:
        for word in _words(setting.value):
            if network := _network(word):
                inside = [d for d in DOCUMENTATION if d.version == network.version and d.overlaps(network)]
                assert inside, f"{setting.place.file}:{setting.place.line}: {word} is somebody's address"
            if setting.name.endswith(("_domain", "_domains", "_email")):
                assert word.endswith("example.org"), f"{setting.place.file}:{setting.place.line}: {word}"


def test_ansible_and_the_validation_read_the_same_hosts_and_values(fleet: inventory.Fleet) -> None:
    static = _static(ROOT / "inventories" / fleet.env)
    for group in static.groups:
        assert set(fleet.groups.get(group, ())) == set(static.groups[group]), group
    for host in fleet.hosts:
        for name in tree().variables():
            try:
                value = static.value(host, name)
            except (NoValueError, UnresolvedError):
                continue
            assert fleet.value(host, name) == value, f"{name} on {host}"


def test_the_world_reaches_the_load_balancers_alone(fleet: inventory.Fleet) -> None:
    open_to_all = {host for host, rules in declarations.ports(fleet).items() for rule in rules if rule.world}
    assert open_to_all == set(fleet.groups["loadbalancers"])


def test_every_host_answers_ssh_to_the_networks_that_its_inventory_names(fleet: inventory.Fleet) -> None:
    for host, rules in declarations.ports(fleet).items():
        ssh = next(r for r in rules if r.port == fleet.value(host, "base_ssh_port") and not r.limited)
        assert set(ssh.sources) == set(fleet.value(host, "base_ssh_sources"))


def _words(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)


def _network(word: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        return None
