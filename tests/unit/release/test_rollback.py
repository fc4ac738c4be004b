"""A whole rollback, and fleets that a killed run left split, against stand-ins."""

from __future__ import annotations

from deploy.errors import Exit
from deploy.release import engine

from .conftest import NEW, OLD
from .fleet import FakeHost, breaks, failed, serves

NEWEST = "20260103T000000Z-0000003"


def test_rollback_needs_no_argument_and_a_second_one_goes_further_back(fleet: dict[str, FakeHost]) -> None:
    """kamal 1658, 1677, 1766: a rollback that needs a SHA to be found under stress."""
    for release in (OLD, NEW, NEWEST):
        engine.deploy("test", release)
    engine.rollback("test")
    assert serves(fleet) == {NEW}
    engine.rollback("test")
    assert serves(fleet) == {OLD}
    assert failed(engine.rollback, "test").code == Exit.ROLLBACK_REFUSED
    assert serves(fleet) == {OLD}


def test_rollback_never_lands_on_a_release_that_failed(fleet: dict[str, FakeHost]) -> None:
    """trellis 1148, ansistrano 209, deployer 814: a rollback that lands on a bad release."""
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web3", "swap")
    failed(engine.deploy, "test", NEW)
    FakeHost.faults = staticmethod(lambda host, act: None)
    engine.deploy("test", NEWEST)
    engine.rollback("test")
    assert serves(fleet) == {OLD}


def test_rollback_with_nothing_to_roll_back_to_is_refused(fleet: dict[str, FakeHost]) -> None:
    assert failed(engine.rollback, "test").code == Exit.ROLLBACK_REFUSED
    engine.deploy("test", OLD)
    error = failed(engine.rollback, "test")
    assert error.code == Exit.ROLLBACK_REFUSED
    assert serves(fleet) == {OLD}


def test_a_fleet_split_by_a_killed_run_is_made_whole_by_the_next(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    host = fleet["web1"]
    host.do_stage([NEW], b"")
    host.do_start([NEW], b"")
    host.do_swap([host.running[-1]], b"")  # and then the controller died
    engine.deploy("test", NEW)
    assert serves(fleet) == {NEW}


def test_a_fleet_split_by_a_killed_run_goes_back_to_the_last_good_release(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    for name in ("web1", "web2"):
        fleet[name].do_stage([NEW], b"")
        fleet[name].do_start([NEW], b"")
        fleet[name].do_swap([fleet[name].running[-1]], b"")
    FakeHost.faults = breaks("web3", "start")
    failed(engine.deploy, "test", NEWEST)
    assert serves(fleet) == {OLD}
