"""What clients get while a release is brought: a steady trickle of requests through the load balancers.

It asks for a page that clients ask for, not for the service's health: that page needs the views and the database,
so that a release which starts, says that it is ready and then fails is seen, and so is a migration that holds up
the traffic. One row is asked for, by primary key: the cheapest such page there is.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from queue import SimpleQueue

import httpx

from deploy.release.settings import Settings
from deploy.release.verify import HEADER, HTTPS, base, trust

PATH = "/api/v1/listings/?page_size=1"
AGENT = "nexus-probe"  # the balancers leave it out of what they count for a canary
ANSWER_SECONDS = 5.0
OVERDUE_SECONDS = 1.0
LAST_ANSWERS_SECONDS = 0.5  # what stop() waits for answers that are still due
CATCH_UP_SECONDS = 0.25
AGAIN_SECONDS = 0.1  # between two attempts at the same request


class MeasuredError(Exception):
    """Clients saw failures that the new release is to blame for."""


@dataclass(frozen=True)
class Sample:
    """One request: when it was sent and when it ended (monotonic seconds), its answer.

    status 0: no answer came, and `error` says why. release: the id that the answer bears; "" for none. ended: None
    where the probe was stopped first.
    """

    began: float
    ended: float | None
    status: int = 0
    release: str = ""
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether a client got what it asked for."""
        return 200 <= self.status < 400


@dataclass(frozen=True)
class Measurement:
    """What the probe saw. counted: failures that the new release is to blame for. rate: requests a second, sent.

    p50_ms, p99_ms: of the good answers; None without any. longest_gap_ms: the longest time without a good answer.
    live_seconds: from the first switch until no other release answered any more; None if that never was.
    reason: what the first failure that counts was, "" for none.
    """

    requests: int
    failures: int
    counted: int
    p50_ms: float | None
    p99_ms: float | None
    longest_gap_ms: float
    rate: float
    live_seconds: float | None = None
    reason: str = ""

    def as_json(self) -> dict[str, float | int | None]:
        """What the ledger keeps."""
        kept = asdict(self)
        del kept["live_seconds"], kept["reason"]
        return kept

    def __str__(self) -> str:
        """One line for people."""
        blamed = f" ({self.counted} of the new release: {self.reason})" if self.counted else ""
        answered = self.p50_ms is not None and self.p99_ms is not None
        times = f"p50 {self.p50_ms:.0f} ms, p99 {self.p99_ms:.0f} ms, " if answered else ""
        return (
            f"{self.requests} requests at {self.rate:.0f}/s, {self.failures} failed{blamed}, "
            f"{times}longest gap {self.longest_gap_ms:.0f} ms"
        )


def measure(
    samples: Sequence[Sample], start: float, stop: float, release: str = "", since: float = math.inf
) -> Measurement:
    """What the samples between two instants say of a release that hosts were switched to from `since` on.

    A failure counts against the release if its answer bears the release's id; or bears none, and all was good that
    was known when the switch began: requests that had been answered, or were overdue. Where nothing was known,
    nothing was good. A release that served before as well, as in a restart, is not told apart by its id.
    What is not answered at the stop is a failure if it is overdue, and is left out otherwise: nobody knows.
    """
    good = sorted(sample.ended - sample.began for sample in samples if sample.good and sample.ended is not None)
    overdue = max(OVERDUE_SECONDS, 2 * good[-1] if good else 0)
    known = [sample for sample in samples if sample.ended is not None or stop - sample.began > overdue]
    before, after = list[Sample](), list[Sample]()
    for sample in known:
        ended = sample.ended is not None and sample.ended <= since
        (before if ended or since - sample.began > overdue else after).append(sample)
    clean = bool(before) and all(sample.good for sample in before)
    # an id tells which release it was, unless that one served before; else only that nothing failed before tells
    telling = {release} - {sample.release for sample in before}
    suspect = telling | ({"", release} if clean else set())
    blamed = [sample for sample in after if not sample.good and sample.release in suspect]
    answers = sorted([start, stop, *(sample.ended for sample in samples if sample.good and sample.ended is not None)])
    return Measurement(
        requests=len(known),
        failures=sum(not sample.good for sample in known),
        counted=len(blamed),
        p50_ms=_milliseconds(good, 0.5),
        p99_ms=_milliseconds(good, 0.99),
        longest_gap_ms=round(max(later - earlier for earlier, later in itertools.pairwise(answers)) * 1000, 1),
        rate=round(len(samples) / max(stop - start, 0.001), 1),
        live_seconds=_live(samples, release, since),
        reason=(blamed[0].error or f"status {blamed[0].status}") if blamed else "",
    )


def _live(samples: Sequence[Sample], release: str, since: float) -> float | None:
    """Seconds from the switch to the first answer of the release after which none came of another."""
    ends = [(sample.ended, sample.release == release) for sample in samples if sample.good and sample.ended is not None]
    others = max((ended for ended, new in ends if not new), default=-math.inf)
    first = min((ended for ended, new in ends if new and ended > max(others, since)), default=None)
    return None if first is None else round(first - since, 3)


def _milliseconds(ordered: Sequence[float], share: float) -> float | None:
    """The least of the ordered times (s) that `share` of them do not exceed, in ms."""
    return round(ordered[math.ceil(share * len(ordered)) - 1] * 1000, 1) if ordered else None


class Probe:
    """Asks at a steady rate from threads of its own; half of the requests come over connections that are kept.

    The pace does not wait for answers, as clients do not wait for one another: who sends is whoever is idle, and one
    more where nobody is. Several balancers are asked in turn.

    patience: for how long (seconds) a request whose connection failed is sent again, as clients do with one that
    changes nothing (RFC 9110, 9.2.2); 0: not at all.
    """

    def __init__(
        self, addresses: Sequence[str], settings: Settings, *, rate: float = 0, path: str = PATH, port: int = HTTPS,
        patience: float = 0,
    ) -> None:
        self.rate, self.domain, self.path = rate or settings.probe_rate, settings.domain, path
        self.patience = patience
        context = trust(settings)
        self._clients = [
            httpx.Client(
                base_url=base(address, port), headers={"Host": settings.domain, "User-Agent": AGENT}, verify=context,
                limits=httpx.Limits(max_keepalive_connections=kept), timeout=ANSWER_SECONDS, trust_env=False,
            )
            for address in addresses for kept in (None, 0)
        ]  # fmt: skip
        self._jobs: SimpleQueue[httpx.Client | None] = SimpleQueue()
        self._idle, self._over, self._changed = threading.Semaphore(0), threading.Event(), threading.Condition()
        self._open: dict[int, float] = {}  # when it was sent, of each request that is not answered
        self._samples: list[Sample] = []
        self._started, self._release, self._since = math.inf, "", math.inf
        self._thread = threading.Thread(target=self._pace, name="probe", daemon=True)

    def start(self) -> None:
        """Begin; the first request is sent at once."""
        self._started = time.monotonic()
        self._thread.start()

    def mark(self, release: str) -> None:
        """Say that hosts are switched to a release from now on; what came before is what it is compared with."""
        self._release, self._since = release, time.monotonic()

    def failed(self) -> int:
        """How many requests have failed so far."""
        with self._changed:
            return sum(not sample.good for sample in self._samples)

    def stop(self) -> Measurement:
        """End, within a second, and say what was seen."""
        end = time.monotonic()
        self._over.set()
        self._jobs.put(None)
        with self._changed:
            self._changed.wait_for(lambda: not self._open, LAST_ANSWERS_SECONDS)
            unanswered = [Sample(began, None, error="no answer when the probe ended") for began in self._open.values()]
            samples = [*self._samples, *unanswered]
        for client in self._clients:
            client.close()
        return measure(samples, min(self._started, end), end, self._release, self._since)

    def _pace(self) -> None:
        due = time.monotonic()
        for number in itertools.count():
            if not self._idle.acquire(blocking=False):
                threading.Thread(target=self._work, name="probe", daemon=True).start()
            self._jobs.put(self._clients[number % len(self._clients)])
            # after the controller itself was held up: a burst of everything missed would measure nothing but itself
            due = max(due + 1 / self.rate, time.monotonic() - CATCH_UP_SECONDS)
            if self._over.wait(max(due - time.monotonic(), 0)):
                return

    def _work(self) -> None:
        while (client := self._jobs.get()) is not None:
            self._ask(client)
            self._idle.release()
        self._jobs.put(None)  # for the next one

    def _ask(self, client: httpx.Client) -> None:
        key, began = threading.get_ident(), time.monotonic()
        with self._changed:
            self._open[key] = began
        status, release, error = self._attempt(client)
        while error and time.monotonic() - began < self.patience and not self._over.wait(AGAIN_SECONDS):
            status, release, error = self._attempt(client)
        ended = time.monotonic()
        if ended - began > ANSWER_SECONDS:
            status, release, error = 0, "", f"no answer within {ANSWER_SECONDS:.0f} s"
        with self._changed:
            del self._open[key]
            self._samples.append(Sample(began, ended, status, release, error))
            self._changed.notify_all()

    def _attempt(self, client: httpx.Client) -> tuple[int, str, str]:
        """Status, release and error of one attempt, as a `Sample` has them."""
        try:
            answer = client.get(self.path, extensions={"sni_hostname": self.domain})
        except Exception as failure:  # whatever kept the answer away, a client would not have got it
            return 0, "", f"{type(failure).__name__} {failure}".strip()
        return answer.status_code, answer.headers.get(HEADER, ""), ""
