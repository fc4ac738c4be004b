"""What hosts say of themselves, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.release import state
from deploy.release.state import HostState

from .hosts import OLDER, beside, states
from .machine import NEW, OLD


def test_hosts_that_agree_return_to_what_they_run_and_others_to_the_last_good_release() -> None:
    agreed = states(2)
    assert state.homes(agreed, NEW) == {"web1": OLD, "web2": OLD}
    split = [agreed[0], HostState("web2", NEW, f"{NEW}.2", (f"{NEW}.2",), (OLD, NEW), ())]
    assert state.homes(split, OLD) == {"web1": OLD, "web2": OLD}
    assert state.homes(split, None) == {"web1": OLD, "web2": NEW}


def test_what_runs_or_is_kept_is_not_pruned() -> None:
    now = HostState("web1", OLD, f"{OLD}.1", (f"{OLD}.1", f"{OLDER}.1"), ("a", "b", OLDER, OLD, NEW), ())
    assert state.prune(now, {"b"}) == ["a", NEW]


def test_a_fleet_serves_a_release_only_if_every_process_is_there_and_nothing_else_runs_but_what_is_warm() -> None:
    fleet = states(2)
    assert state.serves(fleet, OLD)
    assert not state.serves(fleet, NEW)
    assert not state.serves([*fleet, replace(fleet[0], name="web3", running=())], OLD)
    assert not state.serves([replace(fleet[0], running=(f"{OLD}.1", f"{OLD}.2"))], OLD)
    assert state.serves([beside(fleet[0], f"{OLDER}.1")], OLD)


def test_of_several_activations_the_newest_is_the_one_with_the_highest_number() -> None:
    assert state.newest([f"{OLD}.9", f"{OLD}.10"]) == f"{OLD}.10"
    assert state.newest([]) == ""


@pytest.mark.parametrize(
    ("here", "total", "most"), [(2, 3, True), (1, 2, False), (2, 2, True), (1, 1, True), (2, 4, False)]
)
def test_most_is_more_than_half(here: int, total: int, most: bool) -> None:
    assert state.majority(here, total) is most
