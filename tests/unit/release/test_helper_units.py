"""Activations on a host: started beside the old, switched by a rename, brought back at boot."""

from __future__ import annotations

import json

import pytest

from .conftest import NEW, OLD, Host, Release


@pytest.fixture
def serving(host: Host, nginx: None, old: Release, new: Release) -> Host:
    """A host that serves the old release and holds the new one."""
    old.stage(host)
    new.stage(host)
    host.act("start", OLD)
    host.act("swap", f"{OLD}.1")
    return host


def test_a_release_starts_beside_the_one_that_serves(serving: Host) -> None:
    assert serving.act("start", NEW) == (0, {"activation": f"{NEW}.2"})
    status = serving.call("status")[1]
    assert status["running"] == [f"{OLD}.1", f"{NEW}.2"]
    assert (status["current"], status["activation"]) == (OLD, f"{OLD}.1")


def test_the_same_release_starts_beside_itself(serving: Host) -> None:
    assert serving.act("start", OLD) == (0, {"activation": f"{OLD}.2"})


def test_a_swap_moves_the_socket_and_the_hosts_truth(serving: Host) -> None:
    serving.act("start", NEW)
    assert serving.act("swap", f"{NEW}.2") == (0, {"previous": f"{OLD}.1"})
    status = serving.call("status")[1]
    assert (status["current"], status["activation"]) == (NEW, f"{NEW}.2")


def test_a_release_that_does_not_start_is_told_with_its_journal_and_leaves_no_unit(serving: Host) -> None:
    (serving.root / "broken").touch()
    code, answer = serving.act("start", NEW)
    assert code == 1
    assert answer["error"]["unit"] == f"booking-web@{NEW}.2.service"
    assert answer["error"]["journal"] == ["Boom: the last line"]
    assert serving.call("status")[1]["running"] == [f"{OLD}.1"]


def test_a_release_that_stays_red_is_stopped_and_its_answer_told(serving: Host) -> None:
    settings = json.loads((serving.root / "etc/booking/helper.json").read_text()) | {"ready_seconds": 0.5}
    (serving.root / "etc/booking/helper.json").write_text(json.dumps(settings))
    (serving.root / "red").touch()
    code, answer = serving.act("start", NEW)
    assert code == 1
    assert f"said 503 for release {NEW}" in answer["error"]["what"]
    assert serving.call("status")[1]["running"] == [f"{OLD}.1"]


def test_the_probe_asks_under_the_sites_own_name(host: Host, old: Release) -> None:
    """dokku 2159, kamal 992: a check without the right Host is refused by ALLOWED_HOSTS."""
    old.stage(host)
    host.act("start", OLD)
    units = host.modules["units"]
    status, release, body = units.ask(host.layout.socket(f"{OLD}.1"), "booking.example")
    assert (status, release, body) == (200, OLD, "booking.example")


def test_a_swap_to_what_does_not_run_is_refused_and_moves_nothing(serving: Host) -> None:
    assert serving.act("swap", f"{NEW}.9")[0] == 1
    assert serving.call("status")[1]["activation"] == f"{OLD}.1"


def test_a_swap_that_the_web_server_does_not_follow_fails(host: Host, old: Release) -> None:
    old.stage(host)
    host.act("start", OLD)
    code, answer = host.act("swap", f"{OLD}.1")  # no nginx here
    assert code == 1
    assert "does not serve" in answer["error"]["what"]


def test_the_serving_activation_cannot_be_stopped(serving: Host) -> None:
    code, answer = serving.act("stop", f"{OLD}.1")
    assert code == 2
    assert "switch to another first" in answer["error"]["what"]


def test_everything_else_is_stopped_at_the_end(serving: Host) -> None:
    serving.act("start", NEW)
    serving.act("swap", f"{NEW}.2")
    assert serving.act("stop-others") == (0, {"stopped": [f"{OLD}.1"]})
    assert serving.call("status")[1]["running"] == [f"{NEW}.2"]


def test_a_failed_first_release_leaves_a_host_without_one(serving: Host) -> None:
    assert serving.act("clear")[0] == 0
    status = serving.call("status")[1]
    assert (status["current"], status["activation"], status["running"]) == (None, None, [])


def test_a_reboot_brings_the_current_release_back(serving: Host) -> None:
    serving.layout.current_socket.unlink()  # /run does not outlive a reboot
    serving.modules["units"].end(serving.layout, f"{OLD}.1")
    assert serving.call("boot") == (0, {"activation": f"{OLD}.2"})
    assert serving.call("status")[1]["activation"] == f"{OLD}.2"


def test_a_boot_does_not_wait_for_a_process_that_failed(serving: Host) -> None:
    units = serving.modules["units"]
    serving.layout.current_socket.unlink()  # /run does not outlive a reboot
    units.end(serving.layout, f"{OLD}.1")
    (serving.root / "units/booking-web@20260101T000000Z-0000001.1.service.failed").touch()
    assert serving.call("status")[1]["running"] == []
    assert serving.call("boot") == (0, {"activation": f"{OLD}.2"})


def test_a_boot_that_was_overtaken_by_a_deploy_changes_nothing(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    units = serving.modules["units"]
    serving.act("start", NEW)
    monkeypatch.setattr(units, "wait_ready", lambda *_: units.point(serving.layout, f"{NEW}.2"))
    assert serving.call("boot") == (0, {"activation": f"{NEW}.2"})
    assert serving.call("status")[1]["current"] == NEW


def test_bringing_back_twice_uses_what_runs(serving: Host) -> None:
    assert serving.call("boot") == (0, {"activation": f"{OLD}.1"})
    assert serving.call("status")[1]["running"] == [f"{OLD}.1"]


def test_a_boot_before_the_first_release_does_nothing(host: Host) -> None:
    assert host.call("boot") == (0, {"activation": None})
    assert host.log() == []


@pytest.mark.parametrize("act", [("swap", f"{NEW}.2"), ("start", NEW), ("stop", f"{NEW}.2"), ("stop-others",)])
def test_an_act_under_way_stops_being_allowed_when_the_lock_is_taken_anew(
    serving: Host, act: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is gone, it is not: what it would still do comes after the new owner has looked."""
    serving.act("start", NEW)
    lock = serving.modules["lock"]
    require, asked = lock.require, []

    def taken_in_between(layout: object, token: int) -> None:
        require(layout, token)
        if not asked:
            asked.append(serving.call("lock", "--replace", str(token), json.dumps({"user": "later"}))[1]["token"])

    monkeypatch.setattr(lock, "require", taken_in_between)
    before = serving.call("status")[1]
    code, answer = serving.act(*act)
    assert asked
    assert code == 13
    assert "belongs to" in answer["error"]["what"]
    after = serving.call("status")[1]
    assert [after[key] for key in ("current", "activation", "running")] == [
        before[key] for key in ("current", "activation", "running")
    ]
