"""The controller is killed at every step of every plan; the next command leaves one release everywhere.

The steps are those of the plans themselves, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from deploy.errors import Exit
from deploy.release import engine, ledger, plan, recovery, rollout
from deploy.release.canary import Traffic
from deploy.release.plan import Step
from deploy.release.remote import UnreachableError
from deploy.release.state import HostState

from .fleet import FakeHost, Killed, failed, serves, well
from .front import FakeEdge
from .machine import NEW, OLD

OLDEST, NEWEST = "20251231T000000Z-0000000", "20260103T000000Z-0000003"


def state(name: str, *, web: bool = True, processes: bool = False) -> HostState:
    """A host that serves the old release."""
    return HostState(
        name, OLD, f"{OLD}.1", (f"{OLD}.1",), (OLD,), (), warm=(f"{OLDEST}.1",) if web else (), web=web,
        processes=processes,
    )  # fmt: skip


FLEETS = {
    "fleet": [state("web1"), state("web2"), state("web3")],
    "mixed": [state("web1"), state("web2", processes=True), state("jobs1", web=False, processes=True)],
}
CASES = [
    pytest.param(fleet, kind, number, when, id=f"{fleet}-{kind}-{number}-{step.action.name}-{when}")
    for fleet, states in FLEETS.items()
    for kind, steps in plan.steps_of(states, NEW, OLDEST).items()
    for number, step in enumerate(steps)
    for when in ("before", "amid", *(["after"] if step is steps[-1] else []))
]
AMID = [case for case in CASES if case.values[1] != "join" and case.values[3] == "amid"]
RUNS: dict[str, Callable[[], Any]] = {
    "deploy": lambda: engine.deploy("test", NEW),
    "canary": lambda: engine.deploy("test", NEW, canary=0.01),
    "deploy without a host": lambda: engine.deploy("test", NEW, without=["web1"]),
    "restart": lambda: engine.restart("test"),
    "rollback": lambda: engine.rollback("test"),
    "join": lambda: engine.join("test", "web1"),
}


class Axe:
    """Kills the controller in a step: before it, when the first host has done its part, or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, when: str) -> None:
        self.dead = self.amid = False
        self.seen: list[Step] = []
        act = rollout.Rollout._act

        def acting(this: rollout.Rollout, step: Step) -> str:
            here = len(self.seen) == number
            self.seen.append(step)
            if here and when == "before":
                self.fall()
            self.amid = here and when == "amid"
            answer = act(this, step)
            if here:
                self.fall()
            return answer

        monkeypatch.setattr(rollout.Rollout, "_act", acting)
        FakeHost.faults, FakeHost.after = self.fault, self.after

    def fall(self) -> None:
        """Now."""
        self.dead = True
        raise Killed

    def fault(self, host: str, act: str) -> None:
        """Nothing that the dead would still do gets through: neither its lock is freed, nor anything put back."""
        if self.dead:
            raise UnreachableError(host, "killed")

    def after(self, host: str, act: str) -> None:
        """The first host of the step has done its part."""
        if self.amid and not self.dead:
            self.fall()


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, str], list[Step]]:
    """Runs a command and kills it in a step; answers the steps that it began."""

    def run(kind: str, number: int, when: str) -> list[Step]:
        FakeHost.migrations = {NEW: {"shop.0002_more": {"class": "expand", "since": ""}}}
        FakeEdge.seen = {name: [Traffic(500, 0, 5.0, 9.0)] for name in FakeHost.known}
        with monkeypatch.context() as patch:
            axe = Axe(patch, number, when)
            with pytest.raises(Killed):
                RUNS[kind]()
        well()
        for host in FakeHost.known.values():
            if host.lock:
                host.lock["expired"] = True
        return axe.seen

    return run


def prepare(request: pytest.FixtureRequest, fixture: str, kind: str) -> dict[str, FakeHost]:
    """A fleet with a history, in which the kind of run makes sense."""
    fleet: dict[str, FakeHost] = request.getfixturevalue(fixture)
    engine.deploy("test", OLDEST)
    engine.deploy("test", OLD)
    if kind == "join":
        engine.deploy("test", NEW, without=["web1"])
    return fleet


def outcomes(fleet: dict[str, FakeHost]) -> list[str]:
    """How the ledger says that runs ended, oldest first."""
    return [entry.outcome for entry in ledger.merge(host.ledger for host in fleet.values())]


@pytest.mark.parametrize(("fixture", "kind", "number", "when"), CASES)
def test_killed_at_any_step_the_next_deploy_leaves_one_release_everywhere(
    request: pytest.FixtureRequest, killed: Any, fixture: str, kind: str, number: int, when: str
) -> None:
    fleet = prepare(request, fixture, kind)
    seen = killed(kind, number, when)
    assert len(seen) == number + 1, "the run has the steps of the plan"
    engine.deploy("test", NEWEST)
    assert serves(fleet) == {NEWEST}
    assert set(outcomes(fleet)) <= {"good", "undone"}, "nothing is left begun"
    drained = {"web1"} if (kind == "deploy without a host" and number) or (kind == "join") else set()
    assert drained >= FakeEdge.drained_hosts


@pytest.mark.parametrize(("fixture", "kind", "number", "when"), AMID)
def test_killed_at_any_step_the_next_rollback_leaves_one_release_everywhere(
    request: pytest.FixtureRequest, killed: Any, fixture: str, kind: str, number: int, when: str
) -> None:
    fleet = prepare(request, fixture, kind)
    killed(kind, number, when)
    if {host.current for host in fleet.values()} == {OLDEST}:  # the rollback was all but done: it is finished
        assert failed(engine.rollback, "test").code == Exit.ROLLBACK_REFUSED
    else:
        engine.rollback("test")
    assert len(serves({name: host for name, host in fleet.items() if name not in FakeEdge.drained_hosts})) == 1


@pytest.mark.parametrize("number", range(0, 60, 4))
@pytest.mark.parametrize("step", [4, 6, 9])
def test_killed_again_while_a_killed_run_is_put_right(
    fleet: dict[str, FakeHost], killed: Any, step: int, number: int
) -> None:
    engine.deploy("test", OLD)
    killed("deploy", step, "amid")
    calls = itertools.count()
    dead = False

    def fault(host: str, act: str) -> None:
        nonlocal dead
        if dead:
            raise UnreachableError(host, "killed")
        if next(calls) == number:
            dead = True
            raise Killed

    FakeHost.faults = fault
    with contextlib.suppress(Killed):
        engine.deploy("test", NEW)
    well()
    for host in fleet.values():
        if host.lock:
            host.lock["expired"] = True
    engine.deploy("test", NEWEST)
    assert serves(fleet) == {NEWEST}
    assert set(outcomes(fleet)) <= {"good", "undone"}


def test_control_a_killed_run_that_nobody_puts_right_leaves_two_releases(
    fleet: dict[str, FakeHost], killed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.deploy("test", OLD)
    killed("deploy", 6, "before")
    assert {host.current for host in fleet.values()} == {OLD, NEW}
    monkeypatch.setattr(recovery, "recover", lambda rollout: "left as it is")
    assert "do not serve the same release" in str(failed(engine.restart, "test"))


def test_what_was_put_right_is_said(fleet: dict[str, FakeHost], killed: Any) -> None:
    engine.deploy("test", OLD)
    killed("deploy", 6, "before")
    notes = engine.deploy("test", NEW).notes
    assert any("is undone" in note and NEW in note for note in notes)


def test_a_run_that_was_killed_when_it_served_everywhere_is_finished(fleet: dict[str, FakeHost], killed: Any) -> None:
    engine.deploy("test", OLD)
    steps = killed("deploy", 9, "after")
    assert steps[-1].action is plan.Action.VERIFY
    summary = engine.deploy("test", NEW)
    assert not summary.changed
    assert any("is finished" in note for note in summary.notes)
    assert outcomes(fleet) == ["good", "good"]
    assert fleet["web1"].warm_for, "the release before stays warm, as after any deploy"


def test_a_rollback_that_was_killed_after_its_switch_is_finished_where_settings_have_changed_since(
    mixed: dict[str, FakeHost], killed: Any
) -> None:
    """What was warm cannot have its processes any more: its host is switched to a new activation, which has them."""
    engine.deploy("test", OLD)
    engine.deploy("test", NEW)
    steps = [step.action for step in plan.steps_of(FLEETS["mixed"], NEW, OLDEST)["rollback"]]
    killed("rollback", steps.index(plan.Action.SWAP), "after")
    mixed["web2"].settings_version = 2
    summary = engine.deploy("test", OLD)
    assert any("is finished" in note for note in summary.notes)
    assert serves(mixed) == {OLD}
    assert mixed["web2"].works == [mixed["web2"].activation]
