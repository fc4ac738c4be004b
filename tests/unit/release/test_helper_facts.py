"""What a host says of itself before a deploy touches it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from .machine import Host


def facts(host: Host) -> dict[str, Any]:
    code, answer = host.call("preflight")
    assert code == 0, answer
    return answer


def test_a_sound_host_has_nothing_to_complain_of(host: Host) -> None:
    before = time.time()
    answer = facts(host)
    assert before <= answer.pop("clock") <= time.time()
    assert answer.pop("free_bytes") > 0
    assert answer == {
        "available_bytes": 2048 * 1024,
        "python": ["3.13"],
        "credentials_missing": [],
        "resolves": {"name": "booking.example", "addresses": ["192.0.2.1"], "error": ""},
        "settings_problem": "",
    }


def test_facts_need_no_lock_and_change_nothing(host: Host) -> None:
    before = sorted(host.root.rglob("*"))
    facts(host)
    assert sorted(host.root.rglob("*")) == before


def test_every_python_of_the_host_is_told_and_nothing_else(host: Host) -> None:
    for name in ("python3", "python3.9", "python3.14", "python3.13-config", "python3.14t"):
        (host.root / "usr/bin" / name).touch()
    assert facts(host)["python"] == ["3.13", "3.14", "3.9"]


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_secret_that_is_missing_or_empty_is_named(host: Host, content: str | None) -> None:
    host.configure(credentials=["database_password", "secret_key"])
    (host.layout.credentials / "database_password").unlink()
    if content is not None:
        (host.layout.credentials / "database_password").write_text(content)
    assert facts(host)["credentials_missing"] == ["database_password"]


def test_a_name_that_is_not_known_is_told(host: Host) -> None:
    (host.root / "bin/getent").write_text("#!/bin/sh\nexit 2\n")
    found = facts(host)["resolves"]
    assert (found["addresses"], found["error"]) == ([], "the name is not known")


def test_a_name_server_that_does_not_answer_is_not_waited_for(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (host.root / "bin/getent").write_text("#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()
    assert facts(host)["resolves"]["error"] == "no answer within 2 s"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("path", "told"),
    [("etc/booking/helper.json", "helper.json is missing"), ("etc/booking/environment", "environment is missing")],
)
def test_a_host_that_was_never_converged_is_told_as_a_fact(host: Host, path: str, told: str) -> None:
    (host.root / path).unlink()
    assert told in facts(host)["settings_problem"]


def test_a_host_with_nothing_to_run_is_told(host: Host) -> None:
    host.configure(web=False)
    assert "neither a web server nor a process" in facts(host)["settings_problem"]
    host.configure(processes=["worker"])
    assert facts(host)["settings_problem"] == "", "the control"
