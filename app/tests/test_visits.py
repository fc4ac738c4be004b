"""Counts of the day: what is counted, and how it gets into the table, once."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from django.core.cache import cache, caches
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from booking.accounts.models import User
from booking.core import counters, visits
from booking.core.models import DailyCount
from tests.helpers import at_once, client_of
from tests.redis import Redis

LISTINGS = "/api/v1/listings/"


@pytest.fixture
def counted(settings: Settings) -> Iterator[None]:
    """A cache of this process that counts."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    yield
    cache.clear()
    caches.close_all()


def table() -> dict[tuple[date, str], int]:
    """What the table holds."""
    return {(row.day, row.what): row.count for row in DailyCount.objects.all()}


def today() -> date:
    """The day that is counted."""
    return timezone.localdate()


@pytest.mark.usefixtures("counted")
def test_requests_that_were_answered_are_counted_by_method_and_route(guest: User) -> None:
    for _ in range(3):
        client_of().get(f"{LISTINGS}?place=secret", HTTP_X_FORWARDED_FOR="192.0.2.7")
    client_of(guest).patch("/api/v1/users/me/", {"name": "Ada"})
    client_of().get("/nothing")  # no route
    client_of().get(f"{LISTINGS}999/")  # refused
    client_of().get("/healthz")  # a probe
    assert visits.flush() == 4
    assert table() == {(today(), "GET listings"): 3, (today(), "PATCH me"): 1}
    assert str(DailyCount.objects.earliest("what")) == f"{today()} GET listings: 3"


@pytest.mark.usefixtures("counted", "db")
def test_a_second_flush_adds_nothing_and_a_later_one_what_came_since() -> None:
    client_of().get(LISTINGS)
    assert [visits.flush(), visits.flush()] == [1, 0]
    client_of().get(LISTINGS)
    assert visits.flush() == 1
    assert table() == {(today(), "GET listings"): 2}


@pytest.mark.usefixtures("counted", "db")
def test_a_flush_that_is_late_finds_the_days_before() -> None:
    days = [today() - timedelta(days=back) for back in range(4)]
    for day in days:
        counters.count(visits.key(day, "GET listings"), seconds=60)
    assert visits.flush() == 3
    assert set(table()) == {(day, "GET listings") for day in days[:3]}


@pytest.mark.usefixtures("counted", "db")
def test_nothing_of_a_person_is_in_a_counters_name() -> None:
    client_of().get(f"{LISTINGS}?place=secret", HTTP_X_FORWARDED_FOR="192.0.2.7", HTTP_USER_AGENT="browser")
    names = [name for name in vars(caches["default"])["_cache"] if "visits" in name]
    assert names == [f":1:visits:{today()}:GET:listings"]


@pytest.mark.django_db(transaction=True)
def test_of_flushes_at_once_and_requests_meanwhile_each_count_arrives_once(redis: Redis) -> None:
    client_of().get("/healthz")  # what is made at the first request is there

    def act(number: int) -> int:
        if number % 2:
            return sum(visits.flush() for _ in range(5))
        for _ in range(25):
            counters.count(visits.key(today(), "GET listings"), seconds=60)
        return 0

    moved = sum(at_once(8, act)) + visits.flush()
    assert moved == 100
    assert table() == {(today(), "GET listings"): 100}


@pytest.mark.usefixtures("counted")
def test_what_somebody_else_has_taken_is_given_back() -> None:
    assert [counters.count("x", seconds=60) for _ in range(3)] == [1, 2, 3]
    assert counters.take("x", 3) == 3
    assert counters.take("x", 3) == 0
    assert cache.get("x") == 0
    assert counters.take("gone", 1) == 0


@pytest.mark.usefixtures("counted", "db")
def test_a_counter_that_somebody_has_emptied_meanwhile_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    client_of().get(LISTINGS)
    monkeypatch.setattr(visits, "take", lambda key, number: 0)
    assert visits.flush() == 0
    assert table() == {(today(), "GET listings"): 0}


@pytest.mark.usefixtures("counted", "db")
def test_a_database_that_is_away_costs_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    client_of().get(LISTINGS)

    def fail(*arguments: object, **options: object) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(DailyCount.objects), "bulk_create", fail)
        with pytest.raises(OperationalError):
            visits.flush()
    assert visits.flush() == 1


@pytest.mark.django_db
def test_without_redis_nothing_is_counted_and_nothing_fails() -> None:
    assert client_of().get(LISTINGS).status_code == 200
    assert counters.count("x", seconds=60) == 0
    assert visits.flush() == 0
    assert table() == {}


def test_a_counter_that_another_began_in_between_is_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([False, True])

    def incr(self: object, key: str) -> int:
        if next(found):
            return 2
        raise ValueError

    monkeypatch.setattr(type(caches["default"]), "incr", incr)
    monkeypatch.setattr(type(caches["default"]), "add", lambda self, *arguments, **options: False)
    assert counters.count("x", seconds=60) == 2
