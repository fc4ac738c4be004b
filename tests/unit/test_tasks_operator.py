"""`fab manage` and `fab logs`: what ssh is called with, by a stand-in for ssh on the path."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import inventory
from deploy.errors import PreflightError, UsageError
from deploy.inventory import Fleet
from deploy.tasks import operator
from tests.unit.specimen import Specimen, listing

VARIABLES: dict[str, Any] = {
    "ansible_user": "ops", "ansible_ssh_private_key_file": "keys/ops", "ansible_port": 2222,
    "ansible_ssh_common_args": "-o ProxyJump=jump.example", "release_known_hosts_file": "known_hosts",
    "release_connect_seconds": 7,
}  # fmt: skip
JOURNAL = {
    "192.0.2.2": "2026-11-21T10:00:01.000000+00:00 web1 gunicorn[1]: first\n    and its second line\n"
    "2026-11-21T10:00:04.000000+00:00 web1 gunicorn[1]: fourth\n",
    "192.0.2.3": "2026-11-21T10:00:02.000000+00:00 web2 gunicorn[1]: third\n",
}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    hosts = {
        name: VARIABLES | {"ansible_host": f"192.0.2.{number}"}
        for number, name in enumerate(("web1", "web2", "ops1"), start=2)
    }
    groups = {"web": ["web1", "web2"], "workers": ["web1", "ops1"], "database": ["db1"]}
    return inventory.parse("test", listing(groups, **hosts), Specimen(tmp_path).tree)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder; `ssh` writes its words there, prints a journal and ends with the code in SSH_CODE."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "ssh"
    script.write_text(f"""#!{sys.executable}
import json, os, pathlib, sys
address = next(word for word in sys.argv if "@" in word).partition("@")[2]
(pathlib.Path({str(folder)!r}) / address).write_text(json.dumps(sys.argv[1:]))
print({JOURNAL!r}.get(address, ""), end="")
sys.exit(int(os.environ.get("SSH_CODE", "0")))
""")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def _words(calls: Path, address: str) -> list[str]:
    found: list[str] = json.loads((calls / address).read_text())
    return found


def test_a_host_is_reached_as_the_operator_with_the_variables_of_the_inventory(fleet: Fleet, tmp_path: Path) -> None:
    words = operator.ssh(fleet, fleet.hosts["web1"], ["echo", "a b"], root=tmp_path)
    assert words == [
        "ssh", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=7", "-i", str(tmp_path / "keys/ops"),
        "-o", "ProxyJump=jump.example", "-o", f"UserKnownHostsFile={tmp_path}/known_hosts",
        "-p", "2222", "ops@192.0.2.2", "echo 'a b'",
    ]  # fmt: skip


def test_what_the_inventory_does_not_say_is_left_to_ssh(tmp_path: Path) -> None:
    plain = {"ansible_host": "192.0.2.2", "release_connect_seconds": 10}
    fleet = inventory.parse("test", listing({"web": ["web1"]}, web1=plain), Specimen(tmp_path).tree)
    words = operator.ssh(fleet, fleet.hosts["web1"], ["true"], terminal=True)
    assert words == [
        "ssh", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10", "-t", "-p", "22", "ops@192.0.2.2", "true",
    ]  # fmt: skip


def test_a_management_command_reaches_the_first_web_host_word_by_word(fleet: Fleet, calls: Path) -> None:
    assert operator.manage(fleet, "shell -c 'print(\"a  b\"); $HOME'") == 0
    *_, target, command = _words(calls, "192.0.2.2")
    assert target == "ops@192.0.2.2"
    assert shlex.split(command) == [
        "sudo", "-n", "/usr/local/bin/booking-manage", "shell", "-c", 'print("a  b"); $HOME',
    ]  # fmt: skip
    assert "-t" not in _words(calls, "192.0.2.2"), "there is no terminal here"


def test_a_management_command_may_name_its_host_and_gives_its_own_exit_code(
    fleet: Fleet, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CODE", "3")
    assert operator.manage(fleet, "check", "web2") == 3
    assert (calls / "192.0.2.3").exists()


@pytest.mark.parametrize("line", ["", "  ", "shell -c 'print(1)"])
def test_a_command_that_no_shell_would_take_never_leaves_this_machine(fleet: Fleet, calls: Path, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        operator.manage(fleet, line)
    assert "fab manage" in caught.value.mend
    assert [path.name for path in calls.iterdir()] == ["ssh"]


@pytest.mark.parametrize("name", ["db1", "nowhere"])
def test_a_host_without_the_application_is_answered_with_those_that_have_it(fleet: Fleet, name: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        operator.manage(fleet, "check", name)
    assert "web1, web2, ops1" in caught.value.mend


def test_journals_of_all_hosts_come_in_one_order_of_time(
    fleet: Fleet, calls: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert operator.logs(fleet, lines=20, since=600) == 0
    said = [line.split()[-1] for line in capfd.readouterr().out.splitlines()]
    assert said == ["first", "line", "third", "fourth"]
    command = _words(calls, "192.0.2.4")[-1]
    assert shlex.split(command) == [
        "sudo", "-n", "journalctl", "--quiet", "--no-pager", "--utc", "--output=short-iso-precise",
        "--unit=booking-*", "--lines=20", "--since=-600s",
    ]  # fmt: skip


def test_one_hosts_journal_may_be_followed(fleet: Fleet, calls: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert operator.logs(fleet, "web2", lines=5, follow=True) == 0
    assert "third" in capfd.readouterr().out
    assert "--follow" in _words(calls, "192.0.2.3")[-1]
    assert not (calls / "192.0.2.2").exists()


def test_a_lost_connection_is_told_with_its_host(fleet: Fleet, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CODE", "255")
    calls_of_all: list[Callable[[], int]] = [
        lambda: operator.manage(fleet, "check"),
        lambda: operator.logs(fleet, "web1", lines=1),
        lambda: operator.logs(fleet, "web1", lines=1, follow=True),
    ]
    for call in calls_of_all:
        with pytest.raises(PreflightError, match=r"no connection to 192\.0\.2\.2") as caught:
            call()
        assert caught.value.where == "web1"
