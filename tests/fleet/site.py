"""The fleet seen from outside its hosts (their disks are mounted on this machine), and runs that can be broken off."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.inventory import Fleet
from lab import cgroups, faults, host
from lab.errors import LabError
from lab.state import Lab
from lab.topology import Host
from tests.fleet.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
POLL_SECONDS = 0.001
# What a step prints as it ends: "12:00:00Z    3.21  title   0.83 s  notes".
STEP = re.compile(r"\s\d+\.\d\d\s\s(\S.*?)\s+\d+\.\d\d s(?:\s|$)")
STEP_SECONDS = 120.0
END_SECONDS = 180.0


class Run:
    """A command that was started and is followed line by line; it can be stopped, continued and killed at any."""

    def __init__(self, *command: str) -> None:
        self.lines: list[str] = []
        self.times: list[float] = []  # of each line: when it came (monotonic seconds)
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(TOOLS / command[0]), *command[1:]], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self._seen = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.times.append(time.monotonic())
            self.lines.append(line.rstrip("\n"))

    @property
    def said(self) -> str:
        """Everything that it has printed, errors included."""
        return "\n".join(self.lines)

    def step_ends(self) -> dict[str, float]:
        """When each step that was printed ended (monotonic seconds); of steps with one title, the last."""
        rows = zip(self.times, self.lines, strict=False)
        return {found[1].strip(): at for at, line in rows if (found := STEP.search(line))}

    def until(self, title: str, seconds: float = STEP_SECONDS) -> None:
        """Wait for the next line that bears *title* (of a step, which is printed as the step ends)."""
        wanted = re.compile(rf"\s\s{re.escape(title)}(\s|$)")
        deadline = time.monotonic() + seconds
        while True:
            fresh = self.lines[self._seen:]
            for line in fresh:
                self._seen += 1
                if wanted.search(line):
                    return
            ended = self.process.poll() is not None and not self._reader.is_alive()
            assert not ended or self._seen < len(self.lines), f"it ended before {title!r}:\n{self.said}"
            assert time.monotonic() < deadline, f"{title!r} did not come within {seconds} s:\n{self.said}"
            time.sleep(POLL_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command and whatever it started."""
        os.killpg(self.process.pid, number)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The command stands still while the block runs."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash of the controller would."""
        self.signal(signal.SIGKILL)
        self.end()

    def end(self, seconds: float = END_SECONDS) -> int:
        """Wait for its end; its exit code."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            raise AssertionError(f"it did not end within {seconds} s:\n{self.said}") from None
        self._reader.join(timeout=10)
        return code


@dataclass(frozen=True)
class Site:
    """What every host of the engine has on its disk, without asking the host."""

    lab: Lab
    fleet: Fleet
    env: str

    @property
    def web(self) -> list[str]:
        """The names of the web hosts, in inventory order."""
        return [each.name for each in self.fleet.group("web")]

    def host(self, name: str) -> Host:
        """A host of the sandbox."""
        return next(each for each in self.lab.topology.hosts if each.name == name)

    def path(self, name: str, path: str) -> Path:
        """Where a host's file lies on this machine."""
        return self.lab.host_root(self.host(name)) / path.lstrip("/")

    def current(self, name: str) -> str | None:
        """The release that a host calls current."""
        link = self.path(name, "/srv/booking/current")
        return link.readlink().name if link.is_symlink() else None

    def everywhere(self) -> set[str | None]:
        """The releases that web hosts call current: one, when all is well."""
        return {self.current(name) for name in self.web}

    def intent(self, name: str) -> str | None:
        """The act that a host has begun and not ended; None where there is none."""
        try:
            return str(json.loads(self.path(name, "/var/lib/booking/intent.json").read_text())["act"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def ledger(self, name: str) -> list[dict[str, Any]]:
        """A host's runs, oldest first, each as it ended."""
        lines = self.path(name, "/var/lib/booking/ledger.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.strip()]
        return list({entry["id"]: entry for entry in entries}.values())

    def status(self, name: str) -> dict[str, Any]:
        """What the helper of a host says of it."""
        return self.helper(name, "status")

    def helper(self, name: str, *words: str) -> dict[str, Any]:
        """One act of a host's release helper, as root and past its network."""
        done: dict[str, Any] = json.loads(self.inside(name, "/usr/local/sbin/booking-release", *words))
        return done

    @property
    def balancers(self) -> list[str]:
        """The names of the load balancers, in inventory order."""
        return [each.name for each in self.fleet.need("loadbalancers")]

    def balancer(self, *words: str, on: str = "") -> dict[str, Any]:
        """One act of a balancer's helper: of the first one's unless named."""
        name = on or self.balancers[0]
        done: dict[str, Any] = json.loads(self.inside(name, "/usr/local/sbin/booking-balancer", *words))
        return done

    def inside(self, name: str, *command: str) -> str:
        """Run a command as root on a host, past its network."""
        return faults.inside(self.lab, self.host(name), *command)

    def shell(self, name: str, script: str) -> str:
        """Run a shell script as root on a host, past its network."""
        return self.inside(name, "sh", "-c", script)

    def sql(self, statement: str) -> str:
        """Ask the service's database as its superuser, on its own host."""
        name = self.fleet.need("database")[0].name
        return self.inside(name, "runuser", "-u", "postgres", "--", "psql", "-d", "booking", "-Atqc", statement).strip()

    def drained(self) -> list[str]:
        """The hosts that any balancer leaves out."""
        return sorted({host for name in self.balancers for host in self.balancer("status", on=name)["drained"]})

    def start(self, task: str, *arguments: str, env: str = "") -> Run:
        """Start a Fabric task and do not wait for it."""
        return Run("fab", task, "--env", env or self.env, *arguments)

    def cut_ssh(self, name: str) -> None:
        """Break every ssh connection of the deploy account on a host, as a line that is cut would; new ones are
        let in."""
        self.shell(name, "pkill -KILL -u deploy || true")

    def boot(self, name: str) -> None:
        """Start a host that crashed and wait until it has the service back and every balancer uses it."""
        target = self.host(name)
        host.start(self.lab, target)
        host.wait(self.lab, (target,))
        self.wait(lambda: self._booted(name), f"the end of the boot of {name}")
        self.wait(lambda: self.serves(name), f"{name} serving again")

    def reboot(self, name: str) -> None:
        """Reboot a host and wait for the end of its boot. Its init is another process then."""
        unit = self.lab.unit(self.host(name))
        before = cgroups.host_init(unit)
        self.shell(name, "systemctl reboot")
        self.wait(lambda: cgroups.host_init(unit) not in (None, before), f"the reboot of {name}")
        self.wait(lambda: self._booted(name), f"the end of the boot of {name}")

    def _booted(self, name: str) -> bool:
        try:
            return "running" in self.shell(name, "systemctl is-system-running || true")
        except LabError:
            return False  # its namespaces, or its systemd, are not there yet

    def serves(self, name: str) -> bool:
        """Whether a host has a release that answers: current, its socket's activation, and its unit agree."""
        if self.current(name) is None:
            return True
        said = self.status(name)
        return said["activation"] in said["running"] and said["current"] == said["activation"].rpartition(".")[0]

    @staticmethod
    def wait(check: Callable[[], object], what: str, seconds: float = 60) -> None:
        """Wait on a condition, bounded."""
        wait_until(check, seconds, what)


class Without:
    """Services that are stopped, until `over`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopped: list[tuple[str, str]] = []

    def __call__(self, name: str, service: str) -> None:
        """Stop a service of a host."""
        faults.stop_service(self._site.lab, self._site.host(name), service)
        self._stopped.append((name, service))

    def over(self) -> None:
        """Start again what was stopped."""
        while self._stopped:
            name, service = self._stopped.pop()
            faults.start_service(self._site.lab, self._site.host(name), service)
