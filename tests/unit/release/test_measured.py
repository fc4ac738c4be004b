"""What clients got decides: the measurement of a run, and a first host on trial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.errors import Exit
from deploy.release import engine
from deploy.release.canary import Traffic

from .fleet import FakeHost, failed, serves
from .front import GOOD, FakeEdge, FakeProbe
from .machine import NEW, OLD


@pytest.mark.parametrize("command", ["deploy", "restart"])
def test_failures_that_clients_saw_of_the_new_release_put_every_host_back(
    fleet: dict[str, FakeHost], command: str
) -> None:
    engine.deploy("test", OLD)
    before = {host.activation for host in fleet.values()}
    FakeProbe.says = replace(GOOD, failures=3, counted=2)
    error = failed(engine.deploy, "test", NEW) if command == "deploy" else failed(engine.restart, "test")
    assert error.code == Exit.ROLLED_BACK
    assert serves(fleet) == {OLD}
    assert {host.activation for host in fleet.values()} == before
    entry = fleet["web1"].ledger[-1]
    assert (entry["outcome"], entry["measured"]["counted"]) == ("failed", 2)


def test_failures_that_are_not_the_new_releases_do_not_count(fleet: dict[str, FakeHost]) -> None:
    """Rule 10: a broken site can always be fixed."""
    FakeProbe.says = replace(GOOD, failures=100, counted=0)
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    assert serves(fleet) == {NEW}


def test_a_canary_that_does_well_is_followed_by_the_others(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeEdge.seen = {name: [Traffic(300, 0, 5.0, 9.0)] for name in fleet}
    engine.deploy("test", NEW, canary=0.01)
    assert serves(fleet) == {NEW}


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (Traffic(300, 30, 5.0, 9.0), "30 of 300 failed"),
        (Traffic(300, 0, 500.0, 900.0), "p95"),
        (Traffic(10, 0, 5.0, 9.0), "too few requests to judge"),
    ],
)
def test_a_canary_that_does_worse_or_cannot_be_judged_goes_back_and_the_others_were_never_switched(
    fleet: dict[str, FakeHost], first: Traffic, why: str
) -> None:
    engine.deploy("test", OLD)
    FakeEdge.seen = {name: [Traffic(300, 0, 5.0, 9.0)] for name in fleet} | {"web1": [first]}
    error = failed(engine.deploy, "test", NEW, canary=0.01)
    assert error.code == Exit.ROLLED_BACK
    assert why in error.what
    assert serves(fleet) == {OLD}
    assert "swap" not in fleet["web2"].acts[-3:]
    assert not any("swap" in host.acts[5:] for host in (fleet["web2"], fleet["web3"]))


def test_a_canary_that_fails_from_the_start_does_not_wait_for_the_end(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeEdge.seen = {"web1": [Traffic(300, 300, 5.0, 9.0)], "web2": [Traffic(300, 0, 5.0, 9.0)]}
    error = failed(engine.deploy, "test", NEW, canary=20)
    assert error.code == Exit.ROLLED_BACK


def test_a_canary_with_one_web_host_is_a_usage_error(fleet: dict[str, FakeHost]) -> None:
    error = failed(engine.deploy, "test", NEW, canary=60, without=["web2", "web3"])
    assert error.code == Exit.USAGE


def test_control_without_a_canary_the_same_traffic_stops_nothing(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeEdge.seen = {"web1": [Traffic(300, 300, 5.0, 9.0)], "web2": [Traffic(300, 0, 5.0, 9.0)]}
    engine.deploy("test", NEW)
    assert serves(fleet) == {NEW}
