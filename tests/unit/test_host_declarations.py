"""A role's meta/host.yml: what it makes of a host, resolved for both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import host_declarations
from deploy.errors import UsageError
from deploy.rendering import Renderer
from tests.unit.test_rendering import Fixed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "templates/etc/app").mkdir(parents=True)
    (tmp_path / "templates/etc/app/app.conf.j2").write_text("port {{ app_port }}\n")
    (tmp_path / "roles/app/meta").mkdir(parents=True)
    (tmp_path / "roles/app/files/lib").mkdir(parents=True)
    (tmp_path / "roles/app/files/program").write_text("#!/bin/sh\n")
    for name in ("b", "a"):
        (tmp_path / f"roles/app/files/lib/{name}.py").write_text(f"# {name}\n")
    return tmp_path


def declare(root: Path, text: str, **variables: object) -> Renderer:
    (root / "roles/app/meta/host.yml").write_text(text)
    return Renderer(Fixed(**variables), "one", root=root)


def files(root: Path, entries: str, **variables: object) -> list[dict[str, object]]:
    return host_declarations.files("app", declare(root, f"files: {{main: [{entries}]}}", **variables))


def test_a_file_is_rendered_from_the_template_of_its_own_path(root: Path) -> None:
    assert files(root, "{path: /etc/app/app.conf}", app_port=1) == [{
        "path": "/etc/app/app.conf", "state": "file", "content": "port 1\n", "mode": "0644", "owner": "root",
        "group": "root", "validate": "", "create_only": False, "pending": "",
    }]  # fmt: skip


def test_content_comes_from_another_template_a_file_or_the_declaration_itself(root: Path) -> None:
    found = files(
        root, "{path: /a, template: etc/app/app.conf.j2}, {path: /b, copy: program, mode: '0755'},"
        " {path: /c, content: 'port {{ app_port }}'}", app_port=1,
    )  # fmt: skip
    assert [(each["path"], each["content"], each["mode"]) for each in found] == [
        ("/a", "port 1\n", "0644"), ("/b", "#!/bin/sh\n", "0755"), ("/c", "port 1", "0644"),
    ]


def test_a_pattern_stands_for_every_file_by_name(root: Path) -> None:
    found = files(root, "{path: /lib, copy: 'lib/*.py'}")
    assert [(each["path"], each["content"]) for each in found] == [("/lib/a.py", "# a\n"), ("/lib/b.py", "# b\n")]
    assert host_declarations.paths("app", Renderer(Fixed(), "one", root=root)) == ["/lib/a.py", "/lib/b.py"]


@pytest.mark.parametrize(("on", "states"), [(True, ["file", "file"]), (False, ["absent"])])
def test_an_entry_may_hang_on_an_expression(root: Path, on: bool, states: list[str]) -> None:
    found = files(root, "{path: /a, content: '', present: app_on}, {path: /b, content: '', when: app_on}", app_on=on)
    assert [each["state"] for each in found] == states


def test_an_entry_may_stand_once_for_every_item(root: Path) -> None:
    found = files(root, "{path: '/a/{{ item }}', content: '{{ item }}', each: app_names}", app_names=["x", "y"])
    assert [(each["path"], each["content"]) for each in found] == [("/a/x", "x"), ("/a/y", "y")]


def test_a_folder_is_open_to_all_unless_it_says_otherwise(root: Path) -> None:
    assert [each["mode"] for each in files(root, "{path: /a, state: directory}")] == ["0755"]


@pytest.mark.parametrize(("entries", "said"), [
    ("{path: /a, moed: '0600'}", "unknown key moed"),
    ("{mode: '0600'}", "missing key path"),
    ("{path: /a, state: link}", "state is one of"),
    ("{path: /a, copy: nowhere}", "no file nowhere"),
    ("{path: /a, template: nowhere.j2}", "there is no template"),
])  # fmt: skip
def test_a_declaration_that_says_what_it_may_not_is_refused(root: Path, entries: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        files(root, entries)


def test_a_set_that_is_not_there_is_told_with_those_that_are(root: Path) -> None:
    here = declare(root, "files: {main: []}")
    with pytest.raises(UsageError, match="no set 'site'; there are: main"):
        host_declarations.files("app", here, "site")


def test_units_accounts_and_renewals_say_what_they_leave_out(root: Path) -> None:
    here = declare(root, (
        "accounts: [{name: app}]\n"
        "units: {main: [{name: app.service}, {name: b.timer, state: '', enabled: false}]}\n"
        "renewals: {main: [{pending: app, reload: app.service}]}\n"
    ))  # fmt: skip
    assert host_declarations.accounts("app", here) == [
        {"name": "app", "system": False, "shell": "/bin/bash", "home": "/home/app", "create_home": True},
    ]
    assert host_declarations.units("app", here) == [
        {"name": "app.service", "state": "started", "enabled": True},
        {"name": "b.timer", "state": "", "enabled": False},
    ]
    assert host_declarations.renewals("app", here) == [
        {"pending": "app", "check": "", "run": "", "reload": "app.service", "restart": ""},
    ]
    assert host_declarations.units("app", here, "none") == []
