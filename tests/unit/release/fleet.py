"""Stand-ins for hosts and balancers, so that a whole run can be tried, and broken, without a host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from deploy.errors import NexusError
from deploy.release import commands, plan
from deploy.release.remote import HostError, UnreachableError
from deploy.release.settings import Settings, Target
from deploy.release.verify import VerifyError

SETTINGS = Settings(
    env="test", domain="booking.example", keep=3, allow_dirty=False, python="python3.13",
    python_version="3.13", platform="x86_64-manylinux_2_28", ca_file="", known_hosts_file="",
    connect_seconds=1, verify_seconds=0, ready_seconds=1,
)  # fmt: skip
Fault = Callable[[str, str], None]


class FakeHost:
    """One host: does what the helper would do, in memory. Takes the place of Remote."""

    faults: Fault = staticmethod(lambda host, act: None)
    known: dict[str, FakeHost] = {}  # noqa: RUF012 - one fleet a test, reset by its fixture

    def __init__(self, target: Target, settings: Settings) -> None:
        self.target, self.name = target, target.name
        self.current: str | None = None
        self.activation: str | None = None
        self.running: list[str] = []
        self.releases: list[str] = []
        self.ledger: list[dict[str, Any]] = []
        self.lock: dict[str, Any] | None = None
        self.number = 0
        self.acts: list[str] = []

    def connect(self) -> None:
        """Nothing to do, unless a fault is set."""
        type(self).faults(self.name, "connect")

    def call(self, command: commands.Command, stream: Iterable[bytes] = (), timeout: float = 0) -> dict[str, Any]:
        """Do one act of the helper."""
        act, *words = command[3:]
        sent = b"".join(stream)
        if words[:1] == ["--token"]:
            assert self.lock is not None
            assert int(words[1]) == self.lock["token"], "an act without the lock"
            words = words[2:]
        if act not in ("status", "lock", "unlock"):
            self.acts.append(act)
        type(self).faults(self.name, act)
        answer: dict[str, Any] = getattr(self, f"do_{act.replace('-', '_')}")(words, sent)
        return answer

    def abort(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""

    def do_status(self, words: list[str], sent: bytes) -> dict[str, Any]:
        return {
            "current": self.current, "activation": self.activation, "running": list(self.running),
            "releases": list(self.releases), "venvs": [], "ledger": list(self.ledger), "lock": self.lock,
        }  # fmt: skip

    def do_lock(self, words: list[str], sent: bytes) -> dict[str, Any]:
        replace = int(words[1]) if words[0] == "--replace" else None
        if self.lock and self.lock["token"] != replace:
            return {"held": self.lock}
        self.lock = {"token": (replace or 6) + 1, "owner": json.loads(words[-1])}
        return {"token": self.lock["token"]}

    def do_unlock(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.lock = None
        return {"released": True}

    def do_stage(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.releases.append(words[-1])
        return {"staged": True}

    def do_migrate(self, words: list[str], sent: bytes) -> dict[str, Any]:
        return {"migrated": ["shop.0002_more"]}

    def do_start(self, words: list[str], sent: bytes) -> dict[str, Any]:
        assert words[0] in self.releases
        self.number += 1
        self.running.append(f"{words[0]}.{self.number}")
        return {"activation": self.running[-1]}

    def do_swap(self, words: list[str], sent: bytes) -> dict[str, Any]:
        assert words[0] in self.running
        self.activation, self.current = words[0], plan.release_of(words[0])
        return {"previous": None}

    def do_stop_others(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.running = [name for name in self.running if name == self.activation]
        return {"stopped": []}

    def do_clear(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.current, self.activation, self.running = None, None, []
        return {"stopped": []}

    def do_record(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.ledger.append(json.loads(sent))
        return {"recorded": ""}

    def do_remove(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.releases = [name for name in self.releases if name not in words]
        return {"removed": words}


class FakeBalancers:
    """A balancer in front of the fake hosts."""

    def __init__(self, addresses: list[str], settings: Settings) -> None:
        self.addresses = addresses

    def preflight(self) -> None:
        """It is there."""

    def shows(self, release: str, hosts: int, everywhere: bool) -> None:
        """Look at the hosts."""
        FakeHost.faults("balancer", "shows")
        found = [host.current for host in FakeHost.known.values()]
        if not (set(found) == {release} if everywhere else release in found):
            raise VerifyError(f"the balancer shows {found}, not {release}")

    def close(self) -> None:
        """Nothing is open."""


def breaks(host: str, act: str, error: BaseException | None = None, times: int = 1) -> Fault:
    """A fault: the act fails on the host, that many times."""
    left = [times]

    def fault(name: str, what: str) -> None:
        if (name, what) == (host, act) and left[0]:
            left[0] -= 1
            raise error or HostError(name, f"{act} is broken", unit="booking-web@x", journal=["Boom"])

    return fault


def lost(host: str) -> Fault:
    """A fault: the host does not answer at all."""

    def fault(name: str, what: str) -> None:
        if name == host:
            raise UnreachableError(name, "no connection")

    return fault


def serves(fleet: dict[str, FakeHost]) -> set[str | None]:
    """What the hosts serve; also that nothing else runs and that no lock is left."""
    for host in fleet.values():
        assert host.running == ([host.activation] if host.activation else []), f"{host.name} runs more"
        assert host.lock is None, f"the lock of {host.name} is left"
    return {host.current for host in fleet.values()}


def failed(call: Any, *arguments: str) -> NexusError:
    """The error that a run ends with."""
    with pytest.raises(NexusError) as caught:
        call(*arguments)
    return caught.value
