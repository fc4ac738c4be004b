"""What a host says of itself, typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HostState:
    """What a host runs: current release, serving activation, all running activations; what it holds.

    venvs: names of the dependencies it holds; statics: the sha256 of the static files of its releases.
    warm: running activations beside the serving one whose web server could be switched to at once. stale: the
    serving one was started with other settings than the host has now. web: it has a web server. processes: it has
    worker processes. drained: the balancers leave it out.
    """

    name: str
    current: str | None
    activation: str | None
    running: tuple[str, ...]
    releases: tuple[str, ...]
    venvs: tuple[str, ...]
    warm: tuple[str, ...] = ()
    stale: bool = False
    web: bool = True
    processes: bool = False
    drained: bool = False
    statics: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, name: str, status: Mapping[str, Any], *, web: bool = True, processes: bool = False, drained: bool = False
    ) -> HostState:
        """From the helper's answer to `status`, and from what the inventory and the balancers say of the host."""
        return cls(
            name, status["current"], status["activation"],
            tuple(status["running"]), tuple(status["releases"]), tuple(status["venvs"]),
            tuple(status["warm"]), bool(status["stale"]), web, processes, drained, tuple(status["statics"]),
        )  # fmt: skip

    @property
    def asked(self) -> bool:
        """Whether the balancers hand requests to it."""
        return self.web and not self.drained

    def serving(self) -> str | None:
        """The release that nginx is pointed to, if its process is there."""
        return release_of(self.activation) if self.activation in self.running and self.activation else None

    def usable(self) -> str:
        """The serving activation, if one could come back to it; "" if it is not there, or has outdated settings."""
        return self.activation if self.activation and self.serving() and not self.stale else ""

    def warm_of(self, release: str) -> str:
        """The activation of a release that could be switched to at once; "" for none."""
        return newest(name for name in self.warm if release_of(name) == release)


def release_of(activation: str) -> str:
    """The release that an activation runs."""
    return activation.rpartition(".")[0]


def newest(activations: Iterable[str]) -> str:
    """The activation that was started last, by its number; "" of none."""
    return max(activations, key=lambda name: int(name.rpartition(".")[2]), default="")


def serves(states: Iterable[HostState], release: str) -> bool:
    """Whether every host is switched to a release, its process is there, and nothing runs but what is kept warm."""
    return all(
        state.current == release == state.serving() and set(state.running) <= {state.activation, *state.warm}
        for state in states
    )


def homes(states: Sequence[HostState], last_good: str | None) -> dict[str, str | None]:
    """Where each host returns to if this run fails: the release it runs.

    Where hosts disagree it is the last good release, if the host holds it.
    """
    agreed = len({state.current for state in states}) == 1
    return {state.name: last_good if not agreed and last_good in state.releases else state.current for state in states}


def prune(state: HostState, keep: set[str]) -> list[str]:
    """Releases that a host may delete: neither kept nor running nor current."""
    used = {release_of(activation) for activation in state.running} | {state.current}
    return [release for release in state.releases if release not in keep | used]


def majority(here: int, all_of_them: int) -> bool:
    """Whether what is here is more than half of the fleet."""
    return 2 * here > all_of_them
