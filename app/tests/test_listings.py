"""Listings: create, retrieve, filter, page."""

from base64 import b64encode
from decimal import Decimal
from urllib.parse import quote

import pytest
from pytest_django import DjangoAssertNumQueries

from booking.accounts.models import User
from booking.listings.models import Listing
from tests.helpers import client_of, make_listing

URL = "/api/v1/listings/"
BODY = {
    "title": "Flat by the lake",
    "place": "Bahir Dar",
    "price_per_night": "1200.00",
    "currency": "ETB",
    "capacity": 3,
}


def test_a_host_offers_a_place_and_anybody_can_read_it(host: User) -> None:
    answer = client_of(host).post(URL, BODY)
    assert answer.status_code == 201
    offered = answer.json()
    assert offered | BODY == offered
    assert (offered["host"], offered["description"]) == (host.pk, "")
    assert client_of().get(f"{URL}{offered['id']}/").json() == offered


def test_offering_a_place_asks_for_a_token(db: None) -> None:
    assert client_of().post(URL, BODY).status_code == 401
    assert not Listing.objects.exists()


def test_the_host_of_a_listing_is_who_asks_whatever_the_body_says(host: User, guest: User) -> None:
    assert client_of(guest).post(URL, BODY | {"host": host.pk, "id": 7}).json()["host"] == guest.pk
    assert Listing.objects.get().pk != 7


@pytest.mark.parametrize("number", ["1", "9223372036854775808", "9" * 40])
def test_a_listing_that_is_not_there_is_404(db: None, number: str) -> None:
    answer = client_of().get(f"{URL}{number}/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", ["c", "b", "a"]),
        ("place=gondar", ["b", "a"]),
        ("price_min=50", ["c", "b"]),
        ("price_max=50", ["b", "a"]),
        ("price_min=50&price_max=50", ["b"]),
        ("guests=3", ["c", "b"]),
        ("currency=usd", ["c"]),
        ("place=gondar&guests=3", ["b"]),
        ("place=nowhere", []),
        ("guests=99999999999999999999", []),
    ],
)
def test_filters(host: User, query: str, titles: list[str]) -> None:
    make_listing(host, title="a", place="Gondar", price_per_night=Decimal(20), capacity=1)
    make_listing(host, title="b", place="Gondar", price_per_night=Decimal(50), capacity=3)
    make_listing(host, title="c", place="Mekelle", price_per_night=Decimal(90), capacity=6, currency="USD")
    answer = client_of().get(f"{URL}?{query}")
    assert [listing["title"] for listing in answer.json()["results"]] == titles


@pytest.mark.parametrize(
    "query", ["price_min=cheap", "guests=many", "price_max=NaN", "place=%00", "price_min=1e9999"]
)
def test_a_filter_that_makes_no_sense_is_400_and_names_itself(db: None, query: str) -> None:
    answer = client_of().get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert list(answer.json()["error"]["fields"]) == [query.split("=")[0]]


def test_pages_follow_each_other_and_hold_each_listing_once(host: User) -> None:
    made = [make_listing(host, title=str(number)).pk for number in range(7)]
    client, seen, link = client_of(), [], f"{URL}?page_size=3"
    while link:
        page = client.get(link).json()
        seen += [listing["id"] for listing in page["results"]]
        # A listing that arrives meanwhile shifts nothing.
        make_listing(host, title="late")
        link = page["next"]
    assert seen == made[::-1]
    assert page["previous"].startswith("https://booking.example/api/v1/listings/")


@pytest.mark.parametrize(("asked", "given"), [("", 20), ("page_size=2", 2), ("page_size=9999", 100)])
def test_a_page_has_twenty_unless_asked_and_never_more_than_a_hundred(
    host: User, asked: str, given: int
) -> None:
    Listing.objects.bulk_create(
        Listing(host=host, title="x", place="y", price_per_night=1, currency="EUR", capacity=1)
        for _ in range(101)
    )
    assert len(client_of().get(f"{URL}?{asked}").json()["results"]) == given


def test_a_page_of_listings_costs_one_query(
    host: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        make_listing(host)
    with django_assert_num_queries(1):
        client_of().get(URL)


@pytest.mark.parametrize(
    "cursor",
    [
        "é",
        *(b64encode(text).decode() for text in (b"p=abc", b"p=1;drop", b"r=x&p=1", b"o=-1", b"p=\x00")),
    ],
)
def test_a_cursor_that_no_page_gave_out_is_404(db: None, cursor: str) -> None:
    answer = client_of().get(f"{URL}?cursor={quote(cursor)}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_cursor_far_beyond_the_last_row_is_an_empty_or_full_page(host: User) -> None:
    make_listing(host)
    cursor = b64encode(b"p=" + b"9" * 30).decode()
    assert client_of().get(f"{URL}?cursor={quote(cursor)}").status_code == 200


def test_a_listing_is_known_by_its_title(listing: Listing) -> None:
    assert str(listing) == "A room with a view"
