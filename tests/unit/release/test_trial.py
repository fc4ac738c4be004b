"""How long a canary is watched, and what ends it early."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pytest

from deploy.release import trial
from deploy.release.canary import Traffic
from deploy.release.lease import Lease
from deploy.release.trial import CanaryError, Trial

SECONDS = 0.2
GOOD = Traffic(requests=300, errors=0, p50_ms=20, p95_ms=80)
COLD = Traffic(requests=300, errors=0, p50_ms=20, p95_ms=900)
BAD = Traffic(requests=300, errors=9, p50_ms=20, p95_ms=80)
FEW = Traffic(requests=9, errors=0, p50_ms=20, p95_ms=80)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SHORTEST_LOOK_SECONDS", 0.02)


def watched(early: Traffic, late: Traffic) -> tuple[Trial, list[float]]:
    """A trial whose first host answered so from the start, and so after its warm-up."""
    began, asked = time.time(), list[float]()

    def traffic(since: float) -> Mapping[str, Sequence[Traffic]]:
        asked.append(since - began)
        return {"web1": [early if since - began < SECONDS * trial.WARM_UP else late], "web2": [GOOD]}

    return Trial(SECONDS, 0.01, ["web1", "web2"], traffic, Lease(60, {}, lambda: None)), asked


def test_good_one_is_watched_to_the_end() -> None:
    one, asked = watched(GOOD, GOOD)
    began = time.monotonic()
    assert "0 of 300 failed" in one.watch("web1")
    assert time.monotonic() - began >= SECONDS
    assert len(asked) > 2


def test_slow_start_is_forgiven() -> None:
    one, asked = watched(COLD, GOOD)
    one.watch("web1")
    assert asked[-1] >= SECONDS * trial.WARM_UP


def test_one_that_stays_slow_goes_back_at_the_end() -> None:
    one, _ = watched(COLD, COLD)
    began = time.monotonic()
    with pytest.raises(CanaryError, match="p95 is more than 2 times"):
        one.watch("web1")
    assert time.monotonic() - began >= SECONDS


def test_one_that_fails_goes_back_at_once() -> None:
    one, asked = watched(BAD, GOOD)
    began = time.monotonic()
    with pytest.raises(CanaryError, match="above the others"):
        one.watch("web1")
    assert time.monotonic() - began < SECONDS
    assert len(asked) == 1


def test_one_that_cannot_be_judged_goes_back_at_the_end() -> None:
    one, _ = watched(FEW, FEW)
    with pytest.raises(CanaryError, match="too few requests"):
        one.watch("web1")
