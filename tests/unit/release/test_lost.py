"""Hosts that are left out, lost on the way, and joined again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy.errors import Exit
from deploy.release import engine
from deploy.release.remote import UnreachableError
from deploy.release.verify import VerifyError

from .fleet import SETTINGS, FakeHost, Fault, breaks, failed, lost, serves, well
from .front import FakeEdge, FakeProbe
from .machine import NEW, OLD

NEWEST = "20260103T000000Z-0000003"


def test_a_host_that_is_left_out_is_drained_first_and_stays_as_it_is(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = lost("web2")
    summary = engine.deploy("test", NEW, without=["web2"])
    assert [host.current for host in fleet.values()] == [NEW, OLD, NEW]
    assert FakeEdge.drained_hosts == {"web2"}
    assert list(summary.without) == ["web2"]


def test_without_being_left_out_a_host_that_does_not_answer_stops_a_deploy(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = lost("web2")
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.PREFLIGHT
    assert "fab deploy --env test --without web2" in str(error)
    assert FakeEdge.drained_hosts == set()


@pytest.mark.parametrize(
    ("without", "what"), [(["web9"], "web9"), (["web1", "web2", "web3"], "no web host would be left")]
)
def test_what_cannot_be_left_out_is_a_usage_error(fleet: dict[str, FakeHost], without: list[str], what: str) -> None:
    error = failed(engine.deploy, "test", NEW, without=without)
    assert error.code == Exit.USAGE
    assert what in str(error)


def test_a_host_without_a_web_server_can_be_left_out_and_is_not_drained(mixed: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["jobs1"])
    assert (mixed["web1"].current, mixed["jobs1"].current) == (NEW, OLD)
    assert FakeEdge.drained_hosts == set()


@pytest.mark.parametrize("at", ["swap", "retire"])
def test_a_host_lost_in_mid_switch_is_drained_and_the_others_go_back(fleet: dict[str, FakeHost], at: str) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = lost("web2", at=at)
    error = failed(engine.deploy, "test", NEW)
    assert (fleet["web1"].current, fleet["web3"].current) == (OLD, OLD)
    assert FakeEdge.drained_hosts == {"web2"}
    assert error.code == Exit.ROLLED_BACK
    assert "lost on the way, and drained on every balancer: web2" in error.what
    assert "fab join web2 --env test" in error.mend


@pytest.mark.parametrize("at", ["stage", "start"])
def test_a_host_lost_before_any_switch_is_not_drained(fleet: dict[str, FakeHost], at: str) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = lost("web2", at=at)
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.UNCHANGED
    assert FakeEdge.drained_hosts == set()
    assert {host.current for host in fleet.values()} == {OLD}


def test_a_connection_that_broke_is_made_again_and_its_host_put_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", "swap", UnreachableError("web2", "the connection broke"))
    failed(engine.deploy, "test", NEW)
    assert serves(fleet) == {OLD}
    assert FakeEdge.drained_hosts == set()


def restarted(what: Callable[[], None]) -> Fault:
    """A fault: the connection to web2 breaks in its switch, and `what` has become of the host when it is back."""
    gone = UnreachableError("web2", "the connection broke")
    switch, renew = breaks("web2", "swap", gone), breaks("web2", "renew", gone)

    def fault(host: str, act: str) -> None:
        if (host, act) == ("web2", "renew"):
            what()
        switch(host, act)
        renew(host, act)

    return fault


def test_a_host_that_restarted_on_the_way_lost_its_lock_and_is_left_behind_by_the_others(
    fleet: dict[str, FakeHost],
) -> None:
    engine.deploy("test", OLD)

    def restarts() -> None:
        fleet["web2"].lock = None

    FakeHost.faults = restarted(restarts)
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.ROLLED_BACK
    assert (fleet["web1"].current, fleet["web3"].current) == (OLD, OLD)
    assert FakeEdge.drained_hosts == {"web2"}


def test_a_host_that_restarted_on_the_way_is_put_back_where_nobody_else_claimed_its_lock(
    fleet: dict[str, FakeHost],
) -> None:
    engine.deploy("test", OLD)

    def restarts() -> None:
        if fleet["web2"].lock:
            fleet["web2"].lock["expired"] = True

    FakeHost.faults = restarted(restarts)
    assert failed(engine.deploy, "test", NEW).code == Exit.ROLLED_BACK
    assert serves(fleet) == {OLD}
    assert FakeEdge.drained_hosts == set()


def test_a_lost_host_that_cannot_be_drained_needs_a_person(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    gone, refuses = lost("web2", at="swap"), breaks("lb1", "drain")

    def both(host: str, act: str) -> None:
        gone(host, act)
        refuses(host, act)

    FakeHost.faults = both
    assert failed(engine.deploy, "test", NEW).code == Exit.NEEDS_PERSON
    assert fleet["web1"].current == OLD


def test_a_host_that_was_left_out_joins_at_the_release_that_serves(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web2"])
    summary = engine.join("test", "web2")
    assert serves(fleet) == {NEW}
    assert FakeEdge.drained_hosts == set()
    assert (summary.action, summary.hosts) == ("join", ["web2"])
    engine.rollback("test")
    assert serves(fleet) == {OLD}


def test_a_host_joins_without_a_measurement_that_nothing_would_end(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web2"])
    engine.join("test", "web2")
    assert FakeProbe.going == 0


def test_a_rebuilt_host_joins_with_what_a_rollback_needs(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    empty = FakeHost(fleet["web3"].target, SETTINGS)
    FakeHost.known["web3"] = empty
    FakeEdge.drained_hosts = {"web3"}
    engine.join("test", "web3")
    assert empty.releases == [OLD, NEW]
    engine.rollback("test")
    assert serves(fleet) == {OLD}


def test_a_host_without_a_web_server_joins_without_the_balancers(mixed: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["jobs1"])
    engine.join("test", "jobs1")
    assert serves(mixed) == {NEW}


@pytest.mark.parametrize("act", ["stage", "start", "swap", "retire"])
def test_a_host_that_fails_to_join_stays_drained_and_as_it_was(fleet: dict[str, FakeHost], act: str) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web2"])
    FakeHost.faults = breaks("web2", act)
    failed(engine.join, "test", "web2")
    assert fleet["web2"].current == OLD
    assert FakeEdge.drained_hosts == {"web2"}
    assert {fleet["web1"].current, fleet["web3"].current} == {NEW}


def test_a_host_that_the_balancers_do_not_show_is_drained_again(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web2"])
    FakeHost.faults = breaks("balancer", "shows", VerifyError("not web2"))
    assert failed(engine.join, "test", "web2").code == Exit.ROLLED_BACK
    assert FakeEdge.drained_hosts == {"web2"}


def test_joining_does_not_need_every_other_host(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web2"])
    FakeHost.faults = lost("web3")
    engine.join("test", "web2")
    assert fleet["web2"].current == NEW


def test_joining_needs_the_host_itself_and_one_other(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = lost("web2")
    assert failed(engine.join, "test", "web2").code == Exit.PREFLIGHT
    FakeHost.faults = lost("web1", "web3")
    assert failed(engine.join, "test", "web2").code == Exit.PREFLIGHT
    assert failed(engine.join, "test", "web9").code == Exit.USAGE


def test_there_is_nothing_to_join_before_the_first_release(fleet: dict[str, FakeHost]) -> None:
    assert failed(engine.join, "test", "web2").code == Exit.UNCHANGED
    assert not FakeEdge.drained_hosts


def test_the_next_deploy_takes_a_drained_host_along_but_leaves_it_drained(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web2"])
    engine.deploy("test", NEWEST)
    assert serves(fleet) == {NEWEST}
    assert FakeEdge.drained_hosts == {"web2"}
    well()
    engine.join("test", "web2")
    assert FakeEdge.drained_hosts == set()
