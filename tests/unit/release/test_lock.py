"""Whose lock it is, and whether its owner still lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deploy.release import lock


def test_a_living_process_is_not_dead() -> None:
    assert not lock.is_dead(lock.owner("fab deploy"))


def test_a_process_that_is_gone_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert lock.is_dead(lock.owner("fab deploy") | {"pid": child.pid, "started": "12345"})


def test_a_process_with_a_reused_number_is_not_the_owner() -> None:
    assert lock.is_dead(lock.owner("fab deploy") | {"started": "1"})


def test_a_process_from_before_a_reboot_is_dead() -> None:
    assert lock.is_dead(lock.owner("fab deploy") | {"boot": "another"})


def test_of_another_machines_processes_nothing_is_assumed() -> None:
    assert not lock.is_dead(lock.owner("fab deploy") | {"machine": "elsewhere/0", "pid": 1, "started": "1"})


def test_the_owner_names_its_ci_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_RUN_ID", "BUILD_URL"):
        monkeypatch.delenv(name, raising=False)
    assert lock.owner("x")["run"] == ""
    monkeypatch.setenv("BUILD_URL", "https://ci.example/7/")
    assert lock.owner("x")["run"] == "https://ci.example/7/"
    monkeypatch.setenv("GITHUB_RUN_ID", "8")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "o/r")
    assert lock.owner("x")["run"] == "https://github.example/o/r/actions/runs/8"


def test_the_description_says_who_where_and_since_when() -> None:
    owner = lock.owner("fab deploy")
    text = lock.describe({"token": 1, "owner": owner})
    assert str(os.getpid()) in text
    assert owner["since"] in text
    assert "last heard of 7 s ago" in lock.describe({"token": 1, "owner": owner, "age_seconds": 7.2})


def test_what_mends_a_held_lock_is_to_wait_or_to_free_it_by_its_token() -> None:
    text = lock.mend("192.0.2.1", {"token": 7, "owner": {}, "lease_seconds": 60.0})
    assert "--wait" in text
    assert "60 s after" in text
    assert text.endswith("sudo /usr/local/sbin/booking-release unlock --token 7")
