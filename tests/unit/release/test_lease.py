"""The lock while a run works: kept alive, and noticed when it is lost."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from deploy.errors import Exit, LostLockError
from deploy.release.lease import Lease
from deploy.release.remote import FencedError, HostError, UnreachableError


class Beaten:
    """A host that counts signs of life. Takes the place of Remote."""

    name = "web1"

    def __init__(self, error: Exception | None = None) -> None:
        self.beats: list[str] = []
        self.enough, self.error = threading.Event(), error

    def idle(self) -> bool:
        """Nothing is under way."""
        return True

    def call(self, command: tuple[str, ...], timeout: float = 0) -> dict[str, Any]:
        """One act."""
        self.beats.append(command[-1])
        if len(self.beats) >= 3:
            self.enough.set()
        if self.error:
            raise self.error
        return {"token": 2}


def beating(host: Beaten, seconds: float = 0.03) -> tuple[Lease, list[bool]]:
    """A lease of that many seconds, begun; and what was called when it was lost."""
    told: list[bool] = []
    begun = Lease(seconds, {"web1": host}, lambda: told.append(True))  # type: ignore[dict-item]  # a stand-in
    begun.tokens["web1"] = 1
    begun.start()
    return begun, told


def test_a_host_is_shown_signs_of_life_three_times_a_lease() -> None:
    host = Beaten()
    began = time.monotonic()
    held, _ = beating(host, seconds=0.3)
    assert host.enough.wait(5)
    held.stop()
    assert time.monotonic() - began > 0.25
    assert host.beats[:3] == ["1", "1", "1"]
    held.check()


def test_a_refused_sign_of_life_ends_the_run_at_once() -> None:
    held, told = beating(Beaten(FencedError("web1", "it belongs to another")))
    assert held.lost.wait(5)
    assert told == [True]
    with pytest.raises(LostLockError) as caught:
        held.check()
    assert caught.value.code == Exit.LOCKED
    assert "web1: it belongs to another" in str(caught.value)


def test_a_host_that_does_not_answer_a_sign_of_life_is_no_lost_lock() -> None:
    host = Beaten(HostError("web1", "gone"))
    held, told = beating(host)
    assert host.enough.wait(5)
    held.stop()
    held.check()
    assert told == []


def test_after_a_renewal_signs_of_life_bear_the_new_token() -> None:
    host = Beaten()
    held, _ = beating(host)
    held.renew(host, 5)  # type: ignore[arg-type]  # a stand-in
    host.beats.clear()
    host.enough.clear()
    assert host.enough.wait(5)
    held.stop()
    assert set(host.beats[1:]) == {"2"}


class Reached:
    """A host whose connection is broken, and whose helper keeps a lock. Takes the place of Remote."""

    name, owner = "web1", {"pid": 7}

    def __init__(self, *, expired: bool = False, token: int = 1, up_next: int = 2) -> None:
        self.lock = {"token": token, "owner": self.owner, "expired": expired}
        self.connected, self.busy, self.next, self.acts = False, False, up_next, list[str]()

    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self.busy

    def reconnect(self, most: float = 0) -> None:
        """A new connection."""
        self.connected = True

    def call(self, command: tuple[str, ...], timeout: float = 0) -> dict[str, Any]:
        """What the helper would do."""
        act = command[3]
        if not self.connected:
            raise UnreachableError("web1", "the connection broke")
        self.acts.append(act)
        if act == "status":
            return {"lock": dict(self.lock)}
        if act == "unlock":
            return {"released": True}
        if act != "lock" and (self.lock["expired"] or int(command[5]) != self.lock["token"]):
            raise FencedError("web1", "its lease has run out")
        if act != "beat":
            self.lock = {"token": self.next, "owner": self.owner, "expired": False}
            self.next += 1
        return {"token": self.lock["token"]}


def holding(host: Reached) -> Lease:
    """A lease whose thread does not run; the test makes it beat."""
    held = Lease(60, {"web1": host}, lambda: None)  # type: ignore[dict-item]  # a stand-in
    held.tokens["web1"], held.owner = 1, host.owner
    return held


def test_a_sign_of_life_finds_a_way_over_a_new_connection() -> None:
    host = Reached()
    held = holding(host)
    held._beat("web1")
    assert host.acts == ["beat"]
    held.check()


def test_control_a_connection_with_something_under_way_is_not_replaced() -> None:
    host = Reached()
    host.busy = True
    holding(host)._beat("web1")
    assert not host.connected


def test_a_lock_that_ran_out_and_that_nobody_claimed_is_taken_again() -> None:
    host = Reached(expired=True)
    held = holding(host)
    held._beat("web1")
    held.check()
    assert (held.tokens, host.lock["expired"]) == ({"web1": 2}, False)


@pytest.mark.parametrize(("token", "up_next", "end"), [(2, 3, "status"), (1, 3, "unlock")])
def test_a_lock_that_ran_out_and_that_another_had_since_is_lost(token: int, up_next: int, end: str) -> None:
    host = Reached(expired=True, token=token, up_next=up_next)
    held = holding(host)
    held._beat("web1")
    with pytest.raises(LostLockError):
        held.check()
    assert host.acts[-1] == end


def test_a_renewal_whose_answer_did_not_arrive_is_known_by_its_owner() -> None:
    host = Reached(token=2)
    held = holding(host)
    held.renew(host, 5)  # type: ignore[arg-type]  # a stand-in
    assert held.tokens == {"web1": 2}


def test_a_host_that_came_back_without_its_lock_is_shown_no_sign_of_life_any_more() -> None:
    host = Reached(token=9)
    held = holding(host)
    with pytest.raises(UnreachableError, match="came back without its lock"):
        held.renew(host, 5)  # type: ignore[arg-type]  # a stand-in
    held._beat("web1")
    held.check()
    assert (held.tokens, "beat" in host.acts) == ({}, False)


def test_no_sign_of_life_is_sent_while_a_host_is_connected_to_anew() -> None:
    host = Reached()
    held = holding(host)
    made = host.reconnect

    def reconnect(most: float = 0) -> None:
        made()
        beat = threading.Thread(target=held._beat, args=("web1",))
        beat.start()
        beat.join(5)

    host.reconnect = reconnect  # type: ignore[method-assign]  # a test's own
    held.renew(host, 5)  # type: ignore[arg-type]  # a stand-in
    assert (host.acts, held.tokens) == (["renew"], {"web1": 2})
