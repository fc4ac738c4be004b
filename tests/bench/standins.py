"""Hosts that cost nothing: real ssh connections on this machine, and behind them a helper that only remembers.

`python -m tests.bench.standins FILE` serves what FILE (JSON) describes, in one process, until it is ended, so that a
deploy to them takes as long as the engine itself does: {"hosts": {name: port}, "balancer": {"address", "port"},
"host_key": path, "user_key": path, "certificate": path, "venvs": [names]}.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import shlex
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from deploy.release.verify import HEADER, SERVED_BY, tag

Answer = dict[str, Any]
MUCH = 10**12  # bytes


class Host:
    """One web host's helper: what it is told it remembers, and everything succeeds at once."""

    def __init__(self, name: str, venvs: list[str]) -> None:
        self.name, self.venvs, self.statics = name, venvs, list[str]()
        self.activation: str | None = None
        self.running: list[str] = []
        self.migrations: dict[str, Any] = {}
        self.ledger: list[Any] = []
        self.owner: Any = None
        self.tokens, self.numbers = itertools.count(1), itertools.count(1)
        self.token = 0

    @property
    def current(self) -> str | None:
        """The release that serves."""
        return self.activation.rpartition(".")[0] if self.activation else None

    def act(self, words: list[str], sent: bytes) -> Answer:
        """One act of `booking-release`; *sent* is its standard input."""
        name, *rest = words
        found: Answer = getattr(self, f"do_{name}")([word for word in rest if not word.startswith("--")], sent)
        return found

    def do_status(self, words: list[str], sent: bytes) -> Answer:
        lock = {"token": self.token, "owner": self.owner, "age_seconds": 0.1, "lease_seconds": 60, "expired": False}
        return {
            "current": self.current, "activation": self.activation, "running": self.running,
            "warm": [each for each in self.running if each != self.activation], "stale": False,
            "releases": sorted(self.migrations), "migrations": self.migrations, "venvs": self.venvs,
            "statics": self.statics,
            "ledger": self.ledger, "lock": lock if self.owner else None, "free_bytes": MUCH, "intent": None,
        }

    def do_preflight(self, words: list[str], sent: bytes) -> Answer:
        return {
            "clock": time.time(), "free_bytes": MUCH, "available_bytes": MUCH, "python": ["3.13"],
            "credentials_missing": [], "resolves": {"name": "", "addresses": [], "error": ""}, "settings_problem": "",
        }

    def do_database(self, words: list[str], sent: bytes) -> Answer:
        applied = sorted({name for each in self.migrations.values() for name in each})
        return {"applied": applied, "max_connections": 10_000, "reserved": 3, "connections": 1, "long": []}

    def do_lock(self, words: list[str], sent: bytes) -> Answer:
        self.owner, self.token = json.loads(words[-1]), next(self.tokens)
        return {"token": self.token}

    def do_renew(self, words: list[str], sent: bytes) -> Answer:
        self.token = next(self.tokens)
        return {"token": self.token}

    def do_beat(self, words: list[str], sent: bytes) -> Answer:
        return {"beaten": True}

    def do_unlock(self, words: list[str], sent: bytes) -> Answer:
        self.owner = None
        return {"released": True}

    def do_stage(self, words: list[str], sent: bytes) -> Answer:
        manifest = json.loads(sent.partition(b"\n")[0])
        self.migrations[manifest["id"]] = manifest["migrations"]
        self.statics = [manifest["parts"]["static"]["sha256"]]
        return {"staged": True}

    def do_migrate(self, words: list[str], sent: bytes) -> Answer:
        return {"migrated": []}

    def do_start(self, words: list[str], sent: bytes) -> Answer:
        self.running.append(f"{words[-1]}.{next(self.numbers)}")
        return {"activation": self.running[-1], "seconds": 0.0}

    def do_swap(self, words: list[str], sent: bytes) -> Answer:
        previous, self.activation = self.activation, words[-1]
        return {"previous": previous}

    def do_retire(self, words: list[str], sent: bytes) -> Answer:
        kept = [each for each in self.running if each == self.activation or each in words]
        stopped, self.running = [each for each in self.running if each not in kept], kept
        return {"stopped": stopped, "warm": next((each for each in kept if each != self.activation), None)}

    def do_record(self, words: list[str], sent: bytes) -> Answer:
        self.ledger.append(json.loads(sent))
        return {"recorded": self.ledger[-1]["id"]}

    def do_remove(self, words: list[str], sent: bytes) -> Answer:
        for release in words:
            self.migrations.pop(release, None)
        return {"removed": words}


class Balancer:
    """The balancer's helper: nothing is ever drained."""

    def act(self, words: list[str], sent: bytes) -> Answer:
        """One act of `booking-balancer`."""
        on = {"on": False, "retry_after": 0, "since": None}
        return {"drained": [], "maintenance": on, "servers": {}}


class Door(paramiko.ServerInterface):
    """Lets the one key in, and runs each command in a thread of its own."""

    def __init__(self, key: str, helper: Host | Balancer) -> None:
        self.key, self.helper = key, helper

    def get_allowed_auths(self, username: str) -> str:
        """Keys alone."""
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Whether it is the key."""
        return AUTH_SUCCESSFUL if key.get_base64() == self.key else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Sessions alone."""
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Run a command: sudo -n PROGRAM ACT …"""
        words = shlex.split(command.decode())[3:]
        threading.Thread(target=self._run, args=(channel, words), daemon=True).start()
        return True

    def _run(self, channel: paramiko.Channel, words: list[str]) -> None:
        with contextlib.suppress(OSError, EOFError):  # the other side may be gone
            if words == ["session"]:
                self._hold(channel)
                return
            # All of its input first, as a client that still sends it does not know yet that the command was taken.
            sent = b"".join(iter(lambda: channel.recv(1 << 18), b""))
            channel.sendall(json.dumps(self.helper.act(words, sent)).encode() + b"\n")
            channel.send_exit_status(0)
            channel.close()


    def _hold(self, channel: paramiko.Channel) -> None:
        with channel.makefile("r") as calls:
            for call in calls:
                words, sent = json.loads(call)
                answer = {"code": 0, "out": json.dumps(self.helper.act(words, sent.encode())), "err": ""}
                channel.sendall(json.dumps(answer).encode() + b"\n")
        channel.send_exit_status(0)
        channel.close()


def listen(port: int, address: str, door: Callable[[], Door], key: paramiko.PKey) -> None:
    """Serve ssh on a port, each connection in a thread."""
    server = socket.create_server((address, port), backlog=32)

    def one(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            transport.start_server(server=door())

    def accept() -> None:
        while True:
            threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def serve(address: str, certificate: str, hosts: list[Host]) -> None:
    """Answer https as the hosts would, each in its turn."""
    turn = itertools.cycle(hosts)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            host = next(turn)
            self.send_response(200 if host.current else 503)
            self.send_header(HEADER, host.current or "")
            self.send_header(SERVED_BY, tag(host.name))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer((address, 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def main() -> None:
    """Serve until ended."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # a client that goes away is no news
    spec = json.loads(Path(sys.argv[1]).read_text())
    key = paramiko.Ed25519Key.from_private_key_file(spec["host_key"])
    user = Path(spec["user_key"]).read_text().split()[1]
    hosts = [Host(name, spec["venvs"]) for name in spec["hosts"]]
    for host, port in zip(hosts, spec["hosts"].values(), strict=True):
        listen(port, "127.0.0.1", lambda host=host: Door(user, host), key)  # type: ignore[misc] # a bound default
    edge = spec["balancer"]
    listen(edge["port"], edge["address"], lambda: Door(user, Balancer()), key)
    print("ready", flush=True)
    serve(edge["address"], spec["certificate"], hosts)


if __name__ == "__main__":
    main()
