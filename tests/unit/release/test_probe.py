"""What clients get while a release is brought: how they are asked for, and what counts as an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.release.probe import AGENT, PATH, Probe

from .conftest import NEW, OLD
from .edge import Balancer, Reply, balancer, eventually

LOCAL = "127.0.0.1"


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Balancer]:
    with balancer(tmp_path) as running:
        running.answer = lambda number: Reply(OLD, "web1")
        yield running


def probe(edge: Balancer, *addresses: str, rate: float = 100, patience: float = 0) -> Probe:
    return Probe(addresses or (LOCAL,), edge.settings, rate=rate, port=edge.port, patience=patience)


def test_it_asks_steadily_for_a_page_that_clients_ask_for(edge: Balancer) -> None:
    running = probe(edge)
    running.start()
    eventually(lambda: len(edge.requests) >= 30)
    running.mark(NEW)
    edge.answer = lambda number: Reply(NEW, "web1")
    eventually(lambda: len(edge.requests) >= 60)
    found = running.stop()
    assert found.requests >= 60
    assert (found.failures, found.counted) == (0, 0)
    assert 40 < found.rate <= 110
    assert found.live_seconds is not None
    assert {(path, agent) for path, agent, _ in edge.requests} == {(PATH, AGENT)}
    assert not PATH.startswith(("/healthz", "/readyz")), "those say nothing of the application's own views"


def test_half_of_the_requests_come_over_kept_connections(edge: Balancer) -> None:
    running = probe(edge, rate=50)
    running.start()
    eventually(lambda: len(edge.requests) >= 40)
    running.stop()
    used: dict[tuple[str, int], int] = {}
    for _, _, connection in edge.requests:
        used[connection] = used.get(connection, 0) + 1
    assert sum(count for count in used.values() if count == 1) == pytest.approx(len(edge.requests) / 2, abs=3)
    assert max(used.values()) >= 10


def test_slow_answers_do_not_slow_the_pace(edge: Balancer) -> None:
    """A pace that waited for an answer would have sent one by then."""
    edge.answer = lambda number: Reply(OLD, "web1", seconds=10)
    running = probe(edge)
    began = time.monotonic()
    running.start()
    eventually(lambda: len(edge.requests) >= 40)
    assert time.monotonic() - began < 9
    running.stop()


def test_it_stops_within_a_second_whatever_hangs_and_leaves_no_thread_at_work(edge: Balancer) -> None:
    edge.answer = lambda number: Reply(OLD, "web1", seconds=30)
    running = probe(edge)
    running.start()
    eventually(lambda: len(edge.requests) >= 20)
    began = time.monotonic()
    found = running.stop()
    assert time.monotonic() - began < 1.0
    assert found.requests == 0, "nothing was overdue yet: nobody knows"
    asked = len(edge.requests)
    edge.over.set()
    eventually(lambda: not [each for each in threading.enumerate() if each.name == "probe"])
    assert len(edge.requests) == asked


def test_no_answer_in_time_is_a_failure(edge: Balancer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.release.probe.ANSWER_SECONDS", 0.2)
    edge.answer = lambda number: Reply(OLD, "web1", seconds=30 if number >= 20 else 0)
    running = probe(edge)
    running.start()
    eventually(lambda: len(edge.requests) >= 20)
    running.mark(NEW)
    eventually(lambda: len(edge.requests) >= 60)
    found = running.stop()
    assert found.failures >= 10
    assert found.counted >= 10
    assert found.reason == "no answer within 0 s"


def test_it_survives_a_dead_balancer_and_counts_what_it_did_not_answer(edge: Balancer) -> None:
    running = probe(edge, LOCAL, "127.0.0.2")  # nobody listens there
    running.start()
    eventually(lambda: len(edge.requests) >= 20)
    running.mark(NEW)
    eventually(lambda: len(edge.requests) >= 30)
    found = running.stop()
    assert found.failures == pytest.approx(found.requests / 2, abs=4)
    assert found.counted == 0, "it was dead before the switch"
    assert found.p50_ms is not None


@pytest.mark.parametrize("patience", [0, 4])
def test_connections_that_are_cut_fail_requests_unless_they_are_sent_again(edge: Balancer, patience: float) -> None:
    """An address that moves to another balancer takes no connection along."""
    edge.answer = lambda number: Reply(OLD, "web1", cut=20 <= number < 30)
    running = probe(edge, patience=patience)
    running.start()
    eventually(lambda: len(edge.requests) >= 60)
    assert running.stop().failures == (0 if patience else 10)


def test_patience_has_an_end(edge: Balancer) -> None:
    edge.answer = lambda number: Reply(OLD, "web1", cut=number >= 20)
    running = probe(edge, rate=20, patience=0.5)
    running.start()
    eventually(lambda: running.failed() >= 1)
    running.stop()


def test_an_answer_is_taken_whatever_it_says(edge: Balancer) -> None:
    edge.answer = lambda number: Reply(OLD, "web1", status=503)
    running = probe(edge, patience=4)
    running.start()
    eventually(lambda: len(edge.requests) >= 20)
    found = running.stop()
    assert found.failures == found.requests == len(edge.requests)


def test_one_that_was_never_started_can_be_stopped(edge: Balancer) -> None:
    assert probe(edge).stop().requests == 0
    assert edge.requests == []


def test_its_rate_is_the_environments(edge: Balancer) -> None:
    assert Probe([LOCAL], edge.settings).rate == edge.settings.probe_rate
