"""The lock in a whole run: waited for, taken in order, kept alive, lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from deploy.errors import Exit, LostLockError
from deploy.release import engine, lease, lock

from .fleet import FakeHost, failed, serves, well
from .machine import NEW, OLD


def stolen(host: str, at: str) -> Callable[[str, str], None]:
    """A fault: another run takes the lock of a host when this one comes to an act."""

    def fault(name: str, act: str) -> None:
        if (name, act) == (host, at):
            FakeHost.known[host].lock = {"token": 99, "owner": {"user": "bob"}, "expired": False}

    return fault


@pytest.mark.parametrize("act", ["stage", "start", "swap", "retire"])
def test_a_run_that_lost_its_lock_stops_and_puts_nothing_back(fleet: dict[str, FakeHost], act: str) -> None:
    engine.deploy("test", OLD)
    before = {name: list(host.acts) for name, host in fleet.items()}
    FakeHost.faults = stolen("web2", act)
    error = failed(engine.deploy, "test", NEW)
    assert isinstance(error, LostLockError)
    assert error.code == Exit.LOCKED
    done = {name: host.acts[len(before[name]) :] for name, host in fleet.items()}
    assert act not in done["web2"], "the host refused it"
    assert done["web1"][-1] == act, "the others did nothing after it"
    assert fleet["web2"].lock == {"token": 99, "owner": {"user": "bob"}, "expired": False}, "the other's is left alone"


def test_the_next_command_puts_right_what_a_run_without_its_lock_left(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = stolen("web2", "swap")
    failed(engine.deploy, "test", NEW)
    assert {host.current for host in fleet.values()} == {OLD, NEW}
    well()
    fleet["web2"].lock = None
    engine.restart("test")
    assert serves(fleet) == {OLD}


def test_a_lock_that_becomes_free_in_time_is_taken(fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            fleet["web2"].lock = None
        assert fleet["web1"].lock is None, "what was taken is given back meanwhile"

    monkeypatch.setattr(time, "sleep", sleep)
    fleet["web2"].lock = {"token": 3, "owner": lock.owner("fab deploy"), "expired": False}
    engine.deploy("test", OLD, wait=60)
    assert serves(fleet) == {OLD}
    assert len(waits) == 3


def test_a_lock_that_does_not_become_free_is_told_after_the_wait(fleet: dict[str, FakeHost]) -> None:
    fleet["web2"].lock = {"token": 3, "owner": lock.owner("fab deploy"), "expired": False}
    began = time.monotonic()
    assert failed(engine.deploy, "test", OLD, wait=0.2).code == Exit.LOCKED
    assert 0.2 <= time.monotonic() - began < 2


def test_a_lock_whose_lease_has_run_out_is_replaced(fleet: dict[str, FakeHost]) -> None:
    """bikeindex 4313, dokku 3167, kamal 1844: locks left by cancelled runs, of other machines as well."""
    for host in fleet.values():
        host.lock = {"token": 6, "owner": {"user": "bob", "machine": "elsewhere"}, "expired": True}
    engine.deploy("test", OLD)
    assert serves(fleet) == {OLD}


def test_the_lock_is_taken_in_inventory_order_host_after_host(fleet: dict[str, FakeHost]) -> None:
    order: list[str] = []
    FakeHost.after = lambda host, act: order.append(host) if act == "lock" else None
    engine.deploy("test", OLD)
    assert order == ["web1", "web2", "web3"]


def test_a_long_run_is_kept_alive(fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[str] = []
    enough = threading.Event()

    def after(host: str, act: str) -> None:
        if act == "beat":
            beats.append(host)
            if len(beats) >= 6:
                enough.set()

    def fault(host: str, act: str) -> None:
        if act == "migrate":
            assert enough.wait(5)

    monkeypatch.setattr(lease, "BEATS_A_LEASE", 60 / 0.02)
    FakeHost.after, FakeHost.faults = after, fault
    FakeHost.migrations = {OLD: {"shop.0001_initial": {"class": "expand", "since": ""}}}
    engine.deploy("test", OLD)
    assert set(beats) == {"web1", "web2", "web3"}
