"""Plans are pure: fleet and release in, ordered steps out."""

from __future__ import annotations

from itertools import pairwise

import pytest

from deploy.release import plan
from deploy.release.plan import Action, HostState, Step

from .conftest import NEW, OLD


def states(count: int, current: str | None = OLD) -> list[HostState]:
    """Hosts that serve the old release, or none."""
    running = (f"{current}.1",) if current else ()
    held = (current,) if current else ()
    return [
        HostState(f"web{n}", current, running[0] if running else None, running, held, ()) for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("current", [OLD, None])
def test_nothing_is_switched_before_everything_is_staged_migrated_and_started(count: int, current: str | None) -> None:
    steps = plan.deploy(states(count, current), NEW)
    actions = [step.action for step in steps]
    hosts = tuple(f"web{n}" for n in range(1, count + 1))
    assert steps[:3] == [
        Step(Action.STAGE, hosts, NEW), Step(Action.MIGRATE, ("web1",), NEW), Step(Action.START, hosts, NEW),
    ]  # fmt: skip
    assert actions[-4:] == [Action.VERIFY, Action.STOP, Action.RECORD, Action.PRUNE]
    assert [step.hosts for step in steps if step.action is Action.SWAP] == [(host,) for host in hosts]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_each_switch_is_proven_before_the_next(count: int) -> None:
    steps = plan.deploy(states(count), NEW)
    for step, following in pairwise(steps):
        if step.action is Action.SWAP:
            assert following.action is Action.VERIFY
    assert len(steps[-4].hosts) == count, "the last proof is for all hosts"


def test_a_host_that_holds_the_release_is_not_staged_again() -> None:
    first, second = states(2)
    second = HostState(second.name, OLD, second.activation, second.running, (OLD, NEW), ())
    assert plan.deploy([first, second], NEW)[0] == Step(Action.STAGE, ("web1",), NEW)
    assert plan.deploy([second], NEW)[0].action is Action.MIGRATE


def test_a_rollback_neither_stages_nor_migrates_nor_prunes() -> None:
    actions = {step.action for step in plan.rollback(states(2), OLD)}
    assert actions == {Action.START, Action.SWAP, Action.VERIFY, Action.STOP, Action.RECORD}


def test_a_host_goes_back_by_a_swap_where_the_old_process_still_runs() -> None:
    now = HostState("web1", NEW, f"{NEW}.2", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), ())
    assert plan.restore(now, OLD) == [Step(Action.SWAP, ("web1",), f"{OLD}.1"), Step(Action.STOP, ("web1",))]


def test_a_host_goes_back_by_a_start_where_it_does_not() -> None:
    now = HostState("web1", NEW, f"{NEW}.2", (f"{NEW}.2",), (OLD, NEW), ())
    assert [step.action for step in plan.restore(now, OLD)] == [Action.START, Action.SWAP, Action.STOP]


def test_a_host_that_was_not_switched_only_loses_the_new_process() -> None:
    now = HostState("web1", OLD, f"{OLD}.1", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), ())
    assert plan.restore(now, OLD) == [Step(Action.STOP, ("web1",))]


def test_a_host_whose_socket_and_truth_disagree_is_put_right() -> None:
    """Killed between the two renames of a swap: nginx has the new one, `current` names the old."""
    now = HostState("web1", OLD, f"{NEW}.2", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), ())
    assert plan.restore(now, OLD)[0] == Step(Action.SWAP, ("web1",), f"{OLD}.1")


def test_a_host_without_a_release_goes_back_to_none() -> None:
    now = HostState("web1", NEW, f"{NEW}.1", (f"{NEW}.1",), (NEW,), ())
    assert plan.restore(now, None) == [Step(Action.CLEAR, ("web1",))]


def test_hosts_that_agree_return_to_what_they_run_and_others_to_the_last_good_release() -> None:
    agreed = states(2)
    assert plan.homes(agreed, NEW) == {"web1": OLD, "web2": OLD}
    split = [agreed[0], HostState("web2", NEW, f"{NEW}.2", (f"{NEW}.2",), (OLD, NEW), ())]
    assert plan.homes(split, OLD) == {"web1": OLD, "web2": OLD}
    assert plan.homes(split, None) == {"web1": OLD, "web2": NEW}


def test_what_runs_or_is_kept_is_not_pruned() -> None:
    now = HostState("web1", OLD, f"{OLD}.1", (f"{OLD}.1",), ("a", "b", OLD, NEW), ())
    assert plan.prune(now, {"b"}) == ["a", NEW]


def test_a_fleet_serves_a_release_only_if_every_process_is_there_and_alone() -> None:
    fleet = states(2)
    assert plan.serves(fleet, OLD)
    assert not plan.serves(fleet, NEW)
    assert not plan.serves([*fleet, HostState("web3", OLD, f"{OLD}.1", (), (OLD,), ())], OLD)
    assert not plan.serves([HostState("web1", OLD, f"{OLD}.1", (f"{OLD}.1", f"{OLD}.2"), (OLD,), ())], OLD)
