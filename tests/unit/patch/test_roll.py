"""One host's turn, step by step, on stand-ins: what is done in which order, and what is left undone after a failure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deploy.errors import Exit, InterruptedRunError, NeedsPersonError, NexusError, UnchangedError
from deploy.patch import engine
from deploy.patch.facts import Intent, Survey, Upgrade
from deploy.patch.plan import Turn
from deploy.patch.roll import ClientsError
from deploy.release.plan import Action
from deploy.release.remote import HostError
from tests.unit.patch.stand import DATABASE, PAIRED, WEB1, WEB2, World, rolling


def due(host: str, *packages: str) -> Survey:
    return Survey(host, "b0", tuple(Upgrade(name, "1", "2") for name in packages))


def test_web_server_is_drained_quiet_upgraded_restarted_proven_and_back(world: World) -> None:
    done = rolling(world).host(WEB1, due("web1", "nginx"))
    assert world.done == [
        "intent", "spare for web1", "drain web1", "requests end", "workers end", "upgrade",
        "restart nginx.service cron.service",
        "healthy", "join", "answers", "forget",
    ]  # fmt: skip
    assert (done.packages, done.rebooted) == (("nginx",), "")
    ((steps, state),) = world.joined
    assert state.stale, "its processes are new ones: they run on what was upgraded"
    assert [step.action for step in steps] == [
        Action.BEGIN, Action.START, Action.SWAP, Action.UNDRAIN, Action.VERIFY, Action.RETIRE, Action.RECORD,
    ]  # fmt: skip


def test_only_web_server_serves_until_it_restarts(world: World) -> None:
    alone = Turn("web1", web=True, worker=True, away=("the only web server",), alone=True)
    rolling(world).host(alone, due("web1", "nginx"))
    assert world.done == [
        "intent", "upgrade", "restart nginx.service cron.service", "healthy", "join", "answers", "forget",
    ]  # fmt: skip


def test_host_with_a_new_libc_is_rebooted_and_its_release_is_there_by_itself(world: World) -> None:
    done = rolling(world).host(WEB1, due("web1", "libc6"))
    assert world.done[5:8] == ["upgrade", "reboot of b0", "reconnect web1"]
    assert not [step for step in world.done if step.startswith("restart")]
    assert done.rebooted == "libc6 changed"
    ((steps, _),) = world.joined
    assert Action.START not in [step.action for step in steps]


def test_drain_of_a_person_stays(world: World) -> None:
    world.drained = frozenset({"web1"})
    rolling(world).host(WEB1, due("web1", "nginx"))
    ((steps, _),) = world.joined
    assert Action.UNDRAIN not in [step.action for step in steps]


def test_database_is_restarted_and_the_service_waited_for(world: World) -> None:
    rolling(world).host(DATABASE, due("db1", "postgresql-17"))
    assert world.done == ["intent", "upgrade", "restart cron.service", "healthy", "answers", "forget"]


def test_floating_address_is_elsewhere_from_before_the_upgrade_until_the_balancer_answers(world: World) -> None:
    rolling(world).host(PAIRED, due("lb1", "haproxy"))
    assert world.done == [
        "intent", "address away from lb1", "upgrade", "restart cron.service", "healthy", "address back to lb1",
        "answers", "forget",
    ]  # fmt: skip


@pytest.mark.parametrize(("turn", "patient"), [(PAIRED, True), (WEB1, False), (DATABASE, False)])
def test_clients_have_to_try_again_where_an_address_moves_and_nowhere_else(
    world: World, turn: Turn, patient: bool
) -> None:
    rolling(world).host(turn, due(turn.host, "haproxy"))
    assert bool(world.patience) == patient


STEPS = [
    "spare for web1", "drain web1", "requests end", "workers end", "upgrade", "restart nginx.service cron.service",
    "healthy", "join",
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_whatever_fails_ends_the_turn_there_with_the_intent_on_the_disk(world: World, step: str) -> None:
    world.fails = step
    with pytest.raises(HostError):
        rolling(world).host(WEB1, due("web1", "nginx"))
    assert world.done[0] == "intent", "before anything else"
    assert world.done[-1] == step, "nothing more is done"


def test_nothing_is_touched_where_the_intent_cannot_be_written(world: World) -> None:
    world.fails = "intent"
    with pytest.raises(HostError):
        rolling(world).host(WEB1, due("web1", "nginx"))
    assert world.done == ["intent"]


def test_failures_that_clients_saw_end_the_roll_unless_something_was_to_be_away(world: World) -> None:
    world.failures = 3
    with pytest.raises(ClientsError, match="3 failed"):
        rolling(world).host(WEB1, due("web1", "nginx"))
    assert rolling(world).host(DATABASE, due("db1", "postgresql-17")).clients.failures == 3


def test_host_that_the_others_cannot_do_without_is_put_back_before_it_is_touched(world: World) -> None:
    world.early = 2
    with pytest.raises(ClientsError, match="do not carry the load"):
        rolling(world).host(WEB1, due("web1", "nginx"))
    assert world.done == [
        "intent", "spare for web1", "drain web1", "requests end", "workers end", "restart nginx.service", "healthy",
        "join", "answers", "forget",
    ]  # fmt: skip
    assert "upgrade" not in world.done


def test_host_that_was_half_upgraded_goes_on_whatever_clients_see(world: World) -> None:
    world.early = 2
    rolling(world).host(WEB1, Survey("web1", "b0", intent=Intent(("nginx",), "b0")))
    assert "upgrade" in world.done


def stopped(world: World, turns: Sequence[Turn]) -> NexusError:
    surveys = {turn.host: due(turn.host, "nginx") for turn in turns}
    with pytest.raises(NexusError) as caught:
        engine._roll(rolling(world), turns, surveys, "live")
    return caught.value


def test_a_stopped_roll_names_host_unit_journal_what_is_left_and_the_next_command(world: World) -> None:
    world.fails = "upgrade"
    error = stopped(world, [WEB1, WEB2])
    assert isinstance(error, NeedsPersonError)
    told = str(error)
    parts = ("web1", "stays drained", "not patched yet: web2", "it broke", "x.service", "oh", "fab patch --env live")
    assert [part for part in parts if part not in told] == []
    assert "drain web2" not in world.done


def test_host_that_nobody_could_stand_in_for_stays_as_it_is(world: World) -> None:
    world.fails = "spare for web1"
    assert "web1 stays as it is" in str(stopped(world, [WEB1]))


def test_failure_of_the_engine_is_told_in_its_own_words(world: World) -> None:
    world.fails, world.error = "join", UnchangedError("the unit did not start")
    assert "the unit did not start" in str(stopped(world, [WEB1]))


def test_interrupted_roll_says_so_and_how_it_goes_on(world: World) -> None:
    world.fails, world.error = "upgrade", KeyboardInterrupt()
    error = stopped(world, [WEB1, WEB2])
    assert isinstance(error, InterruptedRunError)
    assert error.code == Exit.INTERRUPTED
    assert "fab patch --env live goes on" in str(error)


def test_a_run_that_was_killed_is_gone_on_with_although_nothing_is_left_to_upgrade(world: World) -> None:
    left = Survey("web1", "b0", intent=Intent(("nginx",), "b0"))
    done = rolling(world).host(WEB1, left)
    assert done.packages == ("nginx",)
    assert "restart nginx.service cron.service" in world.done
