"""Looking at an environment, restarting it, and work on its hosts."""

from __future__ import annotations

import pytest

from deploy.errors import Exit
from deploy.release import engine, rotation

from .fleet import FakeHost, breaks, failed, lost, serves
from .front import FakeEdge
from .machine import NEW, OLD


def test_the_status_is_told_even_where_a_host_and_a_balancer_do_not_answer(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    gone = lost("web2", "lb1")
    FakeHost.faults = gone
    found = engine.status("test")
    assert [state.name for state in found.states] == ["web1", "web3"]
    assert set(found.missing) == {"web2", "lb1"}
    assert all(host.lock is None for host in fleet.values())


def test_the_status_names_who_holds_the_lock_and_which_hosts_are_drained(fleet: dict[str, FakeHost]) -> None:
    owner = {"user": "ann", "machine": "laptop", "pid": 7, "since": "2026-01-01T00:00:00Z", "command": "fab deploy"}
    fleet["web2"].lock = {"token": 3, "owner": owner, "expired": False}
    FakeEdge.drained_hosts = {"web3"}
    found = engine.status("test")
    assert "ann on laptop" in found.locks["web2"]
    assert [state.drained for state in found.states] == [False, False, True]
    assert not found.maintenance["lb1"]["on"]


def test_releases_are_listed_with_what_became_of_them_and_where_they_are(fleet: dict[str, FakeHost]) -> None:
    FakeHost.migrations = {NEW: {"shop.0002_more": {"class": "expand", "since": ""}}}
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    new, old = engine.releases("test")
    assert (new.id, new.live, new.warm, new.migrated) == (NEW, list(fleet), [], ["shop.0002_more"])
    assert (old.id, old.live, old.warm) == (OLD, [], list(fleet))
    assert (new.last.author, new.last.built_by, new.last.outcome) == ("Ann", "ann@laptop", "good")
    assert new.last.command == f"fab deploy --ref {NEW} --env test"
    engine.rollback("test")
    assert engine.releases("test")[0].last.author == "Ann", "a rollback keeps what is known of the release"


def test_a_restart_replaces_every_process_by_one_with_the_present_settings(mixed: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    for host in mixed.values():
        host.settings_version = 2
    summary = engine.restart("test")
    assert serves(mixed) == {NEW}
    assert all(host.made_with[str(host.activation)] == 2 for host in mixed.values())
    assert (summary.action, summary.release) == ("restart", NEW)
    assert not engine.deploy("test", NEW).changed, "there is nothing left to do"
    engine.rollback("test")
    assert serves(mixed) == {OLD}, "a restart does not change where a rollback goes"


def test_a_deploy_of_what_serves_already_says_that_settings_have_changed(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    fleet["web1"].settings_version = 2
    summary = engine.deploy("test", OLD)
    assert not summary.changed
    assert any("fab restart" in note for note in summary.notes)


@pytest.mark.parametrize("act", ["start", "swap", "retire"])
def test_a_failed_restart_goes_back_to_the_processes_that_served(fleet: dict[str, FakeHost], act: str) -> None:
    engine.deploy("test", OLD)
    before = {name: host.activation for name, host in fleet.items()}
    FakeHost.faults = breaks("web2", act)
    failed(engine.restart, "test")
    if act != "retire":  # which ends them
        assert {name: host.activation for name, host in fleet.items()} == before
    assert serves(fleet) == {OLD}


def test_a_restart_that_failed_makes_no_release_a_bad_one(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", "swap")
    failed(engine.restart, "test")
    engine.deploy("test", NEW)
    engine.rollback("test")
    assert serves(fleet) == {OLD}


def test_without_a_release_there_is_nothing_to_restart(fleet: dict[str, FakeHost]) -> None:
    assert failed(engine.restart, "test").code == Exit.UNCHANGED


def test_a_host_is_drained_and_gets_its_requests_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    rotation.drain("test", "web2")
    assert FakeEdge.drained_hosts == {"web2"}
    rotation.undrain("test", "web2")
    assert FakeEdge.drained_hosts == set()


def test_a_host_that_serves_another_release_gets_no_requests_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    engine.deploy("test", NEW, without=["web2"])
    error = failed(rotation.undrain, "test", "web2")
    assert error.code == Exit.PREFLIGHT
    assert error.mend == "fab join web2 --env test"
    assert FakeEdge.drained_hosts == {"web2"}


@pytest.mark.parametrize("verb", ["drain", "undrain"])
def test_only_web_hosts_are_drained(mixed: dict[str, FakeHost], verb: str) -> None:
    error = failed(getattr(rotation, verb), "test", "jobs1")
    assert error.code == Exit.USAGE
    assert "web1, web2" in error.mend


def test_a_balancer_that_refuses_is_told(fleet: dict[str, FakeHost]) -> None:
    FakeHost.faults = breaks("lb1", "drain")
    assert failed(rotation.drain, "test", "web2").code == Exit.NEEDS_PERSON
