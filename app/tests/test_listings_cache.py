"""Listings in Redis: what is kept, when it is forgotten, and what happens where Redis fails."""

import time
from collections.abc import Callable
from decimal import Decimal
from threading import Event, Thread
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connections, transaction
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from booking.accounts.models import User
from booking.core.cache import REDIS
from booking.listings import cache as listings_cache
from booking.listings import selectors, services, views
from booking.listings.models import Listing
from booking.listings.services import listing_create, listing_update
from tests.helpers import at_once, client_of, day, make_listing
from tests.redis import Redis

URL = "/api/v1/listings/"
pytestmark = [pytest.mark.django_db(transaction=True)]


def price(listing: Listing) -> str:
    """What one listing is said to cost."""
    return str(client_of().get(f"{URL}{listing.pk}/").json()["price_per_night"])


def prices(query: str = "") -> list[str]:
    """What the list says."""
    return [found["price_per_night"] for found in client_of().get(f"{URL}?{query}").json()["results"]]


@pytest.mark.usefixtures("redis")
def test_a_second_reader_costs_the_database_nothing(
    listing: Listing, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for path in (f"{URL}{listing.pk}/", URL, f"{URL}?place=gondar&guests=2", f"{URL}?guests=2&place=gondar"):
        first = client_of().get(path)
        with django_assert_num_queries(0):
            second = client_of().get(path)
        assert (second.status_code, second.content) == (first.status_code, first.content)
        assert second.headers["Content-Type"] == "application/json"
    with django_assert_num_queries(0):  # the same question in another order of words
        client_of().get(f"{URL}?place=gondar&&unheard=of&search=&guests=2")


def page(query: str = "", user: User | None = None) -> str:
    """The page of places, for a person."""
    browser = Client(HTTP_HOST="booking.example", HTTP_X_FORWARDED_PROTO="https", HTTP_ACCEPT="text/html")
    if user:
        browser.force_login(user)
    return browser.get(f"/?{query}").content.decode()


@pytest.mark.usefixtures("redis")
def test_the_cards_of_a_page_are_drawn_once_for_all_and_anew_after_a_change(
    guest: User, listing: Listing, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert "80.50" in page()
    with django_assert_num_queries(0):
        assert "80.50" in page("search=&unheard=of")
    mine = page(user=guest)
    assert guest.name in mine or "Sign out" in mine
    assert guest.name not in page()
    listing_update(listing=listing, price_per_night=Decimal("99.00"))
    assert "99.00" in page()
    assert "99.00" not in page(f"before={listing.pk}")
    assert "99.00" not in page("guests=50")


@pytest.mark.usefixtures("redis")
def test_cards_for_dates_are_drawn_each_time(
    listing: Listing, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(2):
        with django_assert_num_queries(1):
            page(f"check_in={day(1)}&check_out={day(3)}")


@pytest.mark.usefixtures("redis")
def test_a_release_does_not_answer_what_its_neighbour_wrote_and_forgets_with_it(
    listing: Listing, settings: Settings
) -> None:
    def shown(release: str) -> str:
        settings.RELEASE_ID = release
        return price(listing)

    assert shown("old") == "80.50"
    Listing.objects.update(price_per_night=Decimal("99.00"))  # past the services: what is kept stays
    assert [shown("old"), shown("new")] == ["80.50", "99.00"]
    listing_update(listing=listing, price_per_night=Decimal("70.00"))
    assert [shown("old"), shown("new")] == ["70.00", "70.00"]


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("query", ["check_in=2030-01-01&check_out=2030-01-02", "mine=true"])
def test_what_is_free_and_what_is_mine_is_not_kept(
    host: User, listing: Listing, query: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = client_of(host)
    client.get(f"{URL}?{query}")
    with django_assert_num_queries(2):  # who asks, and the list
        client.get(f"{URL}?{query}")


@pytest.mark.usefixtures("redis")
def test_a_hidden_listing_is_kept_for_nobody(host: User, listing: Listing) -> None:
    assert prices() == ["80.50"]
    listing_update(listing=listing, status="hidden")
    assert client_of(host).get(f"{URL}{listing.pk}/").status_code == 200
    assert client_of().get(f"{URL}{listing.pk}/").status_code == 404
    assert prices() == []


@pytest.mark.usefixtures("redis")
def test_what_is_wrong_is_not_kept(listing: Listing) -> None:
    for path, status in ((f"{URL}?cursor=x", 404), (f"{URL}?guests=x", 400), (f"{URL}99/", 404)):
        assert [client_of().get(path).status_code for _ in range(2)] == [status, status]


CHANGES: list[Callable[[Listing], Any]] = [
    lambda place: listing_update(listing=place, price_per_night=Decimal("99.00")),
    lambda place: listing_create(
        host=place.host, title="b", place="Harar", price_per_night=Decimal(5), currency="ETB", capacity=1
    ),
]


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("change", CHANGES, ids=["update", "create"])
def test_every_service_that_changes_what_is_shown_is_seen_at_once(
    listing: Listing, change: Callable[[Listing], Any]
) -> None:
    assert prices() == [price(listing)]
    change(listing)
    shown = [str(found.price_per_night) for found in Listing.objects.order_by("-id")]
    assert prices() == [f"{Decimal(one):.2f}" for one in shown]
    assert price(listing) == shown[-1]


@pytest.mark.usefixtures("redis")
def test_a_change_that_is_undone_forgets_nothing(
    listing: Listing, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    price(listing)
    with transaction.atomic():
        listing_update(listing=listing, price_per_night=Decimal("99.00"))
        transaction.set_rollback(True)
    with django_assert_num_queries(0):
        assert price(listing) == "80.50"


@pytest.mark.usefixtures("redis")
def test_a_change_is_forgotten_after_it_is_there_to_be_read_and_not_before(listing: Listing) -> None:
    with transaction.atomic():
        listing_update(listing=listing, price_per_night=Decimal("99.00"))
        before = cache.get(listings_cache.VERSION)
    assert cache.get(listings_cache.VERSION) != before


def slow_reader(monkeypatch: pytest.MonkeyPatch, listing: Listing) -> tuple[Thread, Event]:
    """Somebody who has read the listing of the database, and stores it when the event is set."""
    has_read, may_store, real = Event(), Event(), selectors.listing_shown

    def slow(*args: Any, **kwargs: Any) -> dict[str, Any]:
        row = real(*args, **kwargs)
        has_read.set()
        may_store.wait(10)
        return row

    def read() -> None:
        try:
            price(listing)
        finally:
            connections.close_all()

    monkeypatch.setattr(views, "listing_shown", slow)
    thread = Thread(target=read)
    thread.start()
    assert has_read.wait(10)
    monkeypatch.setattr(views, "listing_shown", real)
    return thread, may_store


@pytest.mark.usefixtures("redis")
@pytest.mark.parametrize("version_first", [True, False], ids=["as it is", "control: the version read late"])
def test_what_was_read_before_a_change_and_stored_after_it_is_given_to_nobody(
    listing: Listing, monkeypatch: pytest.MonkeyPatch, version_first: bool
) -> None:
    if not version_first:

        def late(what: str, read: Callable[[], bytes]) -> bytes:
            body = read()
            return real(what, lambda: body)

        real = listings_cache.kept
        monkeypatch.setattr(views, "kept", late)
    thread, may_store = slow_reader(monkeypatch, listing)
    listing_update(listing=listing, price_per_night=Decimal("99.00"))
    may_store.set()
    thread.join(10)
    monkeypatch.undo()
    assert price(listing) == ("99.00" if version_first else "80.50")


@pytest.mark.usefixtures("redis")
def test_a_version_that_redis_lost_brings_nothing_old_back(listing: Listing) -> None:
    price(listing)
    Listing.objects.update(price_per_night=Decimal("99.00"))  # past the services: still kept
    assert price(listing) == "80.50"
    cache.delete(listings_cache.VERSION)
    assert price(listing) == "99.00"


def race(listing: Listing, *, rounds: int) -> list[str]:
    """What readers saw that was older than what had been acknowledged before they asked.

    Two write rising prices, each its own listing's; four read one of the two, then the list.
    """
    places = [listing, make_listing(listing.host)]
    acknowledged, ended, older = [0, 0], Event(), []

    def write(which: int) -> None:
        client = client_of(listing.host)
        for number in range(1, rounds + 1):
            answer = client.patch(f"{URL}{places[which].pk}/", {"price_per_night": f"{number}.00"})
            assert answer.status_code == 200
            acknowledged[which] = number

    def read(which: int) -> None:
        client = client_of()
        while not ended.is_set():
            least = acknowledged[which]
            one = float(client.get(f"{URL}{places[which].pk}/").json()["price_per_night"])
            listed = {
                found["id"]: float(found["price_per_night"]) for found in client.get(URL).json()["results"]
            }
            for kind, seen in (("one", one), ("list", listed[places[which].pk])):
                if seen < least:
                    older.append(f"{kind}: {seen} after {least}")

    def act(number: int) -> None:
        if number > 1:
            return read(number % 2)
        try:
            write(number)
        finally:
            if acknowledged == [rounds, rounds] or acknowledged[number] < rounds:
                ended.set()

    listing_update(listing=places[0], price_per_night=Decimal(1))
    listing_update(listing=places[1], price_per_night=Decimal(1))
    at_once(6, act)
    return older


@pytest.mark.usefixtures("redis")
def test_no_reader_sees_an_older_state_once_a_change_is_acknowledged(listing: Listing) -> None:
    assert race(listing, rounds=60) == []


@pytest.mark.usefixtures("redis")
def test_control_without_forgetting_readers_see_older_states(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "forget", lambda: None)
    assert race(listing, rounds=20)


def test_without_redis_every_reader_sees_the_last_state(
    listing: Listing, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(1, 4):
        listing_update(listing=listing, price_per_night=Decimal(number))
        with django_assert_num_queries(2):
            assert [price(listing)] == prices() == [f"{number}.00"]


def test_where_redis_fails_the_writer_others_see_the_state_before_for_a_bounded_time(
    listing: Listing, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings_cache, "SECONDS", 2)
    assert price(listing) == "80.50"
    stored = time.monotonic()
    REDIS.failure, REDIS._until = OSError(), time.monotonic() + 60  # the writer's process cannot reach it
    listing_update(listing=listing, price_per_night=Decimal("99.00"))
    assert price(listing) == "99.00"  # nor does it read there
    REDIS.failure = None  # a reader in a process that can
    assert price(listing) == "80.50"
    time.sleep(max(0.0, stored + 2.5 - time.monotonic()))
    assert price(listing) == "99.00"


def test_the_time_for_which_others_may_see_the_state_before_is_half_a_minute() -> None:
    assert listings_cache.SECONDS == 30


def test_redis_away_and_back_with_what_it_had_shows_nothing_older_than_its_time(
    listing: Listing, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(REDIS, "seconds", 0.1)
    assert price(listing) == "80.50"
    redis.stop()
    listing_update(listing=listing, price_per_night=Decimal("99.00"))
    assert price(listing) == "99.00"
    redis.start()
    time.sleep(0.15)
    assert price(listing) == "99.00"
