"""Pure: the state of the hosts and a release in, ordered steps out. Nothing here touches a host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Action(Enum):
    """What a step does. The value is what people read."""

    STAGE = "stage"
    MIGRATE = "migrate"
    START = "start"
    SWAP = "swap"
    VERIFY = "verify through the balancer"
    STOP = "stop the old"
    CLEAR = "back to no release"
    RECORD = "record"
    PRUNE = "prune"


@dataclass(frozen=True)
class Step:
    """One step, done on all its hosts at once; the next begins when all are done.

    argument: the release to stage, migrate, start or verify; for a swap on the way back, the activation to
    return to ("" where it is the one that this run started).
    """

    action: Action
    hosts: tuple[str, ...]
    argument: str = ""

    @property
    def title(self) -> str:
        """What people read: the action, and the host where it is one of several."""
        return f"{self.action.value} {self.hosts[0]}" if self.action is Action.SWAP else self.action.value


@dataclass(frozen=True)
class HostState:
    """What a host runs: current release, serving activation, all running activations; what it holds."""

    name: str
    current: str | None
    activation: str | None
    running: tuple[str, ...]
    releases: tuple[str, ...]
    venvs: tuple[str, ...]

    @classmethod
    def of(cls, name: str, status: Mapping[str, Any]) -> HostState:
        """From the helper's answer to `status`."""
        return cls(
            name, status["current"], status["activation"],
            tuple(status["running"]), tuple(status["releases"]), tuple(status["venvs"]),
        )  # fmt: skip

    def serving(self) -> str | None:
        """The release that nginx is pointed to, if its process is there."""
        return release_of(self.activation) if self.activation in self.running and self.activation else None


def release_of(activation: str) -> str:
    """The release that an activation runs."""
    return activation.rpartition(".")[0]


def deploy(states: Sequence[HostState], release: str) -> list[Step]:
    """The steps that bring a release to every host.

    It is staged everywhere, migrated once, started everywhere, and only then switched to, host by host, each
    proven through the balancer before the next.
    """
    hosts = tuple(state.name for state in states)
    without = tuple(state.name for state in states if release not in state.releases)
    stage = [Step(Action.STAGE, without, release)] if without else []
    return [
        *stage,
        Step(Action.MIGRATE, hosts[:1], release),
        *switch(states, release),
        Step(Action.PRUNE, hosts),
    ]


def rollback(states: Sequence[HostState], release: str) -> list[Step]:
    """The steps that bring an older release back, which every host still holds."""
    return switch(states, release)


def switch(states: Sequence[HostState], release: str) -> list[Step]:
    """Start, swap host by host, verify, end the old, record."""
    hosts = tuple(state.name for state in states)
    swaps = [step for host in hosts for step in (Step(Action.SWAP, (host,)), Step(Action.VERIFY, (host,), release))]
    return [
        Step(Action.START, hosts, release),
        *swaps[:-1],
        Step(Action.VERIFY, hosts, release),
        Step(Action.STOP, hosts),
        Step(Action.RECORD, hosts),
    ]


def serves(states: Iterable[HostState], release: str) -> bool:
    """Whether every host is switched to a release, its process is there, and nothing else runs."""
    return all(state.current == release == state.serving() and len(state.running) == 1 for state in states)


def homes(states: Sequence[HostState], last_good: str | None) -> dict[str, str | None]:
    """Where each host returns to if this run fails: the release it runs.

    Where hosts disagree, as after a killed run, it is the last good release, if the host holds it.
    """
    agreed = len({state.current for state in states}) == 1
    return {state.name: last_good if not agreed and last_good in state.releases else state.current for state in states}


def restore(now: HostState, home: str | None) -> list[Step]:
    """The steps that put one host back on its home release; nothing else runs afterwards."""
    hosts = (now.name,)
    if home is None:
        return [Step(Action.CLEAR, hosts)]
    if now.current == home == now.serving():
        return [Step(Action.STOP, hosts)]
    alive = [activation for activation in now.running if release_of(activation) == home]
    back = (
        [Step(Action.SWAP, hosts, alive[-1])] if alive else [Step(Action.START, hosts, home), Step(Action.SWAP, hosts)]
    )
    return [*back, Step(Action.STOP, hosts)]


def prune(state: HostState, keep: set[str]) -> list[str]:
    """Releases that a host may delete: neither kept nor running nor current."""
    used = {release_of(activation) for activation in state.running} | {state.current}
    return [release for release in state.releases if release not in keep | used]
