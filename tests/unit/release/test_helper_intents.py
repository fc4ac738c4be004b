"""A helper killed in the middle of an act: what it was about to do is on disk, and the next one settles it."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from .machine import NEW, OLD, OWNER, Host, Release


def test_what_an_act_is_about_to_do_can_be_seen_while_it_runs(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    activations = serving.modules["activations"]
    seen = []
    monkeypatch.setattr(activations, "wait_ready", lambda *_: seen.append(serving.status()["intent"]))
    serving.act("start", NEW)
    at = seen[0].pop("at")
    assert seen == [{"act": "start", "argument": f"{NEW}.2", "token": 1}]
    assert at.endswith("Z")
    assert serving.status()["intent"] is None


@pytest.mark.parametrize("act", [("swap", f"{OLD}.1"), ("start", NEW), ("retire",), ("remove", NEW)])
def test_the_intent_is_on_disk_before_anything_is_changed(
    serving: Host, act: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(serving.modules["intent"], "write_durably", full)
    before, log = serving.status(), len(serving.log())
    assert serving.act(*act)[0] == 1
    changing = [line for line in serving.log()[log:] if line.startswith(("start", "stop"))]
    assert [line for line in changing if NEW not in line and "booking-cool" not in line] == []
    after = serving.status()
    assert [after[key] for key in after if key not in ("lock", "free_bytes")] == [
        before[key] for key in before if key not in ("lock", "free_bytes")
    ]


def test_a_full_disk_does_not_keep_a_host_from_going_back(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.act("start", NEW)
    serving.act("swap", f"{NEW}.2")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(serving.modules["intent"], "write_durably", full)
    assert serving.act("swap", f"{OLD}.1")[0] == 0
    assert serving.act("retire")[0] == 0
    assert serving.status()["running"] == [f"{OLD}.1"]


@pytest.mark.parametrize("broken", [True, False])
def test_an_act_that_ends_leaves_no_intent_however_it_ends(serving: Host, broken: bool) -> None:
    if broken:
        (serving.root / "broken").touch()
    assert (serving.act("start", NEW)[0] != 0) is broken
    assert serving.status()["intent"] is None


def test_a_start_that_was_killed_is_stopped_by_the_next_owner(serving: Host) -> None:
    serving.killed("booking_release.activations", "wait_ready", "start", NEW)
    status = serving.status()
    assert status["running"] == [f"{OLD}.1", f"{NEW}.2"], "it was left running"
    assert status["intent"]["act"] == "start"
    assert serving.takeover()["argument"] == f"{NEW}.2"
    status = serving.status()
    assert (status["running"], status["intent"]) == ([f"{OLD}.1"], None)


def test_a_start_that_was_killed_before_it_began_is_no_obstacle(serving: Host) -> None:
    serving.killed("booking_release.activations", "begin", "start", NEW)
    serving.takeover()
    assert serving.act("start", NEW)[0] == 0
    assert serving.status()["running"] == [f"{OLD}.1", f"{NEW}.3"], "a number is never given twice"


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_switch_that_was_killed_ends_with_one_release_wherever_it_was(serving: Host, moved: int) -> None:
    serving.act("start", NEW)
    function = "relink" if moved < 2 else "wait_served"
    serving.killed("booking_release.switch", function, "swap", f"{NEW}.2", after=moved % 2)
    socket = serving.layout.current_socket.readlink().name.removesuffix(".sock")
    assert (socket == f"{NEW}.2") is (moved > 0)
    assert serving.takeover()["act"] == "swap"
    status = serving.status()
    assert status["activation"] == socket, "what served goes on to serve"
    assert status["current"] == socket.rpartition(".")[0]
    assert status["intent"] is None


def test_without_settling_a_killed_switch_leaves_two_truths(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    serving.act("start", NEW)
    serving.killed("booking_release.switch", "relink", "swap", f"{NEW}.2", after=1)
    monkeypatch.setattr(importlib.import_module("booking_release.settling"), "make_whole", lambda _: None)
    serving.takeover()
    status = serving.status()
    assert (status["activation"], status["current"]) == (f"{NEW}.2", OLD)


def test_a_switch_to_what_has_died_since_goes_back_to_what_runs(serving: Host) -> None:
    serving.act("start", NEW)
    serving.killed("booking_release.switch", "relink", "swap", f"{NEW}.2", after=1)
    serving.modules["systemd"].systemctl("stop", f"booking-web@{NEW}.2.service")
    serving.takeover()
    status = serving.status()
    assert (status["activation"], status["current"]) == (f"{OLD}.1", OLD)


def test_staging_that_was_killed_leaves_nothing(serving: Host, old: Release, new: Release) -> None:
    serving.act("remove", NEW)
    words = [word for part in ("code", "static") for word in ("--part", part)]
    serving.killed("booking_release.store", "give_name", "stage", *words, NEW, stream=new.stream("code", "static"))
    assert list(serving.layout.incoming.iterdir()), "it was left half done"
    serving.takeover()
    assert list(serving.layout.incoming.iterdir()) == []
    assert serving.status()["releases"] == [OLD]
    assert new.stage(serving) == (0, {"staged": True})


def test_staging_sweeps_what_another_left_whose_intent_is_gone(serving: Host, new: Release) -> None:
    """The run went on after its helper was killed, and what it did next took the place of the intent."""
    serving.act("remove", NEW)
    words = [word for part in ("code", "static") for word in ("--part", part)]
    serving.killed("booking_release.store", "give_name", "stage", *words, NEW, stream=new.stream("code", "static"))
    serving.act("retire")
    assert serving.status()["intent"] is None
    assert list(serving.layout.incoming.iterdir()), "nothing else tells of it"
    assert new.stage(serving) == (0, {"staged": True})
    assert list(serving.layout.incoming.iterdir()) == []


def test_a_removal_that_was_killed_leaves_nothing_half_removed(serving: Host) -> None:
    """The name goes first, the contents after: what still has a name is whole."""
    serving.killed("booking_release.store", "prune_static", "remove", NEW)
    assert serving.status()["releases"] == [OLD]
    serving.takeover()
    assert list(serving.layout.incoming.iterdir()) == []
    assert len(list(serving.layout.venvs.iterdir())) == 1, "the other release uses them"


def test_dependencies_that_are_removed_lose_their_name_before_their_files(serving: Host, new: Release) -> None:
    serving.act("remove", NEW)
    new.manifest["venv"] = "f" * 16
    new.stage(serving)
    serving.killed("shutil", "rmtree", "remove", NEW, after=2)
    assert [path.name for path in serving.layout.venvs.iterdir()] != ["f" * 16]
    serving.takeover()
    assert new.stage(serving) == (0, {"staged": True})


def test_retiring_that_was_killed_is_done_by_whoever_comes_next(serving: Host) -> None:
    serving.act("start", NEW)
    serving.act("swap", f"{NEW}.2")
    serving.killed("booking_release.switch", "end", "retire")
    assert serving.takeover()["act"] == "retire"
    assert serving.act("retire")[1]["stopped"] == [f"{OLD}.1"]


def test_a_boot_settles_what_a_crash_left(serving: Host) -> None:
    serving.killed("booking_release.activations", "wait_ready", "start", NEW)
    for path in (serving.root / "run/booking-release").iterdir():
        path.unlink()  # /run does not outlive a reboot, so the lock's owner was not heard of since
    assert serving.call("boot")[0] == 0
    status = serving.status()
    assert (status["running"], status["intent"]) == ([f"{OLD}.1"], None)


def test_a_boot_leaves_alone_what_the_locks_owner_has_under_way(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The boot is tried again until the database is there; a deploy may come before that."""
    activations = serving.modules["activations"]
    wait_ready = activations.wait_ready

    def boots(*args: Any) -> None:
        monkeypatch.setattr(activations, "wait_ready", wait_ready)
        assert serving.call("boot")[0] == 0
        assert serving.status()["intent"]["argument"] == f"{NEW}.2"
        wait_ready(*args)

    monkeypatch.setattr(activations, "wait_ready", boots)
    assert serving.act("start", NEW)[0] == 0
    assert serving.status()["running"] == [f"{OLD}.1", f"{NEW}.2"]


def test_renewing_settles_nothing_because_nothing_was_left(serving: Host) -> None:
    serving.killed("booking_release.activations", "wait_ready", "start", NEW)
    serving.call("renew", "--token", str(serving.token))
    assert serving.status()["intent"]["act"] == "start"


def test_an_act_that_was_overtaken_does_not_take_the_next_owners_intent_away(
    serving: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    activations = serving.modules["activations"]
    theirs = {"act": "stage", "argument": NEW, "token": 9, "at": ""}

    def overtaken(*_: Any) -> None:
        serving.layout.intent.write_text(json.dumps(theirs))

    monkeypatch.setattr(activations, "wait_ready", overtaken)
    serving.act("start", NEW)
    assert serving.status()["intent"] == theirs


def test_a_lock_that_cannot_be_settled_is_not_kept(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.killed("booking_release.switch", "relink", "swap", f"{OLD}.1")

    def broken(_: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(importlib.import_module("booking_release.settling"), "make_whole", broken)
    assert serving.call("lock", "--replace", str(serving.token), OWNER)[0] == 1
    status = serving.status()
    assert status["lock"] is None, "nobody knows its token"
    assert status["intent"]["act"] == "swap", "and the next one tries again"
