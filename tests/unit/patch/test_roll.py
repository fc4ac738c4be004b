"""One host's turn, step by step, on stand-ins: what is done in which order, and what is left undone after a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.errors import Exit, InterruptedRunError, NeedsPersonError, NexusError, PreflightError, UnchangedError
from deploy.patch import commands, engine, roll
from deploy.patch.facts import Intent, Survey, Upgrade
from deploy.patch.plan import Turn
from deploy.patch.roll import ClientsError, Roll
from deploy.release.plan import Action
from deploy.release.probe import Measurement
from deploy.release.remote import HostError
from deploy.release.report import Report
from deploy.release.state import HostState

RELEASE = "20261121T101500Z-ab12cd3"
WEB1, WEB2 = Turn("web1", web=True, worker=True), Turn("web2", web=True)
DATABASE = Turn("db1", away=("the database, a single one",))
PAIRED = Turn("lb1", balancer=True, paired=True)
KNOWN: dict[str, str] = {
    commands.QUIET_PROXY: "requests end", commands.QUIET_WORKERS: "workers end", commands.FORGET: "forget",
}  # fmt: skip


def measured(failures: int = 0) -> Measurement:
    return Measurement(20, failures, failures, 10.0, 20.0, 1500.0 if failures else 60.0, 20.0)


@dataclass
class World:
    """What happened, in order; what fails; what the hosts say after their upgrade."""

    done: list[str] = field(default_factory=list)
    fails: str = ""
    error: BaseException = field(
        default_factory=lambda: HostError("web1", "it broke", unit="x.service", journal=["oh"])
    )
    after: Survey = field(default_factory=lambda: Survey("any", "b0"))
    failures: int = 0
    drained: frozenset[str] = frozenset()
    joined: list[tuple[Sequence[Any], HostState]] = field(default_factory=list)

    def note(self, what: str) -> None:
        self.done.append(what)
        if what == self.fails:
            raise self.error


class Stand:
    """Stands for a host as the operator."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.host = SimpleNamespace(address="192.0.2.1")

    def act(self, script: str, *_: str, **__: object) -> str:
        if script in KNOWN:
            self.world.note(KNOWN[script])
        elif "intent" in script:
            self.world.note("intent")
        return "cron.service\n" if "dpkg-query" in script else ""

    def run(self, script: str, **_: object) -> tuple[int, str]:
        words = [line.split()[2] for line in script.splitlines() if line.startswith("systemctl restart")]
        self.world.note(f"restart {' '.join(words)}".strip())
        return 0, ""

    def upgrade(self) -> None:
        self.world.note("upgrade")

    def survey(self) -> Survey:
        return self.world.after

    def reboot(self, boot: str) -> None:
        self.world.note(f"reboot of {boot}")

    def healthy(self, _before: Sequence[str]) -> None:
        self.world.note("healthy")

    @staticmethod
    def wait(check: Callable[[], object], *_: object) -> None:
        assert check()


class Edge:
    """Stands for the load balancers."""

    addresses = ("192.0.2.9",)

    def __init__(self, world: World) -> None:
        self.world = world

    def spare(self, turn: Turn, _web: Sequence[str]) -> None:
        self.world.note(f"spare for {turn.host}")

    def drain(self, host: str) -> None:
        self.world.note(f"drain {host}")

    def move(self, host: Stand) -> None:
        self.world.note(f"address away from {host.name}")

    def back(self, host: Stand, _address: str) -> None:
        self.world.note(f"address back to {host.name}")

    def answers(self, _host: str) -> None:
        self.world.note("answers")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()

    def carry_out(_run: object, action: str, _release: str, steps: Sequence[Any], states: Sequence[HostState]) -> None:
        found.joined.append((steps, states[0]))
        found.note(action)

    monkeypatch.setattr(roll, "Probe", lambda *_, **__: SimpleNamespace(
        start=lambda: None, stop=lambda: measured(found.failures)))  # fmt: skip
    monkeypatch.setattr("deploy.patch.roll.conduct.carry_out", carry_out)
    return found


def rolling(world: World) -> Roll:
    names = ("web1", "web2", "db1", "lb1")
    status = {"current": RELEASE, "activation": f"{RELEASE}.1", "running": [f"{RELEASE}.1"], "warm": [],
              "stale": False, "releases": [RELEASE], "venvs": [], "statics": []}  # fmt: skip
    values = {"booking_app_drain_seconds": 10, "booking_app_processes": [{"name": "worker", "drain_seconds": 10}]}
    run: Any = SimpleNamespace(
        fleet=SimpleNamespace(need=lambda _: [SimpleNamespace(name="web1"), SimpleNamespace(name="web2")],
                              value=lambda _, name: values[name]),
        report=Report(quiet=True), settings=SimpleNamespace(ready_seconds=1),
        balancers=SimpleNamespace(port=443), standing={"lb": SimpleNamespace(drained=world.drained)},
        states=[HostState.of(name, status, processes=name == "web1") for name in ("web1", "web2")], entries=[],
        read=lambda: None,
        session=SimpleNamespace(hosts=["web1", "web2"], lease=SimpleNamespace(check=lambda: None)),
    )  # fmt: skip
    hosts: Any = {name: Stand(world, name) for name in names}
    edge: Any = Edge(world)
    found = Roll(run, edge, hosts)
    found.reconnect = lambda name: world.note(f"reconnect {name}")  # type: ignore[method-assign]
    return found


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


class Front:
    """Stands for what clients get before the roll."""

    def __init__(self, ready: bool = True) -> None:
        self.ready = lambda: ready


def admit(turns: Sequence[Turn], *, ready: bool = True, allowed: bool = False, **said: Survey) -> None:
    surveys = {turn.host: due(turn.host, "nginx") for turn in turns} | said
    front: Any = Front(ready)
    fleet: Any = SimpleNamespace(env="live")
    engine._admit(fleet, front, turns, surveys, allowed)


def test_an_outage_is_asked_for_first_and_the_others_are_offered_alone() -> None:
    with pytest.raises(PreflightError) as caught:
        admit([WEB1, DATABASE])
    assert "db1: the database, a single one" in str(caught.value)
    assert "fab patch --env live --allow-outage" in caught.value.mend
    assert "fab patch --env live --host web1" in caught.value.mend
    admit([WEB1, DATABASE], allowed=True)


def test_service_that_is_not_ready_is_not_patched_unless_an_outage_is_allowed() -> None:
    with pytest.raises(PreflightError, match="not ready"):
        admit([WEB1], ready=False)
    admit([WEB1], ready=False, allowed=True)
    admit([WEB1])


def test_no_permission_overrules_an_obstacle() -> None:
    with pytest.raises(PreflightError, match="would remove nginx"):
        admit([WEB1], allowed=True, web1=Survey("web1", "b0", removed=("nginx",)))


def test_a_run_that_was_killed_is_gone_on_with_although_nothing_is_left_to_upgrade(world: World) -> None:
    left = Survey("web1", "b0", intent=Intent(("nginx",), "b0"))
    done = rolling(world).host(WEB1, left)
    assert done.packages == ("nginx",)
    assert "restart nginx.service cron.service" in world.done
