"""Stand-ins for what a roll acts on: a host, the load balancers, a run of the engine; and what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from deploy.patch import commands
from deploy.patch.facts import Survey
from deploy.patch.plan import Turn
from deploy.patch.roll import Roll
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
    early: int = 0  # of those, the ones before the host was touched
    patience: float = 0  # of the clients that were measured
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
