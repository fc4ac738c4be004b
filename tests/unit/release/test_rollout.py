"""A whole deploy, against stand-ins: what the fleet serves after every kind of failure, and how it is told."""

from __future__ import annotations

import pytest

from deploy.errors import Exit
from deploy.release import engine, lock
from deploy.release.state import release_of

from .conftest import HOSTS
from .fleet import FakeHost, breaks, failed, lost, serves, well
from .front import GOOD
from .machine import NEW, OLD


def test_the_first_release_ever_is_deployed(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    assert serves(fleet) == {OLD}
    assert [entry["outcome"] for entry in fleet["web3"].ledger] == ["begun", "good"]


def test_a_second_release_replaces_the_first(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    summary = engine.deploy("test", NEW)
    assert serves(fleet) == {NEW}
    assert (summary.release, summary.hosts, summary.changed) == (NEW, list(HOSTS), True)
    assert summary.previous == dict.fromkeys(HOSTS, OLD)
    assert summary.measured == GOOD.as_json()
    assert fleet["web1"].warm_for == {f"{OLD}.1": 900}, "the release before stays warm"


def test_deploying_what_serves_already_does_nothing(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    acts = {host.name: list(host.acts) for host in fleet.values()}
    assert not engine.deploy("test", OLD).changed
    assert {host.name: host.acts for host in fleet.values()} == acts


INITIAL = {"class": "expand", "since": ""}
MORE = {NEW: {"shop.0002_more": {"class": "expand", "since": ""}}}
# acts of a deploy, and how often each goes well before: `record` writes down what begins, and then how it ended
ACTS = [("record", 0), ("stage", 0), ("migrate", 0), ("start", 0), ("swap", 0), ("retire", 0), ("record", 1)]
NOT_SWITCHED = ACTS[:4]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("act", ACTS)
def test_one_host_fails_and_none_switches(fleet: dict[str, FakeHost], host: str, act: tuple[str, int]) -> None:
    """ansistrano 333, capistrano 1498: one host fails, the others switch."""
    engine.deploy("test", OLD)
    FakeHost.migrations = MORE
    FakeHost.faults = breaks(host, act[0], skip=act[1])
    if act[0] == "migrate" and host != "web1":
        return  # the migration runs on the first host alone
    error = failed(engine.deploy, "test", NEW)
    assert serves(fleet) == {OLD}
    assert error.code == (Exit.UNCHANGED if act in NOT_SWITCHED else Exit.ROLLED_BACK)
    assert host in error.what
    assert "Boom" in error.what, "the last lines of the journal are told"
    assert "fab deploy --env test" in error.mend


@pytest.mark.parametrize("act", ACTS)
def test_a_failed_first_release_leaves_a_fleet_without_one(fleet: dict[str, FakeHost], act: tuple[str, int]) -> None:
    FakeHost.migrations = {OLD: {"shop.0001_initial": INITIAL}}
    FakeHost.faults = breaks("web1", act[0], skip=act[1])
    failed(engine.deploy, "test", OLD)
    assert serves(fleet) == {None}


@pytest.mark.parametrize("act", ACTS)
def test_a_failure_puts_worker_processes_back_as_well(mixed: dict[str, FakeHost], act: tuple[str, int]) -> None:
    engine.deploy("test", OLD)
    FakeHost.migrations = MORE
    FakeHost.faults = breaks("web1", act[0], skip=act[1])
    failed(engine.deploy, "test", NEW)
    assert serves(mixed) == {OLD}
    assert {release_of(mixed[name].works[0]) for name in ("web2", "jobs1")} == {OLD}


def test_what_a_failed_migration_has_applied_all_the_same_is_written_down(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.applied = ["shop.0001_initial"]
    FakeHost.migrations = {release: {"shop.0001_initial": INITIAL} for release in (OLD, NEW)}
    FakeHost.migrations[NEW] |= MORE[NEW]
    FakeHost.after = breaks("web1", "migrate")
    error = failed(engine.deploy, "test", NEW)
    assert "applied migrations stay: shop.0002_more" in error.what
    assert fleet["web1"].ledger[-1]["migrated"] == ["shop.0002_more"]


def test_a_host_that_does_not_answer_fails_before_anything_changes(fleet: dict[str, FakeHost]) -> None:
    FakeHost.faults = lost("web2")
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.PREFLIGHT
    assert "web2: no connection" in str(error)
    assert all(not host.acts for host in fleet.values())


def test_a_held_lock_is_told_and_left_alone(fleet: dict[str, FakeHost]) -> None:
    owner = {
        "user": "ann",
        "machine": "laptop",
        "pid": 7,
        "since": "2026-01-01T00:00:00Z",
        "command": "fab deploy",
    }
    fleet["web2"].lock = held = {"token": 3, "owner": owner, "expired": False}
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.LOCKED
    assert "ann on laptop (process 7) holds the lock since 2026-01-01T00:00:00Z" in error.what
    assert "unlock --token 3" in error.mend
    assert (fleet["web1"].lock, fleet["web2"].lock) == (None, held)


def test_the_lock_of_a_dead_process_of_this_machine_is_replaced(fleet: dict[str, FakeHost]) -> None:
    """bikeindex 4313, dokku 3167, kamal 1844: locks left by cancelled runs."""
    dead = lock.owner("fab deploy") | {"pid": 2**22 + 1, "started": "1"}
    for host in fleet.values():
        host.lock = {"token": 9, "owner": dead, "expired": False}
    engine.deploy("test", NEW)
    assert serves(fleet) == {NEW}


def test_old_releases_are_pruned_and_failed_ones_never_count_as_good(fleet: dict[str, FakeHost]) -> None:
    good = [f"2026010{day}T000000Z-000000{day}" for day in range(1, 6)]
    for release in good[:4]:
        engine.deploy("test", release)
    FakeHost.faults = breaks("web1", "swap")
    failed(engine.deploy, "test", "20260109T000000Z-0000009")
    well()
    engine.deploy("test", good[4])
    assert fleet["web2"].releases == good[2:]


def test_migrations_that_stay_are_told(fleet: dict[str, FakeHost]) -> None:
    FakeHost.migrations = MORE
    FakeHost.faults = breaks("web1", "start")
    assert "shop.0002_more" in failed(engine.deploy, "test", NEW).what


def test_files_that_cannot_be_deleted_do_not_undo_a_good_release(fleet: dict[str, FakeHost]) -> None:
    for day in range(1, 4):
        engine.deploy("test", f"2026010{day}T000000Z-000000{day}")
    FakeHost.faults = breaks("web1", "remove")
    engine.deploy("test", "20260104T000000Z-0000004")
    assert serves(fleet) == {"20260104T000000Z-0000004"}
