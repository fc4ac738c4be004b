"""Plans are pure: fleet and release in, ordered steps out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from deploy.release import plan
from deploy.release.plan import Action, Step
from deploy.release.state import HostState

from .hosts import OLDER, beside, states
from .machine import NEW, OLD


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("current", [OLD, None])
def test_nothing_is_switched_before_everything_is_staged_migrated_and_started(count: int, current: str | None) -> None:
    steps = plan.deploy(states(count, current), NEW)
    hosts = tuple(f"web{n}" for n in range(1, count + 1))
    assert steps[:4] == [
        Step(Action.BEGIN, hosts, NEW), Step(Action.STAGE, hosts, NEW), Step(Action.MIGRATE, ("web1",), NEW),
        Step(Action.START, hosts, NEW),
    ]  # fmt: skip
    assert [step.action for step in steps[-5:]] == [
        Action.VERIFY, Action.MEASURE, Action.RETIRE, Action.RECORD, Action.PRUNE,
    ]  # fmt: skip
    assert [step.hosts for step in steps if step.action is Action.SWAP] == [(host,) for host in hosts]


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_each_switch_is_proven_before_the_next(count: int) -> None:
    steps = plan.deploy(states(count), NEW)
    for step, following in pairwise(steps):
        if step.action is Action.SWAP:
            assert following.action is Action.VERIFY
    assert len(steps[-5].hosts) == count, "the last proof is for all hosts"


@pytest.mark.parametrize("kind", plan.steps_of(states(2), NEW))
def test_what_begins_is_written_down_before_anything_else_and_how_it_ended_after_the_old_has_ended(kind: str) -> None:
    actions = [step.action for step in plan.steps_of(states(3), NEW, OLDER)[kind]]
    assert actions[0] is Action.BEGIN
    assert actions.index(Action.RECORD) == actions.index(Action.RETIRE) + 1
    assert actions[-1] in (Action.RECORD, Action.PRUNE)


def test_every_kind_of_step_is_in_some_plan() -> None:
    found = {step.action for steps in plan.steps_of(states(3), NEW).values() for step in steps}
    assert found == set(Action) - {Action.CLEAR}, "only a failed first release goes back to none"


def test_the_release_before_stays_warm_as_long_as_was_asked() -> None:
    retire = next(step for step in plan.deploy(states(2), NEW, warm=900) if step.action is Action.RETIRE)
    assert (retire.activations, retire.seconds) == ({"web1": f"{OLD}.1", "web2": f"{OLD}.1"}, 900)
    cold = next(step for step in plan.deploy(states(2), NEW, warm=0) if step.action is Action.RETIRE)
    assert (cold.activations, cold.seconds) == ({}, 0)


@pytest.mark.parametrize(
    "state", [replace(states(1)[0], stale=True), replace(states(1)[0], running=()), states(1, None)[0]]
)
def test_what_could_not_serve_again_is_not_kept_warm(state: HostState) -> None:
    retire = next(step for step in plan.deploy([state], NEW, warm=900) if step.action is Action.RETIRE)
    assert retire.activations == {}


def test_hosts_without_a_web_server_keep_nothing_warm_and_are_not_asked_for() -> None:
    steps = plan.deploy(states(3, jobs=1), NEW, warm=900)
    assert set(next(step for step in steps if step.action is Action.RETIRE).activations) == {"web1", "web2"}
    assert all("web3" not in step.hosts for step in steps if step.action is Action.VERIFY)
    assert [step.hosts for step in steps if step.action is Action.SWAP] == [("web1",), ("web2",), ("web3",)]


def test_a_drained_host_takes_part_but_is_not_asked_for() -> None:
    first, second = states(2)
    steps = plan.deploy([first, replace(second, drained=True)], NEW)
    assert [step.hosts for step in steps if step.action is Action.SWAP] == [("web1",), ("web2",)]
    assert {step.hosts for step in steps if step.action is Action.VERIFY} == {("web1",)}


def test_the_first_host_is_watched_alone_before_any_other_is_switched() -> None:
    actions = [step.action for step in plan.deploy(states(3), NEW, canary=True)]
    assert actions.count(Action.CANARY) == 1
    at = actions.index(Action.CANARY)
    assert actions[at - 2 : at] == [Action.SWAP, Action.VERIFY]
    assert actions[:at].count(Action.SWAP) == 1
    assert Action.CANARY not in [step.action for step in plan.deploy(states(3), NEW)]


def test_hosts_that_are_left_out_are_drained_before_anything_changes() -> None:
    steps = plan.deploy(states(2), NEW, without=["web3"])
    assert steps[1] == Step(Action.DRAIN, ("web3",))
    assert all("web3" not in step.hosts for step in steps[2:])


def test_a_host_that_holds_the_release_is_not_staged_again() -> None:
    first, second = states(2)
    second = replace(second, releases=(OLD, NEW))
    assert plan.deploy([first, second], NEW)[1] == Step(Action.STAGE, ("web1",), NEW)
    assert plan.deploy([second], NEW)[1].action is Action.MIGRATE


def test_without_a_new_migration_none_is_run() -> None:
    assert Action.MIGRATE not in {step.action for step in plan.deploy(states(2), NEW, migrate=False)}


def test_a_warm_rollback_is_one_switch_of_all_hosts_and_starts_nothing() -> None:
    warm = [beside(one, f"{OLDER}.0") for one in states(3)]
    steps = plan.rollback(warm, OLDER)
    hosts = ("web1", "web2", "web3")
    assert [step.action for step in steps] == [
        Action.BEGIN, Action.SWAP, Action.VERIFY, Action.MEASURE, Action.RETIRE, Action.RECORD,
    ]  # fmt: skip
    assert steps[1] == Step(Action.SWAP, hosts, "", dict.fromkeys(hosts, f"{OLDER}.0"))


def test_a_rollback_starts_what_is_not_warm_and_the_processes_beside_what_is() -> None:
    first, second, third = states(3)
    some = [beside(first, f"{OLDER}.0"), second, beside(third, f"{OLDER}.0", processes=True)]
    start, swap, work = plan.rollback(some, OLDER)[1:4]
    assert start == Step(Action.START, ("web2",), OLDER)
    assert swap == Step(Action.SWAP, ("web1", "web2", "web3"), "", {"web1": f"{OLDER}.0", "web3": f"{OLDER}.0"})
    assert work == Step(Action.START, ("web3",), OLDER, {"web3": f"{OLDER}.0"}), "web comes first"


def test_a_rollback_that_was_killed_after_its_switch_is_finished_with_its_processes() -> None:
    served = [replace(one, processes=True) for one in states(2, NEW)]
    first = plan.finish(served, NEW, "rollback")[0]
    assert first == Step(Action.START, ("web1", "web2"), NEW, {one.name: str(one.activation) for one in served})
    assert Action.START not in {step.action for step in plan.finish(served, NEW, "deploy")}, "there they came first"


def test_a_rollback_neither_stages_nor_migrates_nor_prunes() -> None:
    actions = {step.action for step in plan.rollback(states(2), OLDER)}
    assert not actions & {Action.STAGE, Action.MIGRATE, Action.PRUNE}


def test_a_rollback_that_cannot_ask_the_database_ends_the_old_before_the_proof() -> None:
    actions = [
        step.action for step in plan.rollback([beside(one, f"{OLDER}.0") for one in states(3)], OLDER, blind=True)
    ]
    assert actions == [Action.BEGIN, Action.SWAP, Action.RETIRE, Action.VERIFY, Action.MEASURE, Action.RECORD]


def test_a_restart_replaces_processes_host_by_host_and_keeps_another_release_warm() -> None:
    warm = [beside(one, f"{OLDER}.0", stale=True) for one in states(2)]
    steps = plan.restart(warm, OLD, warm=900)
    assert [step.action for step in steps if step.action in (Action.START, Action.SWAP)] == [
        Action.START, Action.SWAP, Action.SWAP,
    ]  # fmt: skip
    retire = next(step for step in steps if step.action is Action.RETIRE)
    assert retire.activations == {"web1": f"{OLDER}.0", "web2": f"{OLDER}.0"}


def test_a_host_joins_by_a_start_and_gets_traffic_before_it_is_proven() -> None:
    actions = [step.action for step in plan.join(states(1, None)[0], NEW, ["web1", "web2"], OLD)]
    assert actions == [
        Action.BEGIN, Action.STAGE, Action.STAGE, Action.START, Action.SWAP, Action.UNDRAIN, Action.VERIFY,
        Action.RETIRE, Action.RECORD,
    ]  # fmt: skip


def test_a_host_that_serves_the_release_already_only_gets_its_traffic_back() -> None:
    actions = [step.action for step in plan.join(states(1)[0], OLD, ["web1"])]
    assert actions == [Action.BEGIN, Action.UNDRAIN, Action.VERIFY, Action.RETIRE, Action.RECORD]


def test_a_host_goes_back_by_a_swap_where_the_old_process_still_runs() -> None:
    now = HostState("web1", NEW, f"{NEW}.2", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), ())
    back = {"web1": f"{OLD}.1"}
    assert plan.restore(now, OLD) == [Step(Action.SWAP, ("web1",), "", back), Step(Action.RETIRE, ("web1",))]


def test_worker_processes_that_ended_are_there_again_before_a_host_goes_back() -> None:
    now = HostState("web1", NEW, f"{NEW}.2", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), (), processes=True)
    back = {"web1": f"{OLD}.1"}
    assert plan.restore(now, OLD)[:2] == [
        Step(Action.START, ("web1",), OLD, back), Step(Action.SWAP, ("web1",), "", back),
    ]  # fmt: skip


def test_a_host_goes_back_by_a_start_where_it_does_not() -> None:
    now = HostState("web1", NEW, f"{NEW}.2", (f"{NEW}.2",), (OLD, NEW), ())
    assert [step.action for step in plan.restore(now, OLD)] == [Action.START, Action.SWAP, Action.RETIRE]


def test_a_host_that_was_not_switched_only_loses_the_new_process() -> None:
    now = HostState("web1", OLD, f"{OLD}.1", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), (), warm=(f"{NEW}.2",))
    assert plan.restore(now, OLD, failed=NEW, warm=900) == [Step(Action.RETIRE, ("web1",))]


def test_what_was_warm_before_a_failed_deploy_stays_warm() -> None:
    warm = (f"{OLDER}.1", f"{NEW}.3")
    now = HostState("web1", OLD, f"{OLD}.2", (f"{OLD}.2", *warm), (OLD, NEW), (), warm=warm)
    end = plan.restore(now, OLD, failed=NEW, warm=900)[-1]
    assert (end.activations, end.seconds) == ({"web1": f"{OLDER}.1"}, 900)


def test_a_host_of_a_failed_restart_goes_back_to_the_process_that_served() -> None:
    now = HostState("web1", OLD, f"{OLD}.2", (f"{OLD}.1", f"{OLD}.2"), (OLD,), ())
    assert plan.restore(now, OLD, was=f"{OLD}.1")[0] == Step(Action.SWAP, ("web1",), "", {"web1": f"{OLD}.1"})


def test_a_host_whose_socket_and_truth_disagree_is_put_right() -> None:
    """Killed between the two renames of a swap: nginx has the new one, `current` names the old."""
    now = HostState("web1", OLD, f"{NEW}.2", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), ())
    assert plan.restore(now, OLD)[0] == Step(Action.SWAP, ("web1",), "", {"web1": f"{OLD}.1"})


def test_a_host_without_a_release_goes_back_to_none() -> None:
    now = HostState("web1", NEW, f"{NEW}.1", (f"{NEW}.1",), (NEW,), ())
    assert plan.restore(now, None) == [Step(Action.CLEAR, ("web1",))]
