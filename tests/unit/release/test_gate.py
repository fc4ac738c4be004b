"""What may keep a run from beginning or from going on: preflight, the schema, the measurement, the canary."""

from __future__ import annotations

import pytest

from deploy.errors import Exit
from deploy.release import engine, gate, preflight
from deploy.release.preflight import Problem
from deploy.release.verify import VerifyError

from .fleet import FakeHost, breaks, failed, lost, serves
from .machine import NEW, OLD

NEWEST = "20260103T000000Z-0000003"
EXPAND = {"class": "expand", "since": ""}


def contract(since: str) -> dict[str, str]:
    """A migration that takes away what releases before `since` use."""
    return {"class": "contract", "since": since}


def test_all_that_does_not_hold_is_told_and_nothing_was_changed(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.deploy("test", OLD)
    before = {name: list(host.acts) for name, host in fleet.items()}
    found = [Problem("its disk is full", "web1", "free some"), Problem("the clock is wrong", "web2", "set it")]
    monkeypatch.setattr(preflight, "check", lambda *_: list(found))
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.PREFLIGHT
    assert all(text in str(error) for text in ("web1: its disk is full", "web2: the clock is wrong"))
    assert {name: host.acts for name, host in fleet.items()} == before
    assert failed(engine.preflight, "test", NEW).code == Exit.PREFLIGHT


def test_a_host_that_does_not_answer_is_told_beside_all_else_that_is_wrong(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.deploy("test", OLD)
    monkeypatch.setattr(preflight, "check", lambda *_: [Problem("its disk is full", "web1", "free some")])
    FakeHost.faults = lost("web3")
    error = failed(engine.deploy, "test", NEW)
    assert "web1: its disk is full" in str(error)
    assert "web3: no connection" in str(error)
    assert all(host.lock is None for host in fleet.values())


def test_a_preflight_takes_no_lock_and_needs_none(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    fleet["web2"].lock = {"token": 3, "owner": {}, "expired": False}
    before = {name: list(host.acts) for name, host in fleet.items()}
    engine.preflight("test", NEW)
    assert {name: host.acts for name, host in fleet.items()} == before


def test_a_release_that_the_schema_has_left_behind_is_not_rolled_back_to(fleet: dict[str, FakeHost]) -> None:
    """cookiecutter-django 1133, dokploy 3169: migrations against rollback."""
    engine.deploy("test", OLD)
    FakeHost.migrations = {NEW: {}, NEWEST: {"shop.0003_drop_name": contract(NEW)}}
    engine.deploy("test", NEW)
    engine.deploy("test", NEWEST)
    engine.rollback("test")
    assert serves(fleet) == {NEW}
    error = failed(engine.rollback, "test")
    assert error.code == Exit.ROLLBACK_REFUSED
    assert "shop.0003_drop_name" in error.what
    assert serves(fleet) == {NEW}


def test_an_expansion_keeps_nobody_from_rolling_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.migrations = {NEW: {"shop.0002_more": EXPAND}}
    engine.deploy("test", NEW)
    engine.rollback("test")
    assert serves(fleet) == {OLD}


def test_an_applied_migration_that_no_release_explains_keeps_a_rollback_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.applied = ["shop.0009_by_hand"]
    error = failed(engine.rollback, "test")
    assert error.code == Exit.ROLLBACK_REFUSED
    assert "shop.0009_by_hand" in error.what


def test_a_contraction_that_a_serving_release_cannot_bear_is_refused_before_anything_changes(
    fleet: dict[str, FakeHost],
) -> None:
    engine.deploy("test", OLD)
    FakeHost.migrations = {NEWEST: {"shop.0003_drop_name": contract(NEW)}}
    error = failed(engine.deploy, "test", NEWEST)
    assert error.code == Exit.PREFLIGHT
    assert "shop.0003_drop_name" in str(error)
    assert serves(fleet) == {OLD}


def test_an_older_release_is_not_deployed_onto_a_schema_that_left_it_behind(fleet: dict[str, FakeHost]) -> None:
    FakeHost.migrations = {NEWEST: {"shop.0003_drop_name": contract(NEW)}}
    engine.deploy("test", NEWEST)
    error = failed(engine.deploy, "test", OLD)
    assert error.code == Exit.PREFLIGHT
    assert "shop.0003_drop_name" in str(error)


def test_the_database_is_asked_through_the_next_host_where_the_first_cannot(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = breaks("web1", "database", times=9)
    engine.rollback("test")
    assert serves(fleet) == {OLD}


def test_a_database_that_nobody_can_ask_stops_a_deploy(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.away = True
    assert failed(engine.deploy, "test", NEW).code == Exit.PREFLIGHT
    assert serves(fleet) == {OLD}


def test_a_database_that_nobody_can_ask_keeps_nobody_from_going_back(fleet: dict[str, FakeHost]) -> None:
    """The release that serves has taken every connection: only going back frees them."""
    engine.deploy("test", OLD)
    FakeHost.migrations = {NEW: {"shop.0002_more": EXPAND}}
    engine.deploy("test", NEW)
    acts: list[str] = []
    FakeHost.away, FakeHost.after = True, lambda host, act: acts.append(act) if host == "web1" else None
    FakeHost.faults = lambda host, act: acts.append(act) if act == "shows" else None
    engine.rollback("test")
    assert serves(fleet) == {OLD}
    assert acts.index("swap") < acts.index("retire") < acts.index("shows"), "what holds the connections ends first"


def test_a_database_that_nobody_can_ask_counts_as_one_with_every_known_contraction(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.migrations = {NEWEST: {"shop.0003_drop_name": contract(NEW)}}
    for host in fleet.values():
        host.releases.append(NEWEST)  # staged by a run that failed: who knows how far it went
    FakeHost.away = True
    error = failed(engine.rollback, "test")
    assert error.code == Exit.ROLLBACK_REFUSED
    assert "cannot be asked" in error.what
    assert "shop.0003_drop_name" in error.what


def test_a_rollback_that_clients_cannot_see_without_a_database_stays_and_is_told(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.away, FakeHost.faults = True, breaks("balancer", "shows", VerifyError("503 from release unknown"))
    error = failed(engine.rollback, "test")
    assert (error.code, serves(fleet)) == (Exit.NEEDS_PERSON, {OLD})
    assert "503 from release unknown" in error.what
    assert fleet["web1"].ledger[-1]["outcome"] == "good"


@pytest.mark.parametrize("command", ["deploy", "rollback"])
def test_a_migration_that_still_goes_on_is_waited_for_and_then_reckoned_with(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    monkeypatch.setattr(gate, "POLL_SECONDS", 0.001)
    FakeHost.migrating = 3
    engine.deploy("test", NEWEST) if command == "deploy" else engine.rollback("test")
    assert serves(fleet) == {NEWEST if command == "deploy" else OLD}
    assert FakeHost.migrating < 0, "it was asked until it had ended"


@pytest.mark.parametrize("command", ["deploy", "rollback"])
def test_a_migration_that_does_not_end_is_told_before_anything_changes(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    monkeypatch.setattr(gate, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(gate, "MIGRATION_SECONDS", 0.01)
    FakeHost.migrating = 10**9
    error = failed(engine.deploy, "test", NEWEST) if command == "deploy" else failed(engine.rollback, "test")
    assert error.code == Exit.PREFLIGHT
    assert "a migration is under way" in error.what
    assert serves(fleet) == {NEW}
