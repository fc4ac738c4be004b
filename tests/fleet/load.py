"""A steady load on the service through the load balancer, as many clients make one."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import ssl
import statistics
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from deploy.client import Client
from deploy.inventory import Fleet

# An answer that takes its time, of the releases that the tests make (tests/fleet/commits.py).
SLOW_PATH = "/test/slow/"
TOKEN_SECONDS = 600  # an access token holds 15 minutes
DRIBBLE_SECONDS = 0.2


@dataclass(frozen=True)
class Result:
    """One request: when it began (monotonic seconds), how long it took, what came of it.

    kind: "GET", "POST" (a booking), "slow POST" (a booking sent bit by bit) or "long POST" (the answer takes its time).
    """

    at: float
    seconds: float
    kind: str
    status: int
    release: str
    error: str = ""
    server: str = ""

    @property
    def failed(self) -> bool:
        """Whether a client would call it a failure: no answer, or one that its request did not deserve."""
        # Only the releases that the tests make have a slow answer.
        return self.status not in (200, 201) and not (self.kind == "long POST" and self.status == 404)

    @property
    def ended(self) -> float:
        """When the answer was there (monotonic seconds)."""
        return self.at + self.seconds


@dataclass
class Load:
    """Requests at *rate* a second while the block runs: a fifth are POSTs, half use kept connections, a tenth are
    slow (half of these by the client, half by the service, which takes *slow_seconds*). *keyed* POSTs bear an
    Idempotency-Key, so that a balancer may repeat them. Without *reuse* every connection is new.

    The pace does not wait for answers, as clients do not wait for one another. A request that a deploy loses
    is therefore counted, not hidden by a slower loop. What is booked is to be paid, so that no mail is sent of it: the
    workers share the sandbox's processors with what is measured.
    """

    fleet: Fleet
    rate: float
    slow_seconds: float = 0.5
    keyed: bool = False
    reuse: bool = True
    results: list[Result] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._mark = uuid.uuid4().hex[:12]
        with Client(self.fleet) as client:
            host = client.login(f"load-host-{self._mark}@example.org", uuid.uuid4().hex)
            self._listing = client.ask("POST", "/api/v1/listings/", 201, token=host, json={
                "title": f"Load {self._mark}", "description": "Booked day by day.", "place": "Nowhere",
                "price_per_night": "10.00", "currency": "ETB", "capacity": 2,
            })["id"]
            self._login(client)
            self._domain, self._address = client.domain, client.address
        balancer = self.fleet.need("loadbalancers")[0]
        self._context = ssl.create_default_context(cafile=str(self.fleet.value(balancer.name, "release_ca_file")))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        self.wait_for(int(self.rate))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Wait until *count* requests have been answered in all."""
        deadline = time.monotonic() + seconds
        while len(self.results) < count:
            assert time.monotonic() < deadline, f"{len(self.results)} of {count} requests came back in {seconds} s"
            assert self._thread.is_alive(), "the load ended by itself"
            time.sleep(0.02)

    def settle(self, seconds: float = 2) -> None:
        """Let the load run on, until what begins now has been answered, so that what breaks late is seen."""
        until = time.monotonic() + seconds
        self.wait_for(len(self.results) + int(self.rate * seconds), 60 + seconds)
        while not any(result.at >= until for result in self.results[-int(self.rate):]):
            assert self._thread.is_alive(), "the load ended by itself"
            time.sleep(0.02)

    @property
    def failures(self) -> list[Result]:
        return failures(self.results)

    @property
    def achieved(self) -> float:
        """Requests a second that were really sent."""
        times = [result.at for result in self.results]
        return (len(times) - 1) / (max(times) - min(times))

    def quantile(self, share: float) -> float:
        """The answer time (seconds) that *share* of the requests did not exceed, the slow ones left out."""
        return quantile(self.results, share)

    def since(self, at: float) -> list[Result]:
        """The requests that were begun, or not answered yet, at an instant (monotonic seconds) and later."""
        return [result for result in self.results if result.ended >= at]

    def _login(self, client: Client) -> None:
        self._token = client.login(f"load-{uuid.uuid4().hex[:12]}@example.org", uuid.uuid4().hex)
        self._token_until = time.monotonic() + TOKEN_SECONDS

    def _renew(self) -> None:
        """Sign in again, beside the load. While the service is down the old token has to do."""
        self._token_until = time.monotonic() + 30
        try:
            with Client(self.fleet) as client:
                self._login(client)
        except Exception:  # tried again half a minute later
            return

    async def _run(self) -> None:
        async with self._client(kept=False) as single, self._client(kept=True) as kept:
            pending: set[asyncio.Task[None]] = set()
            began = time.monotonic()
            for number in itertools.count():
                if self._stop.is_set():
                    break
                if time.monotonic() > self._token_until:
                    threading.Thread(target=self._renew, daemon=True).start()
                    self._token_until = time.monotonic() + 30
                task = asyncio.create_task(self._one(kept if self.reuse and is_kept(number) else single, number))
                pending.add(task)
                task.add_done_callback(pending.discard)
                await asyncio.sleep(max(0.0, began + (number + 1) / self.rate - time.monotonic()))
            if pending:
                await asyncio.wait(pending)

    def _client(self, *, kept: bool) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            f"https://{self._domain}", timeout=aiohttp.ClientTimeout(total=15), cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(
                ssl=self._context, limit=0, force_close=not kept, resolver=At(self._address)
            ),
        )
        # By itself it asks again what a kept connection did not answer, and hides what this counts.
        session._retry_connection = False
        return session

    async def _one(self, client: aiohttp.ClientSession, number: int) -> None:
        kind = kind_of(number)
        began = time.monotonic()
        status, release, error, server = 0, "", "", ""
        try:
            async with self._request(client, kind, number) as answer:
                text = await answer.text()
            status, release = answer.status, answer.headers.get("X-Release-Id", "")
            server = answer.headers.get("X-Served-By", "")
            error = "" if status in (200, 201) else text[:200]
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        self.results.append(Result(began, time.monotonic() - began, kind, status, release, error, server))

    def _request(
        self, client: aiohttp.ClientSession, kind: str, number: int
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if kind == "GET":
            return client.get(f"/api/v1/listings/{self._listing}/")
        # Of one that is repeated the service makes one booking: clients that want no doubt send it.
        key = {"Idempotency-Key": uuid.uuid4().hex} if self.keyed else {}
        if kind == "long POST":
            return client.post(SLOW_PATH, json={"seconds": self.slow_seconds}, headers=key)
        day = datetime.now(UTC).date() + timedelta(days=1 + number // 5)
        body = json.dumps({
            "listing": self._listing, "check_in": str(day), "check_out": str(day + timedelta(days=1)), "guests": 1,
        }).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json",
                   "Content-Length": str(len(body)), **key}
        return client.post("/api/v1/bookings/", headers=headers, data=dribble(body) if kind == "slow POST" else body)


class At(AbstractResolver):
    """Finds every name at one address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The one address."""
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [{"hostname": host, "host": self._address, "port": port, "family": family, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is open."""


def kind_of(number: int) -> str:
    """The kind of the *number*th request: of twenty four are POSTs, and one of these is slow, another long."""
    if number % 5:
        return "GET"
    return {5: "slow POST", 15: "long POST"}.get(number % 20, "POST")


def is_kept(number: int) -> bool:
    """Whether the *number*th request goes over a kept connection: half of every kind do."""
    return bool((number + number // 20) % 2)


async def dribble(body: bytes, pieces: int = 4) -> AsyncIterator[bytes]:
    """A body as a client on a bad line sends it: in pieces, with pauses."""
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size):
        await asyncio.sleep(DRIBBLE_SECONDS)
        yield body[start : start + size]


def failures(results: Iterable[Result]) -> list[Result]:
    """The requests that failed."""
    return [result for result in results if result.failed]


def describe(found: Iterable[Result]) -> str:
    """The first failures of some requests, one a line."""
    lost = failures(found)
    rows = [f"{each.at:.2f} +{each.seconds:.2f} {each.kind} {each.status} {each.release} {each.error}" for each in lost]
    return "\n".join([f"{len(lost)} failed", *rows[:10]])


def quantile(results: Iterable[Result], share: float) -> float:
    """The answer time (seconds) that *share* of some requests did not exceed, the slow ones left out."""
    quick = [result.seconds for result in results if result.kind in ("GET", "POST")]
    return statistics.quantiles(quick, n=1000)[int(share * 1000) - 1]
