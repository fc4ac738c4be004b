"""Pure: whether the first host does worse with a new release than the others do with the old one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

MINIMUM = 200  # requests of each side; fewer tell too little
SLOWER = 2.0  # times the others' p95
SLOWER_MS = 50.0  # and by at least so much: twice 5 ms is nothing that anybody feels


@dataclass(frozen=True)
class Traffic:
    """What clients got: requests, those answered by 500 and above, times until the answer began (ms; 0 for none)."""

    requests: int
    errors: int
    p50_ms: float
    p95_ms: float

    @property
    def error_rate(self) -> float:
        """The share of requests that failed (0 to 1); 0 where there were none."""
        return self.errors / self.requests if self.requests else 0.0


class Outcome(StrEnum):
    """What can be said of a canary."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """The outcome, and the figures that it rests on in words."""

    outcome: Outcome
    why: str


def combined(parts: Iterable[Traffic]) -> Traffic:
    """Several hosts, or one host seen by several balancers, as one.

    The times are means weighted by requests: exact quantiles would need every single time.
    """
    found = [part for part in parts if part.requests]
    requests = sum(part.requests for part in found)

    def mean(name: str) -> float:
        return sum(getattr(part, name) * part.requests for part in found) / requests if requests else 0.0

    return Traffic(requests, sum(part.errors for part in found), mean("p50_ms"), mean("p95_ms"))


def judge(first: Traffic, others: Traffic, budget: float, minimum: int = MINIMUM) -> Verdict:
    """Compare what fails on the first host with what fails on the others.

    budget: the share of requests (0 to 1) that may fail on the first host beyond the others' share. Below `minimum`
    requests on either side nothing is known, unless the first host has failed more already than it could make good.
    """
    allowed = (others.error_rate + budget) * max(first.requests, minimum)
    said = f"{_text(first)} on the first host, {_text(others)} on the others"
    if first.errors > allowed:
        return Verdict(Outcome.BAD, f"it fails more than {budget:.1%} above the others: {said}")
    if first.requests < minimum or others.requests < minimum:
        return Verdict(Outcome.UNKNOWN, f"too few requests to judge by, {minimum} on each side are needed: {said}")
    return Verdict(Outcome.GOOD, said)


def pace(first: Traffic, others: Traffic) -> Verdict:
    """Compare how fast the first host answers with how fast the others do: never unknown."""
    if first.p95_ms > SLOWER * others.p95_ms and first.p95_ms > others.p95_ms + SLOWER_MS:
        said = f"{_text(first)} on the first host, {_text(others)} on the others"
        return Verdict(Outcome.BAD, f"its p95 is more than {SLOWER:.0f} times the others': {said}")
    return Verdict(Outcome.GOOD, "")


def _text(traffic: Traffic) -> str:
    return f"{traffic.errors} of {traffic.requests} failed (p95 {traffic.p95_ms:.0f} ms)"
