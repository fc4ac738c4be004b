"""The helper runs as root: whatever the deploy account says is checked before anything is done."""

from __future__ import annotations

import json

import pytest

from .machine import NEW, OLD, Host, Release

BAD_IDS = [
    "", ".", "..", "../../etc", "current", "/srv/booking/releases", f"{OLD}/..", f"{OLD}\n", f" {OLD}",
    f"{OLD};id", "\u0660" + OLD[1:],
    "20260101T000000Z-00000g1", "20260101T000000Z-000000", "20260101T000000Z-00000011", "$(id)", "-x", "*",
]  # fmt: skip


@pytest.mark.parametrize("act", ["stage", "migrate", "start", "remove", "swap", "stop"])
def test_what_is_not_an_id_is_refused_before_anything_happens(host: Host, act: str) -> None:
    for bad in BAD_IDS:
        code, answer = host.act(act, bad)
        assert code == 2, bad
        assert answer["error"]["what"]
    assert host.log() == []


@pytest.mark.parametrize("act", ["swap", "stop", "cool"])
def test_what_is_not_an_activation_is_refused(host: Host, act: str) -> None:
    for bad in (
        OLD,
        f"{OLD}.",
        f"{OLD}.0",
        f"{OLD}.x",
        f"{OLD}.1.2",
        f"{OLD}.1/../x",
        f"{OLD}.-1",
        f"{OLD}.1\n",
    ):
        code = host.call(act, bad)[0] if act == "cool" else host.act(act, bad)[0]
        assert code == 2, bad
    assert host.log() == []


@pytest.mark.parametrize("seconds", ["", "-1", "x", "1.5", "86401", "\u0661", "1e3"])
def test_what_is_no_number_of_seconds_is_refused(host: Host, seconds: str) -> None:
    assert host.act("retire", "--warm", f"{OLD}.1", "--seconds", seconds)[0] == 2
    assert host.log() == []


@pytest.mark.parametrize(
    "argv", [[], ["rm"], ["status", "extra"], ["start"], ["stage", "--token", "x", OLD], ["--version"]]
)
def test_an_unknown_command_line_is_refused_as_json(host: Host, argv: list[str]) -> None:
    code, answer = host.call(*argv)
    assert code == 2
    assert "error" in answer


def test_an_unknown_part_is_refused(host: Host, new: Release) -> None:
    code, _ = host.act("stage", "--part", "../venv", NEW, stream=new.stream())
    assert code == 2


@pytest.mark.parametrize(
    "act", ["stage", "migrate", "start", "swap", "stop", "retire", "clear", "record", "remove", "beat", "renew"]
)
def test_whatever_changes_something_needs_the_lock(host: Host, act: str) -> None:
    arguments = [OLD] if act in ("stage", "migrate", "start", "remove") else []
    arguments = [f"{OLD}.1"] if act in ("swap", "stop") else arguments
    code, answer = host.call(act, "--token", "1", *arguments)
    assert code == 13
    assert "not held" in answer["error"]["what"]


@pytest.mark.parametrize("owner", ["", "x", "[]", "7", "null"])
def test_an_owner_that_is_no_object_is_refused(host: Host, owner: str) -> None:
    assert host.call("lock", owner)[0] == 2


def test_the_ledger_keeps_entries_and_passes_over_a_line_cut_short(host: Host) -> None:
    entry = {"id": "1", "release": OLD}
    assert host.act("record", stream=json.dumps(entry).encode()) == (0, {"recorded": "1"})
    with host.layout.ledger.open("a") as ledger:
        ledger.write('{"id": "2", "rel')
    assert host.call("status")[1]["ledger"] == [entry]


@pytest.mark.parametrize("stream", [b"", b"[]", b"{}", b"{"])
def test_an_entry_that_is_none_is_refused(host: Host, stream: bytes) -> None:
    assert host.act("record", stream=stream)[0] in (1, 2)
    assert not host.layout.ledger.exists()


def test_a_host_that_was_never_converged_says_so(host: Host, old: Release) -> None:
    old.stage(host)
    (host.root / "etc/booking/helper.json").unlink()
    code, answer = host.act("start", OLD)
    assert code == 1
    assert "never converged" in answer["error"]["what"]


def test_a_host_that_was_converged_by_an_older_version_says_so(host: Host, old: Release) -> None:
    old.stage(host)
    (host.root / "etc/booking/helper.json").write_text('{"probe_host": "booking.example"}')
    code, answer = host.act("start", OLD)
    assert code == 1
    assert "lacks web_port" in answer["error"]["what"]
    assert "converge" in answer["error"]["what"]
