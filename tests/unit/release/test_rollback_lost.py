"""A rollback while hosts do not answer: it goes on if most do."""

from __future__ import annotations

import pytest

from deploy.errors import Exit
from deploy.release import engine

from .fleet import FakeHost, failed, lost, serves, well
from .front import FakeEdge
from .machine import NEW, OLD


def test_a_rollback_goes_on_without_a_host_that_does_not_answer_and_drains_it(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = lost("web2")
    summary = engine.rollback("test")
    assert (fleet["web1"].current, fleet["web2"].current, fleet["web3"].current) == (OLD, NEW, OLD)
    assert FakeEdge.drained_hosts == {"web2"}
    assert list(summary.without) == ["web2"]
    assert summary.hosts == ["web1", "web3"]


def test_a_rollback_without_most_of_the_hosts_is_refused(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = lost("web2", "web3")
    error = failed(engine.rollback, "test")
    assert error.code == Exit.PREFLIGHT
    assert "web2" in str(error)
    assert "web3" in str(error)
    well()
    assert serves(fleet) == {NEW}


@pytest.mark.parametrize("at", ["lock", "status", "swap", "retire"])
def test_a_host_that_is_lost_while_rolling_back_does_not_keep_the_others(fleet: dict[str, FakeHost], at: str) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = lost("web2", at=at)
    summary = engine.rollback("test")
    assert (fleet["web1"].current, fleet["web3"].current) == (OLD, OLD)
    assert FakeEdge.drained_hosts == {"web2"}
    assert list(summary.without) == ["web2"]


def test_too_many_hosts_lost_while_rolling_back_leave_the_others_on_what_they_ran(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = lost("web2", "web3", at="swap")
    error = failed(engine.rollback, "test")
    assert fleet["web1"].current == NEW
    assert error.code == Exit.ROLLED_BACK
    assert "web2, web3" in error.what
    assert "fab join web2" in error.mend


def test_a_host_that_was_left_behind_does_not_decide_where_a_rollback_goes(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web3"])
    engine.rollback("test")
    assert fleet["web1"].current == OLD
    assert FakeEdge.drained_hosts == {"web3"}


def test_a_rollback_that_a_lost_host_stopped_can_be_tried_again(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    FakeHost.faults = lost("web2", "web3", at="swap")
    failed(engine.rollback, "test")
    well()
    for host in fleet.values():
        if host.lock:
            host.lock["expired"] = True
    engine.rollback("test")
    assert serves(fleet) == {OLD}, "losing hosts was not the release's fault"
