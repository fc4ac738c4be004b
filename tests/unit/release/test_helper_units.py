"""Activations on a host: started beside the old, switched by a rename, brought back at boot."""

from __future__ import annotations

import json

import pytest

from .machine import NEW, OLD, Host, Release


def test_a_release_starts_beside_the_one_that_serves(serving: Host) -> None:
    code, answer = serving.act("start", NEW)
    assert (code, answer["activation"]) == (0, f"{NEW}.2")
    assert 0 < answer["seconds"] < 5
    status = serving.status()
    assert status["running"] == [f"{OLD}.1", f"{NEW}.2"]
    assert (status["current"], status["activation"]) == (OLD, f"{OLD}.1")


def test_the_same_release_starts_beside_itself(serving: Host) -> None:
    assert serving.act("start", OLD)[1]["activation"] == f"{OLD}.2"


def test_activations_are_told_in_the_order_of_their_starts(serving: Host) -> None:
    (serving.root / "var/lib/booking/activation.number").write_text("9\n")
    serving.act("start", NEW)
    assert serving.status()["running"] == [f"{OLD}.1", f"{NEW}.10"], "10 comes after 1, and after 9"


def test_a_swap_moves_the_socket_and_the_hosts_truth(serving: Host) -> None:
    serving.act("start", NEW)
    assert serving.act("swap", f"{NEW}.2") == (0, {"previous": f"{OLD}.1"})
    status = serving.status()
    assert (status["current"], status["activation"]) == (NEW, f"{NEW}.2")


def test_a_release_that_does_not_start_is_told_with_its_journal_and_leaves_no_unit(serving: Host) -> None:
    (serving.root / "broken").touch()
    code, answer = serving.act("start", NEW)
    assert code == 1
    assert answer["error"]["unit"] == f"booking-web@{NEW}.2.service"
    assert answer["error"]["journal"] == ["Boom: the last line"]
    assert serving.status()["running"] == [f"{OLD}.1"]


def test_a_release_that_stays_red_is_stopped_and_its_answer_told(serving: Host) -> None:
    serving.configure(ready_seconds=0.5)
    (serving.root / "red").touch()
    code, answer = serving.act("start", NEW)
    assert code == 1
    assert f"said 503 for release {NEW}" in answer["error"]["what"]
    assert serving.status()["running"] == [f"{OLD}.1"]


def test_the_probe_asks_under_the_sites_own_name(host: Host, old: Release) -> None:
    """dokku 2159, kamal 992: a check without the right Host is refused by ALLOWED_HOSTS."""
    old.stage(host)
    host.act("start", OLD)
    status, release, body = host.modules["probe"].ask(host.layout.socket(f"{OLD}.1"), "booking.example")
    assert (status, release, body) == (200, OLD, "booking.example")


def test_a_swap_to_what_left_its_socket_behind_moves_nothing(serving: Host) -> None:
    serving.act("start", NEW)
    serving.modules["systemd"].systemctl("stop", f"booking-web@{NEW}.2.service")  # killed: its socket is left
    assert serving.layout.socket(f"{NEW}.2").is_socket()
    assert serving.act("swap", f"{NEW}.2")[0] == 1
    assert serving.status()["activation"] == f"{OLD}.1"


def test_a_swap_to_what_does_not_run_is_refused_and_moves_nothing(serving: Host) -> None:
    assert serving.act("swap", f"{NEW}.9")[0] == 1
    assert serving.status()["activation"] == f"{OLD}.1"


def test_a_swap_to_what_is_red_is_refused_and_moves_nothing(serving: Host) -> None:
    serving.act("start", NEW)
    (serving.root / f"red-{NEW}.2").touch()
    code, answer = serving.act("swap", f"{NEW}.2")
    assert code == 1
    assert "nothing was switched: /readyz said 503" in answer["error"]["what"]
    assert serving.status()["activation"] == f"{OLD}.1"


def test_a_swap_back_is_made_even_if_everything_is_red(serving: Host) -> None:
    """The database is away: the deploy fails for it, and its new release must not be what is left."""
    serving.act("start", NEW)
    serving.act("swap", f"{NEW}.2")
    (serving.root / "red").touch()
    assert serving.act("swap", f"{OLD}.1") == (0, {"previous": f"{NEW}.2"})
    assert serving.status()["activation"] == f"{OLD}.1"


def test_a_release_that_turns_red_when_it_serves_fails_where_the_one_before_was_not(
    serving: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    switch = serving.modules["switch"]
    point = switch.point

    def turns_red(*args: object) -> None:
        point(*args)
        (serving.root / f"red-{NEW}.2").touch()

    monkeypatch.setattr(switch, "point", turns_red)
    serving.act("start", NEW)
    code, answer = serving.act("swap", f"{NEW}.2")
    assert code == 1
    assert f"does not serve {NEW}.2: /readyz said 503" in answer["error"]["what"]


def test_even_where_everything_is_red_the_web_server_has_to_lead_to_the_right_release(
    serving: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.act("start", NEW)
    (serving.root / "red").touch()
    elsewhere = serving.layout.socket(f"{OLD}.1")
    monkeypatch.setattr(serving.modules["probe"], "web_server", lambda layout: elsewhere)
    code, answer = serving.act("swap", f"{NEW}.2")
    assert (code, "does not serve" in answer["error"]["what"]) == (1, True)


def test_a_first_release_that_is_red_is_not_switched_to(host: Host, nginx: None, old: Release) -> None:
    old.stage(host)
    host.act("start", OLD)
    (host.root / "red").touch()
    assert "nothing was switched" in host.act("swap", f"{OLD}.1")[1]["error"]["what"]
    assert host.status()["activation"] is None


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
    assert serving.act("retire") == (0, {"stopped": [f"{OLD}.1"], "warm": None})
    assert serving.status()["running"] == [f"{NEW}.2"]


@pytest.mark.parametrize("words", [("retire", "--no-wait"), ("clear", "--no-wait")])
def test_what_ends_is_not_waited_for_where_that_is_asked(serving: Host, words: tuple[str, ...]) -> None:
    """Whoever interrupts a deploy does not wait for requests that take their time."""
    serving.act("start", NEW)
    serving.act("swap", f"{NEW}.2")
    before = len(serving.log())
    assert f"{OLD}.1" in serving.act(*words)[1]["stopped"]
    said = [line for line in serving.log()[before:] if line.startswith("stop") and "booking-web@" in line]
    assert said, "they end"
    assert [line for line in said if not line.startswith("stop --no-block")] == []
    assert not serving.layout.mark(f"{OLD}.1").exists(), "what is ending is not warm"
    assert f"{OLD}.1" not in serving.status()["running"]


def test_what_ends_is_waited_for_otherwise(serving: Host) -> None:
    """The control of the test above."""
    serving.act("start", NEW)
    serving.act("swap", f"{NEW}.2")
    serving.act("retire")
    assert f"stop booking-web@{OLD}.1.service" in serving.log()


def test_a_failed_first_release_leaves_a_host_without_one(serving: Host) -> None:
    assert serving.act("clear")[0] == 0
    status = serving.status()
    assert (status["current"], status["activation"], status["running"]) == (None, None, [])


def test_a_reboot_brings_the_current_release_back(serving: Host) -> None:
    serving.layout.current_socket.unlink()  # /run does not outlive a reboot
    serving.modules["activations"].end(serving.layout, [f"{OLD}.1"])
    assert serving.call("boot") == (0, {"activation": f"{OLD}.2"})
    assert serving.status()["activation"] == f"{OLD}.2"


def test_a_boot_does_not_wait_for_a_process_that_failed(serving: Host) -> None:
    units = serving.modules["activations"]
    serving.layout.current_socket.unlink()  # /run does not outlive a reboot
    units.end(serving.layout, [f"{OLD}.1"])
    (serving.root / "units/booking-web@20260101T000000Z-0000001.1.service.failed").touch()
    assert serving.status()["running"] == []
    assert serving.call("boot") == (0, {"activation": f"{OLD}.2"})


def test_a_boot_that_was_overtaken_by_a_deploy_changes_nothing(serving: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = serving.modules["switch"]
    serving.act("start", NEW)
    monkeypatch.setattr(switch, "launch", lambda *_: switch.point(serving.layout, f"{NEW}.2"))
    assert serving.call("boot") == (0, {"activation": f"{NEW}.2"})
    assert serving.status()["current"] == NEW


def test_bringing_back_twice_uses_what_runs(serving: Host) -> None:
    assert serving.call("boot") == (0, {"activation": f"{OLD}.1"})
    assert serving.status()["running"] == [f"{OLD}.1"]


def test_a_boot_before_the_first_release_does_nothing(host: Host) -> None:
    assert host.call("boot") == (0, {"activation": None})
    assert host.log() == []


@pytest.mark.parametrize("act", [("swap", f"{NEW}.2"), ("start", NEW), ("stop", f"{NEW}.2"), ("retire",)])
def test_an_act_under_way_stops_being_allowed_when_the_lock_is_taken_anew(
    serving: Host, act: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is gone, it is not: what it would still do comes after the new owner has looked."""
    serving.act("start", NEW)
    lock = serving.modules["lock"]
    enter = lock.enter

    def taken_in_between(layout: object, token: int) -> None:
        enter(layout, token)
        serving.call("lock", "--replace", str(token), json.dumps({"user": "later"}))

    monkeypatch.setattr(lock, "enter", taken_in_between)
    before = serving.status()
    code, answer = serving.act(*act)
    assert code == 13
    assert "belongs to" in answer["error"]["what"]
    after = serving.status()
    assert [after[key] for key in ("current", "activation", "running")] == [
        before[key] for key in ("current", "activation", "running")
    ]
