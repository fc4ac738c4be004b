"""Every role says what it takes, what it listens on and what it keeps secret, and site.yml uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from deploy import crons, host_declarations, inventory
from deploy.crons import Job
from deploy.inventory import templated
from deploy.inventory_files import read
from deploy.option_types import TYPES, faults
from deploy.role_files import Role
from deploy.specs import ROOT, SERVICE_GROUPS, tree

TREE = tree()
KEYS = {"type", "description", "default", "required", "choices", "elements", "options"}


@pytest.fixture(params=TREE.role_names)
def role(request: pytest.FixtureRequest) -> Role:
    """Each role in turn."""
    return TREE.role(request.param)


def _texts(*folders: str) -> Iterator[tuple[str, str]]:
    """Path and text of each text file below the folders (or the file itself)."""
    for folder in folders:
        top = ROOT / folder
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")


def _lines(pattern: str, *folders: str) -> list[str]:
    found = re.compile(pattern, re.IGNORECASE)
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in _texts(*folders)
        for number, line in enumerate(text.splitlines(), 1)
        if found.search(line)
    ]


def _faults(name: str, option: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one option's specification, those nested in it included."""
    if unknown := set(option) - KEYS:
        yield f"{name}: unknown keys {sorted(unknown)}"
    if option.get("type") not in TYPES:
        yield f"{name}: type is one of {sorted(TYPES)}, not {option.get('type')!r}"
    if not str(option.get("description") or "").strip():
        yield f"{name}: no description"
    if option.get("type") == "list" and option.get("elements") not in TYPES:
        yield f"{name}: a list says what its elements are"
    for inner, nested in (option.get("options") or {}).items():
        yield from _faults(f"{name}.{inner}", nested)


def _same(one: object, other: object) -> bool:
    """Equal and of one type: 1 is neither true nor 1.0."""
    return type(one) is type(other) and one == other


def test_site_yml_and_the_folders_name_the_same_roles() -> None:
    used = {role for play in TREE.plays for role in play.roles}
    assert used == set(TREE.role_names)


def test_site_yml_names_groups_of_services_alone() -> None:
    assert {group for play in TREE.plays for _, group in play.terms} <= {*SERVICE_GROUPS, "all"}


def test_every_option_is_typed_and_described(role: Role) -> None:
    assert (ROOT / "roles" / role.name / "meta/argument_specs.yml").is_file()
    assert [fault for name, option in role.options.items() for fault in _faults(name, option)] == []


def test_every_option_begins_with_the_name_of_its_role(role: Role) -> None:
    assert [name for name in role.options if TREE.owner(name) != role.name] == []


def test_defaults_and_options_are_the_same(role: Role) -> None:
    specified = {name: option["default"] for name, option in role.options.items() if "default" in option}
    assert set(specified) == set(role.defaults)
    differing = [name for name in specified if not _same(specified[name], role.defaults[name])]
    assert differing == []


def test_an_option_has_a_default_or_is_required(role: Role) -> None:
    """Save a secret that somebody else gives: without it, what it is for stays off; one that another stands in for; and
    the values that are there while one is renewed."""
    given = {name for secret in role.secrets if not secret.drawn or secret.stand_in for name in secret.names}
    given |= {f"{s.name}{suffix}" for s in role.secrets if s.rotation for suffix in ("_next", "_previous")}
    unclear = [n for n, o in role.options.items() if n not in given and bool(o.get("required")) == ("default" in o)]
    assert unclear == []


def test_defaults_are_literal_and_of_their_type(role: Role) -> None:
    assert [name for name, value in role.defaults.items() if templated(value)] == []
    wrong = [
        f"{name}: {message}"
        for name, value in role.defaults.items()
        for _, message in faults(value, role.options.get(name, {"type": "raw"}))
    ]
    assert wrong == []


def test_a_secret_is_text_without_a_default_and_required_if_it_is_drawn(role: Role) -> None:
    for secret in role.secrets:
        for name in secret.names:
            option = role.options[name]
            assert option["type"] == "str", name
            assert bool(option.get("required")) is (secret.drawn and not secret.stand_in), name
            assert "default" not in option, name
            assert name not in role.defaults, name


def test_a_secret_that_can_be_renewed_has_room_for_the_next_and_the_previous_value(role: Role) -> None:
    for secret in role.secrets:
        for name in (f"{secret.name}_next", f"{secret.name}_previous") if secret.rotation else ():
            assert role.options[name]["type"] == "str", name
            assert not {"default", "required"} & set(role.options[name]), name
        if secret.generation:
            assert role.defaults[secret.generation] == 0


def test_what_looks_like_a_secret_is_declared_as_one(role: Role) -> None:
    declared = {name for secret in role.secrets for name in secret.names}
    looks = [name for name in role.options if re.search(r"_(password|secret|secret_key|jwt_key|token|ca_key)$", name)]
    assert [name for name in looks if name not in declared] == []


def test_a_declared_port_names_variables_and_groups_that_exist(role: Role) -> None:
    for port in (*role.ports, *role.outgoing):
        if isinstance(port.port, str) and port.port:
            option = TREE.option(port.port)
            assert option is not None, f"{port.port} is not declared"
            assert option["type"] == "int", port.port
        for name in (port.url, port.when):
            assert not name or TREE.option(name) is not None, f"{name} is not declared"
        assert set(port.groups) <= set(SERVICE_GROUPS), port.port
        if port.networks:
            networks = TREE.option(port.networks)
            assert networks is not None, f"{port.networks} is not declared"
            assert networks["type"] == "list", port.networks


def test_a_port_variable_is_a_declared_port(role: Role) -> None:
    """A port that nobody declares stays closed, and the tests of what is open miss it. With a host beside it, it is
    where somebody else listens."""
    declared = {port.port for port in role.ports}
    own = [n for n in role.options if n.endswith("_port") and n.removesuffix("port") + "host" not in role.options]
    assert [name for name in own if name not in declared] == []


def test_declared_crons_name_a_list_of_jobs_and_groups_that_exist(role: Role) -> None:
    for cron in role.crons:
        option = TREE.option(cron.jobs)
        assert option is not None, f"{cron.jobs} is not declared"
        assert (option["type"], option["elements"]) == ("list", "dict"), cron.jobs
        assert set(option["options"]) == {field.name for field in fields(Job)}, cron.jobs
        assert set(cron.groups) <= set(SERVICE_GROUPS), cron.jobs


def test_default_crons_can_be_run_as_they_are_written(role: Role) -> None:
    """Validation can only name lines of an inventory."""
    jobs = [job for cron in role.crons for job in role.defaults.get(cron.jobs, ())]
    assert [(job["name"], *fault) for job in jobs for fault in crons.faults(job)] == []
    assert len({job["name"] for job in jobs}) == len(jobs)


def test_a_role_that_installs_packages_lists_them_in_its_variable(role: Role) -> None:
    tasks = "".join(text for _, text in _texts(f"roles/{role.name}/tasks"))
    if "ansible.builtin.apt:" in tasks or "ansible.builtin.package:" in tasks:
        assert role.packages, f"{role.name}_packages is empty or missing"


def test_a_role_pulls_in_no_other_role_unseen(role: Role) -> None:
    meta = "".join(text for _, text in _texts(f"roles/{role.name}/meta/main.yml") if text)
    assert not re.search(r"^dependencies:\s*(?!\[\])\S", meta + "\n", re.MULTILINE)
    found = "\n".join(_lines(r"\b(include|import)_role\b", f"roles/{role.name}"))
    # nginx_lb is a site of role nginx, whose server it takes by its task files.
    assert found.count("\n") + bool(found) == (role.name == "nginx_lb"), found


@pytest.mark.parametrize("prefix", ["release_", "loadbalancer_"])
def test_shared_variables_are_specified_like_those_of_a_role(prefix: str) -> None:
    names = [name for name in TREE.shared if name.startswith(prefix)]
    assert names
    for name in names:
        option = TREE.shared[name]
        assert list(_faults(name, option)) == []
        assert bool(option.get("required")) != ("default" in option), name
        if "default" in option:
            assert not templated(option["default"]), name
            assert list(faults(option["default"], option)) == [], name


def test_shared_variables_have_one_of_two_prefixes_and_are_specified_once() -> None:
    """Role loadbalancer has the prefix too, for what the balancers alone read."""
    assert [name for name in TREE.shared if not name.startswith(("release_", "loadbalancer_"))] == []
    assert {TREE.owner(name) for name in TREE.shared} <= {"", "loadbalancer"}
    assert set(TREE.shared) & set(TREE.role("loadbalancer").options) == set()


def test_nothing_in_roles_or_deploy_knows_of_the_sandbox() -> None:
    assert _lines(r"\blab\b", "roles", "deploy") == []


def test_no_role_or_play_names_a_host() -> None:
    hosts: set[str] = set()
    for env in inventory.environments():
        hosts |= set(read(ROOT / "inventories" / env, ROOT, TREE)[0].groups["all"])
    assert hosts
    names = "|".join(map(re.escape, sorted(hosts)))
    assert _lines(rf"(?<![\w.-])({names})(?![\w-])", "roles", "templates", "site.yml") == []


def test_the_search_for_words_would_find_one() -> None:
    """The control of the two tests above."""
    assert _lines(r"\bresolver\b", "deploy/declarations.py") != []
    assert Path(ROOT / "site.yml").is_file()
    assert _lines(r"\bhosts\b", "site.yml") != []


@pytest.mark.parametrize(("role", "package"), [
    ("booking_app", "booking_release"), ("cron", "cron_once"), ("certbot", "certificate_issuer"),
    ("loadbalancer", "booking_balancer"),
])  # fmt: skip
def test_every_module_of_a_program_is_shipped(role: str, package: str) -> None:
    entries = [entry for entries in host_declarations.declared(role).files.values() for entry in entries]
    files = ROOT / f"roles/{role}/files"
    found = {path for entry in entries if "*" in entry.get("copy", "") for path in files.glob(entry["copy"])}
    assert found
    assert found == {path for path in (files / package).rglob("*") if "__pycache__" not in path.parts}
