"""pyinfra's operations: facts in, commands out."""

from __future__ import annotations

import getpass
import grp
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.provision import operations
from deploy.provision.differences import Difference, told
from deploy.provision.host_state import program
from tests.unit.provision.conftest import NAME, Stand

TAKEN_IN = ["rm -f /var/lib/nexus/pending/app", "rm -f /var/lib/nexus/pending/shared"]


def test_a_host_that_is_as_the_role_has_it_is_left_alone(stand: Stand, differences: Path) -> None:
    for operation in (operations.packages, operations.accounts, operations.files, operations.units):
        assert stand.commands(operation, "app") == [], operation
    assert stand.commands(operations.absent_packages, ["telnet"]) == []
    assert not differences.exists()


@pytest.mark.parametrize("change", [
    {"mode": "0644"}, {"owner": "ops"}, {"group": "ops"}, {"sha256": "other"}, {"kind": "absent"}, {"kind": "other"},
    {"kind": "directory"},
])  # fmt: skip
def test_a_file_that_differs_is_placed_alone_and_told(stand: Stand, differences: Path, change: dict[str, str]) -> None:
    stand.found["files"]["/etc/app/app.conf"] |= change
    (command,) = stand.commands(operations.files, "app")
    assert command.get_raw_value() == "python3 -", "what a file holds is on no command line"
    sent = command.connector_arguments["_stdin"]
    assert "/etc/app/app.conf" in sent
    assert "/etc/app/other" not in sent
    assert list(told(differences)) == [Difference(NAME, "", "/etc/app/app.conf")]


@pytest.mark.parametrize(("path", "found"), [
    ("/etc/app", {"mode": "0700"}), ("/etc/app", {"kind": "file"}), ("/etc/app/old", {"kind": "file"}),
    ("/etc/app/old", {"kind": "directory"}), ("/etc/app/old", {"kind": "other"}),
])  # fmt: skip
def test_folders_and_what_must_not_be_there_are_seen_as_well(stand: Stand, path: str, found: dict[str, str]) -> None:
    stand.found["files"][path] |= found
    assert stand.words(operations.files, "app") == ["python3 -"]


def test_a_secret_is_on_no_command_line_and_in_no_log(stand: Stand) -> None:
    (command,) = stand.commands(operations.files, "app", "secret")
    assert "hunter2" in command.connector_arguments["_stdin"]
    assert "hunter2" not in command.get_raw_value() + repr(command) + str(command)


def test_files_that_cannot_be_rendered_yet_are_certain_to_be_written(stand: Stand, differences: Path) -> None:
    assert stand.words(operations.files, "app", "later", names=lambda: None) == ["true"]
    assert list(told(differences)) == [Difference(NAME, "", "/etc/app/later")]


def test_files_are_rendered_with_what_only_the_moment_knows(stand: Stand) -> None:
    (command,) = stand.commands(operations.files, "app", "later", names=lambda: {"of_the_moment": "now"})
    assert '"content": "now"' in command.connector_arguments["_stdin"]


def test_packages_do_not_start_before_their_time(stand: Stand) -> None:
    stand.found["packages"]["installed"] = ["lib"]
    words = stand.words(operations.packages, "app", start=False)
    assert "exit 101" in words[0]
    assert [each for each in words if "apt-get" in each and "install" in each and each.endswith(" app")]
    assert words[-1] == "rm -f /usr/sbin/policy-rc.d"
    assert not any("policy-rc.d" in each for each in stand.words(operations.packages, "app"))


def test_packages_that_left_their_configuration_are_purged(stand: Stand) -> None:
    stand.found["packages"]["known"] = ["telnet"]
    assert stand.words(operations.absent_packages, ["telnet", "ftp"]) == [
        "DEBIAN_FRONTEND=noninteractive apt-get purge --yes telnet",
    ]


MASKED = {"LoadState": "masked", "ActiveState": "inactive"}


@pytest.mark.parametrize(("found", "wanted"), [
    ({"ActiveState": "inactive"}, ["start"]),
    ({"ActiveState": "failed"}, ["start"]),
    ({"UnitFileState": "disabled"}, ["enable"]),
    ({"NeedDaemonReload": "yes"}, ["daemon-reload"]),
    (MASKED | {"UnitFileState": "masked"}, ["unmask", "enable", "start"]),
    (MASKED | {"UnitFileState": "masked-runtime"}, ["unmask --runtime", "enable", "start"]),
])  # fmt: skip
def test_a_unit_is_brought_to_where_it_belongs(stand: Stand, found: dict[str, str], wanted: list[str]) -> None:
    stand.found["units"]["app.service"] |= found
    assert stand.words(operations.units, "app") == [
        f"systemctl {each}" + ("" if each == "daemon-reload" else " app.service") for each in wanted
    ]


@pytest.mark.parametrize("pending", ["app", "shared"])
def test_what_a_killed_run_has_left_pending_is_checked_and_taken_in(stand: Stand, pending: str) -> None:
    stand.found["pending"] = [pending]
    assert stand.words(operations.units, "app") == ["app --check", "systemctl reload app.service", *TAKEN_IN]


def test_what_systemd_has_still_to_read_comes_first(stand: Stand) -> None:
    stand.found["pending"] = ["systemd", "app"]
    first = ["systemctl daemon-reload", "rm -f /var/lib/nexus/pending/systemd"]
    assert stand.words(operations.units, "app")[:2] == first


def test_what_is_pending_elsewhere_is_not_this_roles(stand: Stand) -> None:
    stand.found["pending"] = ["another"]
    assert stand.words(operations.units, "app") == []


def test_a_unit_that_is_started_has_read_everything(stand: Stand) -> None:
    stand.found["units"]["app.service"]["ActiveState"] = "inactive"
    stand.found["pending"] = ["app"]
    assert stand.words(operations.units, "app") == ["systemctl start app.service", "app --check", *TAKEN_IN]


def test_accounts_are_made_without_a_password(stand: Stand) -> None:
    stand.found["accounts"] = {"app": None, "person": None}
    assert stand.words(operations.accounts, "app") == [
        "useradd --system --user-group --no-create-home --home-dir /srv/app --shell /usr/sbin/nologin"
        " --password '*' app",
        "useradd --user-group --create-home --home-dir /home/person --shell /bin/bash --password '*' person",
    ]


@pytest.mark.parametrize(("found", "wanted"), [
    ({"shell": "/bin/sh"}, "usermod --shell /bin/bash --home /home/person person"),
    ({"home": "/"}, "usermod --shell /bin/bash --home /home/person person"),
    ({"home_there": False}, "mkhomedir_helper person"),
])  # fmt: skip
def test_an_account_that_was_changed_is_put_back(stand: Stand, found: dict[str, Any], wanted: str) -> None:
    stand.found["accounts"]["person"] |= found
    assert stand.words(operations.accounts, "app") == [wanted]


@pytest.mark.parametrize(("answer", "wanted"), [
    ((0, "unchanged"), []), ((0, "changed"), ["app act"]), ((1, "unchanged"), ["app act"]), ((127, ""), ["app act"]),
])  # fmt: skip
def test_an_act_is_left_out_where_the_helper_says_so(
    stand: Stand, answer: tuple[int, str], wanted: list[str]
) -> None:
    stand.found["answers"]["act"] = answer
    assert stand.words(operations.act, ["app", "act"], question="act") == wanted


@pytest.mark.parametrize("status", [1, 127])
def test_rules_are_loaded_and_confirmed_over_a_fresh_connection(stand: Stand, status: int) -> None:
    stand.found["answers"]["status"] = (status, "")
    load, fresh, confirm = stand.commands(operations.guarded_load, 60, question="status")
    assert load.get_raw_value() == "firewall-guard load 60"
    assert fresh.function is operations.renew
    assert confirm.get_raw_value() == "firewall-guard confirm"


def test_rules_that_are_in_force_are_left_alone(stand: Stand) -> None:
    stand.found["answers"]["status"] = (0, "")
    assert stand.commands(operations.guarded_load, 60, question="status") == []


@pytest.mark.parametrize(("mine", "answered", "wanted"), [
    ("t", (0, "t"), []), ("t", (0, ""), ["booking-edge account t"]), ("t", (1, ""), ["booking-edge account t"]),
    ("", (0, "t"), ["booking-edge account ''"]),
])  # fmt: skip
def test_challenges_are_answered_for_the_issuers_account(
    stand: Stand, mine: str, answered: tuple[int, str], wanted: list[str]
) -> None:
    stand.found["answers"]["account"] = answered
    assert stand.words(operations.answers, lambda: mine, question="account") == wanted


def test_the_program_for_a_host_runs_as_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "a ' \" \\ b"
    entry = {
        "path": str(path), "state": "file", "content": "x'\"\\\n", "mode": "0640", "validate": "", "pending": "",
        "owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-"], input=program("place_files", [entry]), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text() == "x'\"\\\n"


def test_what_a_host_refuses_is_said_in_a_line(tmp_path: Path) -> None:
    entry = {"path": str(tmp_path / "a"), "state": "file", "content": "", "mode": "0640", "owner": "nobody-here",
             "group": "root", "validate": "", "pending": ""}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-"], input=program("place_files", [entry]), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "nobody-here" in done.stderr
    assert "Traceback" not in done.stderr
