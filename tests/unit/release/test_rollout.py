"""A whole deploy, against stand-ins: what the fleet serves after every kind of failure, and how it is told."""

from __future__ import annotations

import pytest

from deploy.errors import Exit
from deploy.release import engine, lock
from deploy.release.verify import VerifyError

from .conftest import HOSTS, NEW, OLD
from .fleet import FakeHost, breaks, failed, lost, serves


def test_the_first_release_ever_is_deployed(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    assert serves(fleet) == {OLD}
    assert [entry["outcome"] for entry in fleet["web3"].ledger] == ["good"]


def test_a_second_release_replaces_the_first(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    summary = engine.deploy("test", NEW)
    assert serves(fleet) == {NEW}
    assert f"{NEW} serves 3 host(s), after {OLD}" in summary


def test_deploying_what_serves_already_does_nothing(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    acts = {host.name: list(host.acts) for host in fleet.values()}
    assert "nothing to do" in engine.deploy("test", OLD)
    assert {host.name: host.acts for host in fleet.values()} == acts


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("act", ["stage", "migrate", "start", "swap", "stop-others", "record"])
def test_one_host_fails_and_none_switches(fleet: dict[str, FakeHost], host: str, act: str) -> None:
    """ansistrano 333, capistrano 1498: one host fails, the others switch."""
    engine.deploy("test", OLD)
    FakeHost.faults = breaks(host, act)
    if act == "migrate" and host != "web1":
        return  # the migration runs on the first host alone
    error = failed(engine.deploy, "test", NEW)
    assert serves(fleet) == {OLD}
    assert error.code == (Exit.UNCHANGED if act in ("stage", "migrate", "start") else Exit.ROLLED_BACK)
    assert host in error.what
    assert "Boom" in error.what, "the last lines of the journal are told"
    assert "fab deploy --env test" in error.mend


@pytest.mark.parametrize("act", ["stage", "migrate", "start", "swap", "stop-others", "record"])
def test_a_failed_first_release_leaves_a_fleet_without_one(fleet: dict[str, FakeHost], act: str) -> None:
    FakeHost.faults = breaks("web1", act)
    failed(engine.deploy, "test", OLD)
    assert serves(fleet) == {None}


def test_a_release_that_the_balancer_does_not_show_goes_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("balancer", "shows", VerifyError("the load balancer shows 503"))
    error = failed(engine.deploy, "test", NEW)
    assert (serves(fleet), error.code) == ({OLD}, Exit.ROLLED_BACK)
    assert "shows 503" in error.what


def test_an_automatic_rollback_is_no_success(fleet: dict[str, FakeHost]) -> None:
    """trellis-cli 99: rolled back by itself, and CI stayed green."""
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", "swap")
    assert failed(engine.deploy, "test", NEW).code == 11
    assert fleet["web1"].ledger[-1]["outcome"] == "failed"


@pytest.mark.parametrize("act", ["stage", "start", "swap", "stop-others"])
def test_an_interrupted_run_puts_every_host_back(fleet: dict[str, FakeHost], act: str) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", act, KeyboardInterrupt())
    assert failed(engine.deploy, "test", NEW).code == Exit.INTERRUPTED
    assert serves(fleet) == {OLD}
    assert fleet["web1"].ledger[-1]["outcome"] == "interrupted"


def test_a_host_that_cannot_be_put_back_needs_a_person_and_does_not_hold_up_the_others(
    fleet: dict[str, FakeHost],
) -> None:
    engine.deploy("test", OLD)
    swap, stop = breaks("web2", "swap"), breaks("web2", "stop-others")

    def both(host: str, act: str) -> None:
        swap(host, act)
        stop(host, act)

    FakeHost.faults = both
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.NEEDS_PERSON
    assert {fleet["web1"].current, fleet["web3"].current} == {OLD}
    assert "web2" in error.what


def test_even_a_defect_of_the_engine_puts_every_host_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web3", "swap", ZeroDivisionError("oh"))
    error = failed(engine.deploy, "test", NEW)
    assert (serves(fleet), error.code) == ({OLD}, Exit.ROLLED_BACK)
    assert "ZeroDivisionError: oh" in error.what


def test_a_host_that_does_not_answer_fails_before_anything_changes(fleet: dict[str, FakeHost]) -> None:
    FakeHost.faults = lost("web2")
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.PREFLIGHT
    assert "web2: no connection" in error.what
    assert all(not host.acts for host in fleet.values())


def test_a_held_lock_is_told_and_left_alone(fleet: dict[str, FakeHost]) -> None:
    owner = {
        "user": "ann",
        "machine": "laptop",
        "pid": 7,
        "since": "2026-01-01T00:00:00Z",
        "command": "fab deploy",
    }
    fleet["web2"].lock = {"token": 3, "owner": owner}
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.LOCKED
    assert "ann on laptop (process 7) holds the lock since 2026-01-01T00:00:00Z" in error.what
    assert "unlock --token 3" in error.mend
    assert (fleet["web1"].lock, fleet["web2"].lock) == (None, {"token": 3, "owner": owner})


def test_the_lock_of_a_dead_process_of_this_machine_is_replaced(fleet: dict[str, FakeHost]) -> None:
    """bikeindex 4313, dokku 3167, kamal 1844: locks left by cancelled runs."""
    dead = lock.owner("fab deploy") | {"pid": 2**22 + 1, "started": "1"}
    for host in fleet.values():
        host.lock = {"token": 9, "owner": dead}
    engine.deploy("test", NEW)
    assert serves(fleet) == {NEW}


def test_old_releases_are_pruned_and_failed_ones_never_count_as_good(fleet: dict[str, FakeHost]) -> None:
    good = [f"2026010{day}T000000Z-000000{day}" for day in range(1, 6)]
    for release in good[:4]:
        engine.deploy("test", release)
    FakeHost.faults = breaks("web1", "swap")
    failed(engine.deploy, "test", "20260109T000000Z-0000009")
    FakeHost.faults = staticmethod(lambda host, act: None)
    engine.deploy("test", good[4])
    assert fleet["web2"].releases == good[2:]


def test_migrations_that_stay_are_told(fleet: dict[str, FakeHost]) -> None:
    FakeHost.faults = breaks("web1", "start")
    assert "shop.0002_more" in failed(engine.deploy, "test", NEW).what


def test_files_that_cannot_be_deleted_do_not_undo_a_good_release(fleet: dict[str, FakeHost]) -> None:
    for day in range(1, 4):
        engine.deploy("test", f"2026010{day}T000000Z-000000{day}")
    FakeHost.faults = breaks("web1", "remove")
    engine.deploy("test", "20260104T000000Z-0000004")
    assert serves(fleet) == {"20260104T000000Z-0000004"}
