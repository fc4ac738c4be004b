"""A steady load on the service through the load balancer, as many clients make one."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import statistics
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from deploy.client import Client
from deploy.inventory import Fleet


@dataclass(frozen=True)
class Result:
    """One request: when it began (monotonic seconds), how long it took, what came of it."""

    at: float
    seconds: float
    method: str
    status: int
    release: str
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether a client would call it a failure: no answer, or one that its request did not deserve."""
        return self.status not in (200, 201)


@dataclass
class Load:
    """Requests at *rate* a second while the block runs: a fifth are bookings, half use kept connections.

    The pace does not wait for answers, as clients do not wait for one another. A request that a deploy loses
    is therefore counted, not hidden by a slower loop.
    """

    fleet: Fleet
    rate: float
    results: list[Result] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        with Client(self.fleet) as client:
            mark = uuid.uuid4().hex[:12]
            self._token = client.login(f"load-{mark}@example.org", uuid.uuid4().hex)
            self._listing = client.ask("POST", "/api/v1/listings/", 201, token=self._token, json={
                "title": f"Load {mark}", "description": "Booked day by day.", "place": "Nowhere",
                "price_per_night": "10.00", "currency": "EUR", "capacity": 2,
            })["id"]
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

    @property
    def failures(self) -> list[Result]:
        return [result for result in self.results if result.failed]

    @property
    def achieved(self) -> float:
        """Requests a second that were really sent."""
        times = [result.at for result in self.results]
        return (len(times) - 1) / (max(times) - min(times))

    def quantile(self, share: float) -> float:
        """The answer time (seconds) that *share* of the requests did not exceed."""
        return statistics.quantiles([result.seconds for result in self.results], n=1000)[int(share * 1000) - 1]

    async def _run(self) -> None:
        options = {
            "base_url": f"https://{self._address}", "verify": self._context, "timeout": 15, "trust_env": False,
            "headers": {"Host": self._domain},
        }
        fresh = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(**options) as kept, httpx.AsyncClient(**options, limits=fresh) as single:
            pending: set[asyncio.Task[None]] = set()
            began = time.monotonic()
            for number in itertools.count():
                if self._stop.is_set():
                    break
                task = asyncio.create_task(self._one(kept if number % 2 else single, number))
                pending.add(task)
                task.add_done_callback(pending.discard)
                await asyncio.sleep(max(0.0, began + (number + 1) / self.rate - time.monotonic()))
            if pending:
                await asyncio.wait(pending)

    async def _one(self, client: httpx.AsyncClient, number: int) -> None:
        method = "POST" if number % 5 == 0 else "GET"
        began = time.monotonic()
        status, release, error = 0, "", ""
        try:
            if method == "POST":
                day = datetime.now(UTC).date() + timedelta(days=1 + number)
                answer = await client.post(
                    "/api/v1/bookings/", headers={"Authorization": f"Bearer {self._token}"},
                    extensions={"sni_hostname": self._domain},
                    json={"listing": self._listing, "check_in": str(day), "check_out": str(day + timedelta(days=1)),
                          "guests": 1},
                )
            else:
                path = f"/api/v1/listings/{self._listing}/"
                answer = await client.get(path, extensions={"sni_hostname": self._domain})
            status, release = answer.status_code, answer.headers.get("X-Release-Id", "")
            error = "" if status in (200, 201) else answer.text[:200]
        except httpx.HTTPError as failure:
            error = f"{type(failure).__name__}: {failure}"
        self.results.append(Result(began, time.monotonic() - began, method, status, release, error))
