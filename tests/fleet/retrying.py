"""Clients as people's programs are: each request over a connection of its own, tried again until its time is over."""

from __future__ import annotations

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.client import Client
from deploy.inventory import Fleet

PATH = "/healthz"
# The longest that one attempt waits for a connection, and then for each part of the answer.
CONNECT_SECONDS, ANSWER_SECONDS = 0.25, 1.0
BUDGET_SECONDS = 4.0
PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Asked:
    """One request: when it began and ended (monotonic seconds), its attempts, and whether it was answered at last."""

    began: float
    ended: float
    attempts: int
    answered: bool


@dataclass
class Retrying:
    """*clients* at once ask for PATH every *pause* seconds, each at one of the *addresses* that clients come by."""

    fleet: Fleet
    addresses: Sequence[str]
    clients: int = 4
    pause: float = 0.1
    requests: list[Asked] = field(default_factory=list)
    successes: list[tuple[str, float]] = field(default_factory=list)  # where an attempt was answered, and when
    faults: list[str] = field(default_factory=list)  # why attempts were not

    def __enter__(self) -> Retrying:
        with Client(self.fleet) as client:
            self.domain = client.domain
        balancer = self.fleet.need("loadbalancers")[0]
        self.port = int(self.fleet.value(balancer.name, "loadbalancer_https_port"))
        self._context = ssl.create_default_context(cafile=str(self.fleet.value(balancer.name, "release_ca_file")))
        self._stop = threading.Event()
        turns = itertools.islice(itertools.cycle(self.addresses), self.clients)
        self._threads = [threading.Thread(target=self._run, args=[each], daemon=True) for each in turns]
        for thread in self._threads:
            thread.start()
        self.settle(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2 * BUDGET_SECONDS)

    @property
    def lost(self) -> list[Asked]:
        """The requests that no attempt brought an answer to."""
        return [each for each in self.requests if not each.answered]

    def settle(self, seconds: float) -> None:
        """Wait until requests that begin *seconds* from now have ended, answered or not."""
        until = time.monotonic() + seconds
        while not any(each.began >= until for each in self.requests[-4 * self.clients :]):
            assert time.monotonic() < until + 60, "the clients stand still"
            time.sleep(0.02)

    def away(self, since: float) -> float:
        """The longest time without an answer at one of the addresses, from *since* (monotonic seconds) on."""
        now, found = time.monotonic(), []
        for address in self.addresses:
            times = sorted(at for where, at in self.successes if where == address and at >= since)
            found += [b - a for a, b in zip([since, *times], [*times, now], strict=True)]
        return max(found)

    def _run(self, address: str) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            attempts, answered = 0, False
            while not answered and time.monotonic() - began < BUDGET_SECONDS:
                attempts += 1
                answered = self._attempt(address)
                if not answered:
                    time.sleep(PAUSE_SECONDS)
            self.requests.append(Asked(began, time.monotonic(), attempts, answered))
            time.sleep(max(0.0, began + self.pause - time.monotonic()))

    def _attempt(self, address: str) -> bool:
        try:
            said = ask(address, self.port, self.domain, self._context)
        except OSError as error:
            self.faults.append(f"{address}: {type(error).__name__}: {error}")
            return False
        if not said.startswith(b"HTTP/1.1 200 "):
            self.faults.append(said[:40].decode(errors="replace"))
            return False
        self.successes.append((address, time.monotonic()))
        return True


def ask(address: str, port: int, domain: str, context: ssl.SSLContext) -> bytes:
    """The beginning of an answer to GET PATH over a new connection. OSError: none came."""
    with socket.create_connection((address, port), timeout=CONNECT_SECONDS) as connection:
        connection.settimeout(ANSWER_SECONDS)
        with context.wrap_socket(connection, server_hostname=domain) as secured:
            secured.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {domain}\r\nConnection: close\r\n\r\n".encode())
            return secured.recv(4096)
