"""deploy.validation: each variable and file that is wrong is a problem with file, line and key."""

from __future__ import annotations

import pytest

from tests.unit.specimen import ENVIRONMENT, HOSTS, SECRETS, Specimen


def test_a_sound_environment_has_no_problems(specimen: Specimen) -> None:
    assert specimen.problems() == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("haproxy_maxcon: 1", "haproxy_maxcon: unknown variable; did you mean haproxy_maxconn?"),
        ("ansible_usr: x", "ansible_usr: unknown variable; did you mean ansible_user?"),
        ("ansible_shell_type: csh", "ansible_shell_type: unknown variable"),
        ("zzz: 1", "zzz: unknown variable"),
        ("relaese_keep: 4", "relaese_keep: unknown variable; did you mean release_keep?"),
        ("release_keep: many", "release_keep: a whole number is expected, not a string"),
        (
            "haproxy_maxconn: '4000'",
            "haproxy_maxconn: a whole number is expected, not a string (write it without",
        ),
        ("haproxy_maxconn: true", "haproxy_maxconn: a whole number is expected, not true or false"),
        ("haproxy_maxconn: 1.5", "haproxy_maxconn: a whole number is expected, not a number"),
        ("haproxy_maxconn:", "haproxy_maxconn: is empty; a whole number is expected"),
        ("base_ratio: '0.1'", "base_ratio: a number is expected, not a string"),
        ("base_strict: 1", "base_strict: true or false is expected, not a whole number"),
        ("base_level: 3", "base_level: a string is expected, not a whole number (quote it)"),
        ("base_level: middle", "base_level: not one of: low, high"),
        ("base_home: [/srv]", "base_home: a path (a string) is expected, not a list"),
        ("base_options: []", "base_options: a mapping is expected, not a list"),
        ("base_addresses: 192.0.2.1", "base_addresses: a list is expected, not a string"),
        ("base_addresses: [192.0.2.1, 7]", "base_addresses[1]: a string is expected, not a whole number"),
        ("base_users: [{name: 1}]", "base_users[0].name: a string is expected, not a whole number"),
        ("base_users: [{uid: 1}]", "base_users[0]: the key name is missing"),
        ("base_users: [{name: a, uuid: 1}]", "base_users[0].uuid: unknown key; did you mean uid?"),
        ("ansible_port: '22'", "ansible_port: a whole number is expected, not a string"),
        ("8080: x", "8080: a name is expected (quote it)"),
    ],
)
def test_a_variable_that_is_not_as_declared_is_named_with_its_line(specimen: Specimen, text: str, problem: str) -> None:
    specimen.add(ENVIRONMENT, f"# a comment\n{text}\n")
    (found,) = specimen.problems()
    line = 1 if text.startswith("8080") else 5
    assert found.startswith(f"{ENVIRONMENT}:{line}: {problem}")


@pytest.mark.parametrize(
    "text",
    [
        "haproxy_maxconn: 5000",
        'haproxy_maxconn: "{{ 2 * 2000 }}"',
        "base_ratio: 1",
        "base_level: high",
        "base_home: !unsafe /srv/{{x}}",
        "base_options: {any: [thing]}",
        "base_users: [{name: a, uid: 7}, {name: '{{ b }}'}]",
        "ansible_port: 2222",
        "nginx_packages: &p [a]\nhaproxy_maxconn: 1",
    ],
)
def test_what_is_as_declared_passes(specimen: Specimen, text: str) -> None:
    specimen.add(ENVIRONMENT, f"{text}\n")
    assert specimen.problems() == []


def test_a_part_of_a_value_is_named_with_its_own_line(specimen: Specimen) -> None:
    specimen.add(ENVIRONMENT, "base_users:\n  - name: a\n  - name: b\n    uid: many\n")
    (found,) = specimen.problems()
    assert found.startswith(f"{ENVIRONMENT}:7: base_users[1].uid: ")


def test_variables_of_groups_and_hosts_are_checked_wherever_they_stand(specimen: Specimen) -> None:
    specimen.write("inventories/test/group_vars/web.yml", "nginx_prt: 1\n")
    specimen.write("inventories/test/host_vars/db1/own.yml", "postgresql_prt: 1\n")
    specimen.replace(HOSTS, "192.0.2.2}", "192.0.2.2, nginx_por: 1}")
    specimen.replace("inventories/common.yml", "ansible_user", "ansible_uzer")
    starts = [problem.rpartition(": unknown")[0] for problem in specimen.problems()]
    assert starts == [
        "inventories/common.yml:1: ansible_uzer",
        "inventories/test/group_vars/web.yml:1: nginx_prt",
        "inventories/test/host_vars/db1/own.yml:1: postgresql_prt",
        f"{HOSTS}:4: nginx_por",
    ]


def test_a_key_written_twice_is_a_problem_at_the_second(specimen: Specimen) -> None:
    specimen.add(ENVIRONMENT, "base_level: low\nbase_level: high\n")
    assert specimen.problems() == [f"{ENVIRONMENT}:5: base_level: is written twice in one mapping; the first is lost"]


def test_a_host_written_twice_in_one_group_is_a_problem(specimen: Specimen) -> None:
    specimen.replace(HOSTS, "        web2:\n", "        web1:\n        web2:\n")
    assert specimen.problems() == [f"{HOSTS}:14: web1: is written twice in one mapping; the first is lost"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("base_level: [low\nx: y\n", 5, "not readable as YAML"),
        ("base_level: 'low\n", 5, "not readable as YAML"),
        ("\tbase_level: low\n", 4, "not readable as YAML"),
        ("base_level: !secret low\n", 4, "not readable as YAML: could not determine a constructor"),
        ("---\nbase_level: low\n", 4, "not readable as YAML"),
    ],
)
def test_what_is_not_yaml_is_a_problem_with_a_line(specimen: Specimen, text: str, line: int, message: str) -> None:
    specimen.add(ENVIRONMENT, text)
    problem = next(p for p in specimen.problems() if message in p)
    assert problem.startswith(f"{ENVIRONMENT}:{line}: {message}")


def test_other_unreadable_files_are_problems_not_tracebacks(specimen: Specimen) -> None:
    folder = specimen.root / "inventories/test/group_vars/all"
    (folder / "30-list.yml").write_text("- a\n")
    (folder / "31-empty.yml").write_text("")
    (folder / "32-vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (folder / "33-binary.yml").write_bytes(b"\xff\xfe\xfa")
    (folder / "34-lost.yml").symlink_to("nowhere.yml")
    (folder / "35-date.yml").write_text("base_level: 2026-13-41\n")
    (folder / ".36-hidden.yml").write_text("zzz: 1\n")
    (folder / "37-backup~").write_text("zzz: 1\n")
    (folder / "37-backup.yml~").write_text("zzz: 1\n")
    found = [p.removeprefix("inventories/test/group_vars/all/") for p in specimen.problems()]
    assert [p[:2] for p in found] == ["30", "32", "33", "34", "35"]
    assert "a mapping is expected" in found[0]
    assert "encrypted as a whole" in found[1]
    assert "not readable" in found[2]
    assert "a link that leads nowhere" in found[3]
    assert "not readable as YAML" in found[4]


def test_a_message_never_repeats_a_value(specimen: Specimen) -> None:
    for text in (
        "postgresql_password: [s3cret]",
        "postgresql_password: 's3cret",
        "s3cret",
        "base_level: s3cret",
    ):
        specimen.write(SECRETS, f"pki_key: a\npki_certificate: b\n{text}\n")
        found = specimen.problems()
        assert found
        assert not [problem for problem in found if "s3cret" in problem]
