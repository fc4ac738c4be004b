"""The lock of a host: one owner, a token that only rises, a lease that runs out without signs of life."""

from __future__ import annotations

import json

import pytest

from .machine import Host

ANN, BEN = json.dumps({"user": "ann"}), json.dumps({"user": "ben"})
LEASE = 60


class Clock:
    """The host's clock, which stands still unless it is moved."""

    def __init__(self) -> None:
        self.instant = 1000.0

    def __call__(self) -> float:
        return self.instant


@pytest.fixture
def clock(host: Host, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(host.modules["lock"], "now", clock)
    return clock


def reboot(host: Host) -> None:
    """What a reboot does to /run."""
    for path in (host.root / "run/booking-release").iterdir():
        path.unlink()


def test_the_lock_is_taken_once_and_names_its_owner(host: Host, clock: Clock) -> None:
    """bikeindex 4313: who holds it, since when and for how long is told to whoever comes second."""
    assert host.call("lock", ANN)[1] == {"token": 1, "settled": None}
    clock.instant += 12
    held = {"token": 1, "owner": {"user": "ann"}, "age_seconds": 12.0, "lease_seconds": 60.0, "expired": False}
    assert host.call("lock", BEN) == (0, {"held": held})
    assert host.status()["lock"] == held


def test_a_free_lock_is_no_lock(host: Host) -> None:
    assert host.status()["lock"] is None
    host.call("lock", ANN)
    assert host.call("unlock", "--token", "1") == (0, {"released": True})
    assert host.status()["lock"] is None


def test_an_owner_who_lost_the_lock_can_do_nothing_any_more(host: Host) -> None:
    host.call("lock", ANN)
    assert host.call("lock", "--replace", "1", BEN)[1]["token"] == 2
    code, answer = host.call("clear", "--token", "1")
    assert code == 13
    assert "ben" in answer["error"]["what"]
    assert host.call("unlock", "--token", "1")[1] == {"released": False}
    assert host.call("clear", "--token", "2")[0] == 0


def test_only_the_lock_that_was_seen_is_replaced(host: Host) -> None:
    for owner, token in ((ANN, 1), (BEN, 2)):
        host.call("lock", owner)
        host.call("unlock", "--token", str(token))
    host.call("lock", json.dumps({"user": "cem"}))
    assert host.call("lock", "--replace", "1", ANN)[1]["held"]["owner"] == {"user": "cem"}


def test_a_lock_whose_lease_ran_out_is_replaced_without_being_asked_for(host: Host, clock: Clock) -> None:
    """bikeindex 4313, dokku 3167, kamal 1844: a cancelled run's lock frees itself."""
    host.call("lock", ANN)
    clock.instant += LEASE
    assert "held" in host.call("lock", BEN)[1], "the control: one moment earlier it is still held"
    clock.instant += 0.1
    assert host.status()["lock"]["expired"] is True
    assert host.call("lock", BEN)[1]["token"] == 2


def test_an_owner_who_slept_past_the_lease_cannot_act_even_if_nobody_else_came(host: Host, clock: Clock) -> None:
    host.call("lock", ANN)
    clock.instant += LEASE - 1
    assert host.call("clear", "--token", "1")[0] == 0, "the control: an owner in time can"
    clock.instant += LEASE + 1
    for act in (["clear"], ["beat"], ["renew"], ["record"]):
        code, answer = host.call(*act, "--token", "1", stream=b'{"id": "1"}')
        assert code == 13, act
        assert "the lease of 60 s on this host's lock has run out" in answer["error"]["what"]
        assert "61 s ago" in answer["error"]["what"]


def test_every_act_of_the_owner_is_a_sign_of_life(host: Host, clock: Clock) -> None:
    host.call("lock", ANN)
    for act in (["beat"], ["clear"], ["record"]) * 2:
        clock.instant += LEASE - 1
        assert host.call(*act, "--token", "1", stream=b'{"id": "1"}')[0] == 0
    assert host.call("beat", "--token", "1") == (0, {"beaten": True})
    assert host.status()["lock"]["age_seconds"] == 0


def test_what_others_do_is_no_sign_of_the_owners_life(host: Host, clock: Clock) -> None:
    host.call("lock", ANN)
    clock.instant += LEASE - 1
    assert host.call("beat", "--token", "7")[0] == 13
    host.call("status")
    assert host.status()["lock"]["age_seconds"] == LEASE - 1


def test_an_act_that_began_in_time_is_refused_when_it_comes_to_act_too_late(
    host: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The helper itself may be the one that was stopped and continued."""
    lock = host.modules["lock"]
    enter = lock.enter

    def sleeps(layout: object, token: int) -> None:
        enter(layout, token)
        clock.instant += LEASE + 1

    host.call("lock", ANN)
    host.layout.current.symlink_to("releases/x")
    monkeypatch.setattr(lock, "enter", sleeps)
    assert host.call("clear", "--token", "1")[0] == 13
    assert host.layout.current.is_symlink()


def test_a_renewed_token_shuts_out_what_was_begun_under_the_old_one(host: Host) -> None:
    host.call("lock", ANN)
    assert host.call("renew", "--token", "1") == (0, {"token": 2})
    assert host.call("clear", "--token", "1")[0] == 13
    assert host.call("clear", "--token", "2")[0] == 0
    assert host.status()["lock"]["owner"] == {"user": "ann"}


def test_a_lock_does_not_outlive_a_reboot(host: Host, clock: Clock) -> None:
    host.call("lock", ANN)
    reboot(host)
    clock.instant = 5
    lock = host.status()["lock"]
    assert (lock["expired"], lock["age_seconds"]) == (True, 5), "not heard of since the boot"
    assert host.call("clear", "--token", "1")[0] == 13
    assert host.call("lock", BEN)[1]["token"] == 2


def test_a_sign_of_life_does_not_need_the_disk(host: Host) -> None:
    """A full disk must not take the lock from whoever is about to put the host back."""
    host.call("lock", ANN)
    before = {path: path.stat().st_mtime_ns for path in host.layout.state.iterdir() if path.name != "guard"}
    assert host.call("beat", "--token", "1")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in host.layout.state.iterdir() if path.name != "guard"} == before


def test_the_hosts_clock_counts_the_time_that_it_sleeps(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = host.modules["lock"]
    asked = []
    monkeypatch.setattr(lock.time, "clock_gettime", lambda which: asked.append(which) or 7.0)
    assert lock.now() == 7.0
    assert asked == [lock.time.CLOCK_BOOTTIME]
