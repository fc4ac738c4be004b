"""A load balancer in a temporary folder: the helper's own code, with a stand-in for HAProxy."""

from __future__ import annotations

import importlib
import io
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.specs import ROOT

FILES = ROOT / "roles/loadbalancer/files"
SERVERS = {
    "web1": {"address": "192.0.2.1", "port": 8080},
    "web2": {"address": "2001:db8::2", "port": 8080},
    "web3": {"address": "192.0.2.3", "port": 8081},
}
CONFIG = {
    "engine": "haproxy", "domain": "www.example.org", "names": ["www.example.org"], "https_port": 443,
    "check_interval_ms": 500, "servers": SERVERS,
}
DRAIN, MAINT = 8, 1
OLD_PID = 1233


class FakeHaproxy:
    """HAProxy's runtime socket, and what it reads when it starts."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked = root, list[str]()
        self.refuses = ""
        self.admin: dict[str, int] = {}
        self.map: dict[str, str] = {}
        self.old: FakeHaproxy | None = None  # the worker that the last reload replaced
        self.start()

    def start(self) -> None:
        """As at a start and at a reload: all that is known is what the files say."""
        rows = (self.root / "var/lib/booking-balancer/server-state").read_text().splitlines()
        assert rows[0] == "1"
        assert all(len(row.split()) == 20 for row in rows[1:]), "HAProxy wants 20 columns"
        self.admin = dict.fromkeys(("web1", "web2", "web3"), 0) | {
            row.split()[3]: int(row.split()[6]) for row in rows[1:]
        }
        pairs = (self.root / "var/lib/booking-balancer/maintenance.map").read_text().splitlines()
        self.map = dict(pair.split() for pair in pairs)

    def reload(self) -> None:
        """As at a reload: what ran before goes on for the connections that it has."""
        self.old = FakeHaproxy(self.root)
        self.old.admin, self.old.map = dict(self.admin), dict(self.map)
        self.start()

    def answer_as_master(self, command: str) -> str:
        """What the master process says, and hands on to the worker that is named."""
        old = f"{OLD_PID:<15} worker          1               0d00h00m28s     3.0.11\n" if self.old else ""
        if command == "show proc":
            return (
                "#<PID>          <type>          <reloads>       <uptime>        <version>\n"
                "1162            master          5 [failed: 0]   0d00h02m07s     3.0.11\n"
                "# workers\n1271            worker          0               0d00h00m00s     3.0.11\n"
                f"{'# old workers' + chr(10) if old else ''}{old}# programs\n\n"
            )
        who, _, rest = command.partition(" ")
        if self.old is None or who != f"@!{OLD_PID}":
            return f"Can't find the target PID matching the prefix '{who}'\n"
        return self.old.answer(rest)

    def answer(self, command: str) -> str:
        self.asked.append(command)
        words = command.split()
        if words[:2] == ["show", "servers"]:
            return "1\n# be_id be_name …\n" + "".join(
                f"4 web {i} {name} 192.0.2.{i} 2 {admin} 1 1 9 15 3 3 6 0 0 0 - 8080 - 0 0 - - 0\n"
                for i, (name, admin) in enumerate(self.admin.items(), 1)
            )
        if words[:2] == ["show", "map"]:
            return "".join(f"0x55{i} {key} {value}\n" for i, (key, value) in enumerate(self.map.items()))
        if words[:2] == ["show", "stat"]:
            rows = [f"web,{name},0,{'DRAIN' if admin & DRAIN else 'UP'},\n" for name, admin in self.admin.items()]
            return "# pxname,svname,qcur,status,\n" + "".join(rows)
        if self.refuses:
            return self.refuses
        if words[:2] == ["set", "server"]:
            self.admin[words[2].removeprefix("web/")] = {"drain": DRAIN, "ready": 0}[words[4]]
        elif words[1] == "map" and words[0] in ("add", "set"):
            self.map[words[3]] = words[4]
        elif words[:2] == ["del", "map"]:
            del self.map[words[3]]
        else:
            return "Unknown command"
        return "\n"

    def changes(self) -> list[str]:
        """The commands that were to change something."""
        return [command for command in self.asked if not command.startswith("show")]


class Host:
    """A converged balancer in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("etc/loadbalancer/certs", "run/haproxy", "var/lib/booking-balancer"):
            (root / folder).mkdir(parents=True)
        self.configure()
        self.state = root / "var/lib/booking-balancer/server-state"
        self.map = root / "var/lib/booking-balancer/maintenance.map"
        self.state.write_text("1\n")
        self.map.write_text("")
        self.modules = {
            name: importlib.import_module(f"booking_balancer.{name}")
            for name in (
                "cli", "state", "haproxy", "nginx", "units", "traffic", "edge", "certificate", "takeover", "watch"
            )
        }
        self.layout = self.modules["state"].Layout(root)
        self.wanted = self.layout.wanted
        self.wanted.write_text("{}")

    def configure(self, **changed: object) -> None:
        """As site.yml tells the helpers of this balancer."""
        (self.root / "etc/loadbalancer/helper.json").write_text(json.dumps(CONFIG | changed))

    def call(self, *argv: str) -> tuple[int, dict[str, Any]]:
        out, sys.stdout = sys.stdout, io.StringIO()
        try:
            code = self.modules["cli"].main(list(argv), self.layout)
            return code, json.loads(sys.stdout.getvalue())
        finally:
            sys.stdout = out


    def edge(self, *argv: str, stdin: str = "") -> tuple[int, str]:
        """One act of booking-edge: its exit status, and what it said."""
        out, error, source = sys.stdout, sys.stderr, sys.stdin
        sys.stdout = sys.stderr = io.StringIO()
        sys.stdin = io.StringIO(stdin)
        try:
            return self.modules["edge"].main(list(argv), self.layout), sys.stdout.getvalue().strip()
        finally:
            sys.stdout, sys.stderr, sys.stdin = out, error, source


@contextmanager
def running(host: Host) -> Iterator[FakeHaproxy]:
    """A HAProxy that listens on the host's runtime socket, and its master process on its own."""
    fake = FakeHaproxy(host.root)
    socket, master = host.layout.socket, host.layout.master
    with listening(socket, fake.answer), listening(master, lambda command: fake.answer_as_master(command)):
        yield fake


@contextmanager
def listening(path: Path, answer: Callable[[str], str]) -> Iterator[None]:
    """One command a connection, as HAProxy's sockets have it."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(answer(connection.makefile().readline().strip()).encode())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(timeout=5)
