"""Stand-ins for hosts, so that a whole run can be tried, and broken, without one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from deploy.errors import NexusError
from deploy.release import commands
from deploy.release.remote import FencedError, HostError, UnreachableError
from deploy.release.settings import Settings, Target
from deploy.release.state import release_of

SETTINGS = Settings(
    env="test", domain="booking.example", keep=3, allow_dirty=False, python="python3.13",
    python_version="3.13", platform="x86_64-manylinux_2_28", ca_file="", known_hosts_file="",
    connect_seconds=1, verify_seconds=0, ready_seconds=1, lease_seconds=60, warm_seconds=900,
)  # fmt: skip
FREE = {"status", "lock", "unlock", "preflight", "database"}  # acts without a token
Fault = Callable[[str, str], None]


class Killed(BaseException):
    """The controller is gone: nothing of it runs any more."""


class FakeHost:
    """One host: does what the helper would do, in memory. Takes the place of Remote.

    Its control: a host that served once and then has nothing that serves fails the test at once, unless it was
    told to go back to no release.
    """

    faults: Fault = staticmethod(lambda host, act: None)
    after: Fault = staticmethod(lambda host, act: None)
    known: dict[str, FakeHost] = {}  # noqa: RUF012 - one fleet a test, reset by its fixture
    migrations: dict[str, dict[str, dict[str, str]]] = {}  # noqa: RUF012 - by release; likewise
    applied: list[str] = []  # noqa: RUF012 - the database's; likewise
    away = False  # the database: nothing is ready, and nobody can ask it
    migrating = 0  # how many more answers of the database say that a migration is under way

    def __init__(self, target: Target, settings: Settings, *, web: bool = True, processes: bool = False) -> None:
        self.target, self.name, self.web, self.processes = target, target.name, web, processes
        self.settings = settings
        self.calls: list[tuple[list[str], float]] = []  # words of every act, and how long its answer was waited for
        self.current: str | None = None
        self.activation: str | None = None
        self.webs: list[str] = []  # activations whose web server is up
        self.works: list[str] = []  # activations whose processes are up
        self.made_with: dict[str, int] = {}  # activation -> version of the settings
        self.settings_version = 1
        self.releases: list[str] = []
        self.ledger: list[dict[str, Any]] = []
        self.lock: dict[str, Any] | None = None
        self.number, self.token, self.words_token = 0, 6, 0
        self.acts: list[str] = []
        self.warm_for: dict[str, int] = {}
        self.silent: list[str] = []  # moments without anything that serves
        self._one = threading.Lock()

    @property
    def running(self) -> list[str]:
        """Activations of which anything runs, in the order of their starts."""
        return sorted({*self.webs, *self.works}, key=lambda name: int(name.rpartition(".")[2]))

    def connect(self, most: float = 0) -> None:
        """Nothing to do, unless a fault is set."""
        type(self).faults(self.name, "connect")

    reconnect = connect

    def idle(self) -> bool:
        """Nothing is under way."""
        return True

    def call(self, command: commands.Command, stream: Iterable[bytes] = (), timeout: float = 0) -> dict[str, Any]:
        """Do one act of the helper."""
        act, *words = command[3:]
        sent = b"".join(stream)
        self.calls.append(([act, *words], timeout))
        type(self).faults(self.name, act)
        with self._one:
            if words[:1] == ["--token"]:
                self.words_token = token = int(words[1])
                words = words[2:]
                mine = self.lock is not None and self.lock["token"] == token and not self.lock["expired"]
                if act not in FREE and not mine:
                    raise FencedError(self.name, "the lock of this host belongs to another")
            if act not in (*FREE, "beat", "renew"):
                self.acts.append(act)
            served = self.serves()
            answer: dict[str, Any] = getattr(self, f"do_{act}")(words, sent)
            if served and act != "clear" and not self.serves():
                self.silent.append(act)
        type(self).after(self.name, act)
        return answer

    def serves(self) -> bool:
        """Whether what is switched to runs."""
        return self.activation in (self.webs if self.web else self.works)

    def greet(self) -> None:
        """It is there already."""

    def abort(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is open."""

    def do_status(self, words: list[str], sent: bytes) -> dict[str, Any]:
        fresh = [name for name in self.webs if self.made_with[name] == self.settings_version]
        return {
            "current": self.current, "activation": self.activation, "running": self.running,
            "warm": [name for name in fresh if name != self.activation and name not in self.works],
            "stale": bool(self.activation) and self.made_with.get(str(self.activation)) != self.settings_version,
            "releases": list(self.releases), "venvs": [], "statics": [], "ledger": list(self.ledger), "lock": self.lock,
            "migrations": {release: FakeHost.migrations.get(release, {}) for release in self.releases},
            "intent": None, "free_bytes": 10**10,
        }  # fmt: skip

    def do_lock(self, words: list[str], sent: bytes) -> dict[str, Any]:
        replace = int(words[1]) if words[0] == "--replace" else None
        if self.lock and self.lock["token"] != replace and not self.lock.get("expired"):
            return {"held": self.lock}
        self.token += 1
        self.lock = {"token": self.token, "owner": json.loads(words[-1]), "expired": False}
        return {"token": self.token, "settled": None}

    def do_beat(self, words: list[str], sent: bytes) -> dict[str, Any]:
        return {"beaten": True}

    def do_renew(self, words: list[str], sent: bytes) -> dict[str, Any]:
        assert self.lock is not None
        self.token += 1
        self.lock["token"] = self.token
        return {"token": self.token}

    def do_unlock(self, words: list[str], sent: bytes) -> dict[str, Any]:
        mine = self.lock is not None and self.lock["token"] == self.words_token
        self.lock = None if mine else self.lock
        return {"released": mine}

    def do_preflight(self, words: list[str], sent: bytes) -> dict[str, Any]:
        return {}

    def do_database(self, words: list[str], sent: bytes) -> dict[str, Any]:
        if FakeHost.away:
            raise HostError(self.name, "the database could not be asked", journal=["too many clients already"])
        FakeHost.migrating -= 1
        return {
            "applied": list(FakeHost.applied), "max_connections": 100, "reserved": 3, "connections": 1, "long": [],
            "migrating": FakeHost.migrating >= 0,
        }  # fmt: skip

    def do_stage(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.releases = sorted({*self.releases, words[-1]})
        return {"staged": True}

    def do_migrate(self, words: list[str], sent: bytes) -> dict[str, Any]:
        new = [name for name in FakeHost.migrations.get(words[0], {}) if name not in FakeHost.applied]
        FakeHost.applied += new
        return {"migrated": new}

    def do_start(self, words: list[str], sent: bytes) -> dict[str, Any]:
        assert words[-1] in self.releases
        if words[0] == "--reuse":
            fresh = self.web and words[1] in self.webs and self.made_with[words[1]] == self.settings_version
            if not fresh:
                raise HostError(self.name, f"{words[1]} is not warm any more")
            activation = words[1]
        else:
            self.number += 1
            activation = f"{words[0]}.{self.number}"
            self.made_with[activation] = self.settings_version
            self.webs += [activation] if self.web else []
        self.works += [activation] if self.processes and activation not in self.works else []
        return {"activation": activation, "seconds": 0.1}

    def do_swap(self, words: list[str], sent: bytes) -> dict[str, Any]:
        if words[0] not in (self.webs if self.web else self.works):
            raise HostError(self.name, f"{words[0]} is not ready, nothing was switched")
        before, self.activation, self.current = self.activation, words[0], release_of(words[0])
        return {"previous": before}

    def do_retire(self, words: list[str], sent: bytes) -> dict[str, Any]:
        warm = words[1] if words[:1] == ["--warm"] and words[1] in self.webs else None
        self.warm_for = {warm: int(words[3])} if warm else {}
        self.webs = [name for name in self.webs if name in (self.activation, warm)]
        self.works = [name for name in self.works if name == self.activation]
        return {"stopped": [], "warm": warm}

    def do_clear(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.current, self.activation, self.webs, self.works = None, None, [], []
        return {"stopped": []}

    def do_record(self, words: list[str], sent: bytes) -> dict[str, Any]:
        self.ledger.append(json.loads(sent))
        return {"recorded": ""}

    def do_remove(self, words: list[str], sent: bytes) -> dict[str, Any]:
        used = {release_of(name) for name in self.running}
        self.releases = [name for name in self.releases if name not in words or name in used]
        return {"removed": words}


def breaks(host: str, act: str, error: BaseException | None = None, times: int = 1, skip: int = 0) -> Fault:
    """A fault: the act fails on the host, that many times, after it went well `skip` times."""
    left = [times, skip]

    def fault(name: str, what: str) -> None:
        if (name, what) == (host, act) and left[0]:
            if left[1]:
                left[1] -= 1
                return
            left[0] -= 1
            raise error or HostError(name, f"{act} is broken", unit="booking-web@x", journal=["Boom"])

    return fault


def lost(*hosts: str, at: str = "") -> Fault:
    """A fault: the hosts do not answer at all; from the act `at` on, if it is given."""
    gone = set() if at else set(hosts)

    def fault(name: str, what: str) -> None:
        if at and name in hosts and what == at:
            gone.add(name)
        if name in gone:
            raise UnreachableError(name, "no connection")

    return fault


def serves(fleet: Mapping[str, FakeHost]) -> set[str | None]:
    """What the hosts serve; also that nothing else runs but what is warm, that no lock is left, and that no host was
    ever without anything that serves."""
    for host in fleet.values():
        extra = set(host.running) - {host.activation} - set(host.warm_for)
        assert not extra, f"{host.name} runs more: {extra}"
        assert not (set(host.works) - {host.activation}), f"{host.name} has workers of an old activation"
        assert not host.activation or not host.processes or host.activation in host.works, f"{host.name}: no workers"
        assert host.lock is None, f"the lock of {host.name} is left"
        assert not host.silent, f"{host.name} served nothing after {host.silent}"
        assert not host.activation or host.serves()
    return {host.current for host in fleet.values()}


def failed(call: Any, *arguments: Any, **options: Any) -> NexusError:
    """The error that a run ends with."""
    with pytest.raises(NexusError) as caught:
        call(*arguments, **options)
    return caught.value


def well() -> None:
    """No fault any more."""
    FakeHost.away, FakeHost.migrating = False, 0
    FakeHost.faults = staticmethod(lambda host, act: None)
    FakeHost.after = staticmethod(lambda host, act: None)
