"""The engine's side of the balancers' helper: its commands, and what is made of several balancers' answers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from deploy.errors import PreflightError
from deploy.release import balancer, commands
from deploy.release.balancer import Edge, Standing
from deploy.release.canary import Traffic
from deploy.release.remote import HostError, UnreachableError
from deploy.release.session import HostsError
from deploy.release.settings import Settings, Target
from deploy.specs import ROOT

from .fleet import SETTINGS

SUDO = ("sudo", "-n", "/usr/local/sbin/booking-balancer")
QUIET = {"on": False, "retry_after": 0, "since": None}
Fault = Callable[["FakeRemote", str], None]


class FakeRemote:
    """A balancer that remembers what it was asked."""

    known: dict[str, FakeRemote] = {}  # noqa: RUF012 - one set a test, made anew by its fixture
    fault: Fault = staticmethod(lambda remote, act: None)

    def __init__(self, target: Target, settings: Settings) -> None:
        self.name, self.acts, self.connections, self.open = target.name, list[str](), 0, False
        self.drained: list[str] = []
        self.answers: dict[str, Any] = {}
        type(self).known[target.name] = self

    def connect(self) -> None:
        type(self).fault(self, "connect")
        self.connections, self.open = self.connections + 1, True

    def call(self, command: commands.Command, timeout: float = 0) -> dict[str, Any]:
        if not self.open:
            raise UnreachableError(self.name, "not connected")
        assert command[:3] == SUDO
        self.acts.append(" ".join(command[3:]))
        type(self).fault(self, command[3])
        if command[3] == "traffic":
            return {"servers": self.answers}
        return {"drained": self.drained, "maintenance": self.answers or QUIET, "servers": {"web1": "UP"}}

    def close(self) -> None:
        self.open = False


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> Edge:
    """Two balancers."""
    FakeRemote.known = {}
    FakeRemote.fault = staticmethod(lambda remote, act: None)
    monkeypatch.setattr(balancer, "Remote", FakeRemote)
    made = Edge([Target(name, name, 22, "") for name in ("lb1", "lb2")], SETTINGS)
    made.connect()
    return made


def remotes() -> list[FakeRemote]:
    return list(FakeRemote.known.values())


def breaks(name: str, act: str, error: HostError, times: int = 1) -> Fault:
    left = [times]

    def fault(remote: FakeRemote, what: str) -> None:
        if (remote.name, what) == (name, act) and left[0]:
            left[0] -= 1
            remote.open = False
            raise error

    return fault


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (balancer.status(), ("status",)),
        (balancer.drain("web1"), ("drain", "web1")),
        (balancer.undrain("web1"), ("undrain", "web1")),
        (balancer.maintenance(True), ("maintenance", "on")),
        (balancer.maintenance(True, 300), ("maintenance", "on", "--retry-after", "300")),
        (balancer.maintenance(False, 300), ("maintenance", "off")),
        (balancer.traffic(1795241097.25), ("traffic", "--since", "1795241097.250")),
        (balancer.traffic(1.0, 2.5), ("traffic", "--since", "1.000", "--until", "2.500")),
    ],
    ids=lambda value: value[3] if value[:1] == ("sudo",) else "",
)
def test_every_command_is_one_call_that_the_helper_understands(
    command: commands.Command, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "roles/loadbalancer/files"))
    assert command == SUDO + words
    importlib.import_module("booking_balancer.cli").parser().parse_args(words)


def test_what_is_done_is_done_on_every_balancer(edge: Edge) -> None:
    edge.drain("web2")
    edge.undrain("web2")
    edge.maintenance(True, 60)
    edge.maintenance(False)
    done = ["drain web2", "undrain web2", "maintenance on --retry-after 60", "maintenance off"]
    assert [remote.acts for remote in remotes()] == [done, done]


def test_a_host_that_one_balancer_leaves_out_is_drained(edge: Edge) -> None:
    FakeRemote.known["lb1"].drained = ["web1", "web3"]
    FakeRemote.known["lb2"].drained = ["web3"]
    assert edge.drained() == {"web1", "web3"}


def test_each_balancer_tells_what_it_does(edge: Edge) -> None:
    FakeRemote.known["lb2"].answers = {"on": True, "retry_after": 60, "since": 1000}
    assert edge.status() == {
        "lb1": Standing(frozenset(), False, 0, None, {"web1": "UP"}),
        "lb2": Standing(frozenset(), True, 60, 1000, {"web1": "UP"}),
    }


def test_traffic_lists_what_each_balancer_counted_of_a_host(edge: Edge) -> None:
    counted = {"requests": 100, "errors": 3, "p50_ms": 7, "p95_ms": 40}
    none = {"requests": 0, "errors": 0, "p50_ms": None, "p95_ms": None}
    FakeRemote.known["lb1"].answers = {"web1": counted, "web2": none}
    FakeRemote.known["lb2"].answers = {"web1": counted}
    assert edge.traffic(1.0) == {
        "web1": [Traffic(100, 3, 7, 40), Traffic(100, 3, 7, 40)], "web2": [Traffic(0, 0, 0, 0)],
    }  # fmt: skip


def test_a_drain_that_one_balancer_does_not_take_is_an_error_that_names_it(edge: Edge) -> None:
    FakeRemote.fault = staticmethod(breaks("lb2", "drain", HostError("lb2", "it is the last")))
    with pytest.raises(HostsError, match="lb2: it is the last"):
        edge.drain("web1")
    assert "drain web1" in FakeRemote.known["lb1"].acts


def test_a_connection_that_broke_is_made_anew_once(edge: Edge) -> None:
    FakeRemote.fault = staticmethod(breaks("lb1", "drain", UnreachableError("lb1", "broken")))
    edge.drain("web1")
    assert FakeRemote.known["lb1"].acts == ["drain web1", "drain web1"]
    assert [remote.connections for remote in remotes()] == [2, 1]


def test_a_balancer_that_is_gone_is_an_error(edge: Edge) -> None:
    FakeRemote.fault = staticmethod(breaks("lb1", "drain", UnreachableError("lb1", "broken"), times=2))
    with pytest.raises(HostsError) as caught:
        edge.drain("web1")
    assert caught.value.unreachable()


def test_after_the_end_nothing_is_connected_again(edge: Edge) -> None:
    FakeRemote.fault = staticmethod(breaks("lb1", "drain", UnreachableError("lb1", "broken"), times=9))
    edge._closed = True  # as close() leaves it, with an act still under way
    with pytest.raises(HostsError):
        edge.drain("web1")
    assert FakeRemote.known["lb1"].acts == ["drain web1"]
    edge.close()
    assert not any(remote.open for remote in remotes())


def test_a_balancer_that_cannot_be_reached_fails_before_anything_is_done(edge: Edge) -> None:
    FakeRemote.fault = staticmethod(breaks("lb2", "connect", UnreachableError("lb2", "no route", "start it")))
    with pytest.raises(PreflightError, match="lb2: no route"):
        edge.connect()
