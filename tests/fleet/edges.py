"""The balancers as clients meet them: raw connections, and many new ones while something happens to them."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from deploy.inventory import Fleet
from tests.fleet.site import Site

ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Answer:
    """One answer: its status, headers (names in lower case) and body, and the protocol that ALPN chose."""

    status: int
    headers: dict[str, str]
    body: bytes
    alpn: str = ""


@dataclass(frozen=True)
class Door:
    """One balancer's address, under the service's name; *authority* vouches for its certificate."""

    address: str
    domain: str
    authority: str
    port: int = 443

    def context(self, *protocols: str) -> ssl.SSLContext:
        """TLS as a careful client has it."""
        found = ssl.create_default_context(cafile=self.authority)
        if protocols:
            found.set_alpn_protocols(list(protocols))
        return found

    def connect(self, *protocols: str, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A new connection over TLS. OSError: refused, or not trusted."""
        plain = socket.create_connection((self.address, self.port), timeout=ANSWER_SECONDS)
        return (context or self.context(*protocols)).wrap_socket(plain, server_hostname=self.domain)

    def say(self, data: bytes) -> bytes:
        """Send bytes as they are over a connection of their own; all that comes back until it is closed."""
        with self.connect() as connection:
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                connection.sendall(data)  # who is refused early may be so before all is sent
            return read_all(connection)

    def ask(self, path: str = "/healthz", method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """One request over a connection of its own. Header names are given with _ for -."""
        with self.connect("http/1.1") as connection:
            lines = {"Host": self.domain, "Connection": "close", "User-Agent": "edge-test"}
            lines |= {name.replace("_", "-"): value for name, value in headers.items()}
            if body or method in ("POST", "PUT", "PATCH"):
                lines.setdefault("Content-Length", str(len(body)))
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            connection.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
            return parse(read_all(connection), connection.selected_alpn_protocol() or "")

    def plain(self, path: str, port: int = 80) -> Answer:
        """One request without TLS."""
        with socket.create_connection((self.address, port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {self.domain}\r\nConnection: close\r\n\r\n".encode())
            return parse(read_all(connection))

    def serial(self) -> str:
        """The serial number of the certificate that is served (hexadecimal)."""
        with self.connect() as connection:
            found = connection.getpeercert()
        assert found
        return str(found["serialNumber"])


def doors(fleet: Fleet, *, ipv6: bool = False) -> dict[str, Door]:
    """Every balancer at its own address."""
    found = {}
    for host in fleet.need("loadbalancers"):
        addresses = fleet.value(host.name, "base_addresses")
        found[host.name] = Door(
            addresses[1] if ipv6 else addresses[0], str(fleet.value(host.name, "loadbalancer_domain")),
            str(fleet.value(host.name, "release_ca_file")),
        )
    return found


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes; what it had sent before a reset counts."""
    found = b""
    try:
        while data := connection.recv(65536):
            found += data
    except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        pass
    return found


def parse(data: bytes, alpn: str = "") -> Answer:
    """The first answer in some bytes. AssertionError: there is none."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rows = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/"), f"no answer: {data[:200]!r}"
    headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
    return Answer(int(first.split()[1]), headers, body, alpn)


@dataclass
class Knocking:
    """New TLS connections to each of some *doors* in turn while the block runs, each with one request, as many as
    *tasks* clients make.

    seconds: how long each took; errors: what came of those that failed.
    """

    doors: Sequence[Door]
    tasks: int = 8
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    serials: set[str] = field(default_factory=set)

    def __enter__(self) -> Knocking:
        self._stop = threading.Event()
        self._context = self.doors[0].context("http/1.1")
        self._turns = itertools.cycle(self.doors)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self.wait_for(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)

    @property
    def count(self) -> int:
        """Connections so far, the failed ones included."""
        return len(self.seconds) + len(self.errors)

    def wait_for(self, more: int, seconds: float = 600) -> None:
        """Wait until *more* connections have been made than now."""
        wanted, deadline = self.count + more, time.monotonic() + seconds
        while self.count < wanted:
            assert time.monotonic() < deadline, f"{self.count} of {wanted} connections in {seconds} s"
            assert self._thread.is_alive(), "the clients ended by themselves"
            time.sleep(0.02)

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.tasks)))

    async def _client(self) -> None:
        request = f"GET /healthz HTTP/1.1\r\nHost: {self.doors[0].domain}\r\nConnection: close\r\n\r\n".encode()
        while not self._stop.is_set():
            door, began = next(self._turns), time.monotonic()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    reader, writer = await asyncio.open_connection(
                        door.address, door.port, ssl=self._context, server_hostname=door.domain
                    )
                    try:
                        self.serials.add(str(writer.get_extra_info("peercert")["serialNumber"]))
                        writer.write(request)
                        answer = await reader.read(-1)
                    finally:
                        writer.close()
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise OSError(answer[:80])
                self.seconds.append(time.monotonic() - began)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                self.errors.append(f"{door.address}: {type(error).__name__}: {error}")


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return statistics.quantiles(values, n=20)[18]


def metrics(text: str) -> set[str]:
    """The names of the metrics in Prometheus' text format."""
    return {line.split("{")[0].split()[0] for line in text.splitlines() if line and not line.startswith("#")}


def journal(inside: Callable[..., str], name: str, mark: str) -> list[dict[str, object]]:
    """The lines of a balancer's access log that bear *mark*, waited for."""
    script = (
        "journalctl --sync; journalctl --quiet --no-pager --output cat --identifier loadbalancer --since -2min "
        f"| grep -F {mark} || true"
    )
    deadline = time.monotonic() + 10
    while not (lines := inside(name, script).splitlines()):
        assert time.monotonic() < deadline, f"the access log of {name} says nothing of {mark}"
        time.sleep(0.1)
    return [json.loads(line) for line in lines]


def web_lines(site: Site, mark: str, count: int = 1) -> list[dict[str, object]]:
    """What the web servers have logged of a path, at least *count* lines, waited for."""
    script = f"journalctl --sync; journalctl -q --no-pager -o cat -t nginx --since -2min | grep -F {mark} || true"
    deadline = time.monotonic() + 10
    while len(rows := [row for web in site.web for row in site.shell(web, script).splitlines()]) < count:
        assert time.monotonic() < deadline, f"the web servers say {len(rows)} times something of {mark}"
        time.sleep(0.1)
    return [json.loads(row) for row in rows]
