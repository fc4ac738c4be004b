"""A whole rollback, and fleets that a killed run left split, against stand-ins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.errors import Exit
from deploy.release import engine, settings
from deploy.release.remote import HostError
from deploy.release.verify import VerifyError

from .fleet import SETTINGS, FakeHost, breaks, failed, serves, well
from .front import GOOD, FakeProbe
from .machine import NEW, OLD

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
    well()
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


def test_a_warm_rollback_switches_all_hosts_in_one_step_and_starts_nothing(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    acts = {name: len(host.acts) for name, host in fleet.items()}
    summary = engine.rollback("test")
    assert serves(fleet) == {OLD}
    for name, host in fleet.items():
        assert host.acts[acts[name] :] == ["record", "swap", "retire", "record"], "few round trips"
        assert host.warm_for == {f"{NEW}.2": 1}, "what it left ends by the host's own timer"
    assert "swap" in summary.seconds


def test_without_warm_processes_a_rollback_starts_them_first(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "read", lambda fleet: replace(SETTINGS, warm_seconds=0))
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    assert all(len(host.running) == 1 for host in fleet.values())
    engine.rollback("test")
    assert serves(fleet) == {OLD}


def test_a_release_with_outdated_settings_is_started_anew(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    fleet["web2"].settings_version = 2
    engine.rollback("test")
    assert serves(fleet) == {OLD}
    assert [host.activation for host in fleet.values()] == [f"{OLD}.1", f"{OLD}.3", f"{OLD}.1"]


def test_a_warm_process_that_ends_in_this_moment_is_started_anew(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = breaks("web2", "swap")
    engine.rollback("test")
    assert serves(fleet) == {OLD}
    assert fleet["web2"].activation == f"{OLD}.3"


def test_worker_processes_go_back_as_well(mixed: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    engine.rollback("test")
    assert serves(mixed) == {OLD}
    assert mixed["web2"].works == [f"{OLD}.1"], "beside the warm web server"
    assert mixed["jobs1"].works == [f"{OLD}.3"], "anew where nothing is kept warm"


def test_where_a_warm_one_ends_in_the_moment_of_the_switch_its_host_has_the_processes_of_the_new_one(
    mixed: dict[str, FakeHost],
) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = breaks("web2", "swap")
    engine.rollback("test")
    assert serves(mixed) == {OLD}
    assert mixed["web2"].works == [mixed["web2"].activation]


def test_where_a_warm_one_ends_right_after_the_switch_its_host_gets_a_new_one(mixed: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = breaks("web2", "start")
    engine.rollback("test")
    assert serves(mixed) == {OLD}
    assert mixed["web2"].activation == f"{OLD}.3"
    assert mixed["web2"].works == [f"{OLD}.3"]


def test_failures_in_a_rollback_are_told_and_no_reason_to_go_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeProbe.says = replace(GOOD, failures=9, counted=9)
    assert engine.rollback("test").measured == FakeProbe.says.as_json()
    assert serves(fleet) == {OLD}


def test_a_rollback_that_says_it_worked_has_been_seen_by_clients(fleet: dict[str, FakeHost]) -> None:
    """coolify 8445, capistrano 1556: a rollback that says it worked and did nothing."""
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = breaks("balancer", "shows", VerifyError("it shows the other"))
    assert failed(engine.rollback, "test").code == Exit.ROLLED_BACK
    assert serves(fleet) == {NEW}


def test_what_will_not_end_after_a_rollback_is_no_reason_to_serve_it_again(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = breaks("web1", "retire")
    engine.rollback("test")
    assert {host.current for host in fleet.values()} == {OLD}


@pytest.mark.parametrize("skip", [0, 1])
def test_a_full_disk_keeps_nobody_from_going_back(fleet: dict[str, FakeHost], skip: int) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = breaks("web2", "record", HostError("web2", "No space left on device"), skip=skip)
    engine.rollback("test")
    assert serves(fleet) == {OLD}


@pytest.mark.parametrize(
    ("host", "act", "error"),
    [
        ("balancer", "shows", VerifyError("it shows the other")),
        ("web2", "start", HostError("web2", "No space left on device")),
    ],
)
def test_a_rollback_that_its_surroundings_stopped_goes_to_the_same_release_the_next_time(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch, host: str, act: str, error: Exception
) -> None:
    monkeypatch.setattr(settings, "read", lambda fleet: replace(SETTINGS, warm_seconds=0))
    for release in (OLD, NEW, NEWEST):
        engine.deploy("test", release)
    FakeHost.faults = breaks(host, act, error)
    failed(engine.rollback, "test")
    assert serves(fleet) == {NEWEST}
    well()
    engine.rollback("test")
    assert serves(fleet) == {NEW}


def test_control_a_release_that_does_not_start_is_not_gone_back_to_again(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "read", lambda fleet: replace(SETTINGS, warm_seconds=0))
    for release in (OLD, NEW, NEWEST):
        engine.deploy("test", release)
    FakeHost.faults = breaks("web2", "start")
    failed(engine.rollback, "test")
    well()
    engine.rollback("test")
    assert serves(fleet) == {OLD}
