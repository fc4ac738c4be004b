"""The breaker, and a cache that may be away: what it costs, what it answers, how it comes back."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from django.core.cache import cache, caches
from pytest_django import Settings

from booking.core.breaker import Breaker, Unavailable
from booking.core.cache import REDIS
from tests.redis import Redis


class Wrong(Exception):
    """A failure of the other side."""


def fails(breaker: Breaker) -> bool:
    """Whether the block was run; it fails if it was."""
    ran = []

    def attempt() -> None:
        with breaker.guard(Wrong):
            ran.append(True)
            raise Wrong

    with pytest.raises(Unavailable):
        attempt()
    return bool(ran)


def test_after_a_failure_nothing_is_tried_for_the_period_and_then_once() -> None:
    breaker = Breaker(seconds=0.1)
    assert fails(breaker)
    assert not fails(breaker)
    time.sleep(0.11)
    assert fails(breaker)
    assert not fails(breaker)


def test_a_success_closes_it_and_tells_so() -> None:
    breaker = Breaker(seconds=0.05)
    fails(breaker)
    assert isinstance(breaker.failure, Wrong)
    time.sleep(0.06)
    with breaker.guard(Wrong):
        pass
    assert breaker.failure is None
    assert fails(breaker)


def test_what_is_no_failure_of_the_other_side_passes_and_closes_nothing_off() -> None:
    breaker = Breaker(seconds=60)
    for _ in range(2):
        with pytest.raises(KeyError), breaker.guard(Wrong):
            raise KeyError
    assert breaker.failure is None


def test_one_caller_alone_tries_again_while_the_others_are_refused() -> None:
    breaker, trying, go_on = Breaker(seconds=0.2), Event(), Event()
    fails(breaker)
    time.sleep(0.21)

    def trial() -> None:
        with breaker.guard(Wrong):
            trying.set()
            go_on.wait(10)

    thread = Thread(target=trial)
    thread.start()
    assert trying.wait(10)
    assert not fails(breaker)
    go_on.set()
    thread.join(10)
    assert fails(breaker)


@contextmanager
def at(settings: Settings, location: str) -> Iterator[None]:
    """The cache's settings with Redis at `location`."""
    options = settings.CACHES["default"]["OPTIONS"] | {"password": None}
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": location, "OPTIONS": options}}
    yield
    caches.close_all()


@pytest.fixture(params=["silent", "unreachable"])
def no_answer(request: pytest.FixtureRequest, settings: Settings) -> Iterator[None]:
    """A Redis that takes the connection and never answers, and one that never takes it (SYNs are dropped)."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        queued = []
        if request.param == "unreachable":  # a full queue of connections drops what comes
            for _ in range(4):
                queued.append(socket.socket())
                queued[-1].setblocking(False)
                queued[-1].connect_ex(("127.0.0.1", port))
        with at(settings, f"redis://127.0.0.1:{port}/0"):
            yield
        for connection in queued:
            connection.close()


@pytest.mark.usefixtures("no_answer")
def test_a_redis_that_does_not_answer_costs_half_a_second_once_and_not_per_call() -> None:
    started = time.monotonic()
    assert cache.get("a") is None
    once = time.monotonic() - started
    for _ in range(100):
        cache.set("a", 1)
        assert cache.get("a") is None
    assert time.monotonic() - started < 0.6
    # The control: what one call waits without the breaker, it was not refused at once.
    assert once > 0.2


@pytest.mark.usefixtures("no_answer")
def test_control_without_the_breaker_every_call_costs_its_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REDIS, "seconds", 0)
    started = time.monotonic()
    for _ in range(4):
        cache.get("a")
    assert time.monotonic() - started > 0.9


def test_without_redis_every_operation_says_not_there_or_not_done() -> None:
    for _ in range(2):  # refused by Redis' port, then by the breaker
        assert cache.get("a") is None
        assert cache.get("a", 7) == 7
        assert cache.get_many(["a", "b"]) == {}
        assert cache.get_or_set("a", 3) == 3
        assert not cache.has_key("a")
        assert not cache.add("a", 1)
        assert not cache.touch("a")
        assert not cache.delete("a")
        cache.clear()
        cache.set("a", 1)
        cache.set_many({"a": 1})
        cache.delete_many(["a"])
        for change in (cache.incr, cache.decr):
            with pytest.raises(ValueError, match="Redis does not answer"):
                change("a")


def test_with_redis_every_operation_does_its_work(redis: Redis) -> None:
    assert cache.add("a", 1)
    assert not cache.add("a", 2)
    assert cache.incr("a") == 2
    assert (cache.get("a"), cache.has_key("a"), cache.touch("a")) == (2, True, True)
    with pytest.raises(ValueError, match="not found"):
        cache.incr("missing")
    cache.set_many({"b": b"\x00", "c": [1]})
    assert cache.get_many(["b", "c", "d"]) == {"b": b"\x00", "c": [1]}
    assert cache.delete("b")
    cache.clear()
    assert cache.get("a", "gone") == "gone"


def test_a_redis_that_comes_back_is_used_again_after_the_period(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(REDIS, "seconds", 0.1)
    cache.set("a", 1)
    redis.stop()
    assert cache.get("a") is None
    redis.start()
    assert cache.get("a", "refused") == "refused"
    time.sleep(0.11)
    cache.set("a", 2)
    assert cache.get("a") == 2
