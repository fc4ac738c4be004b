"""Listings by pages: orders, cursors, sizes, and what a page costs."""

from base64 import b64decode, b64encode
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from pytest_django import DjangoAssertNumQueries

from booking.accounts.models import User
from booking.bookings.services import booking_cancel, booking_create
from booking.listings.models import Listing
from tests.helpers import client_of, day, make_listing, stay

URL = "/api/v1/listings/"


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


def drawn(host: User) -> list[Listing]:
    """Forty listings of three prices and three capacities: most of them share theirs with others."""
    return [make_listing(host, price_per_night=Decimal(10 + n % 3), capacity=1 + n % 2) for n in range(40)]


def ids(page: Any) -> list[int]:
    """Those of a page."""
    return [found["id"] for found in page["results"]]


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("newest", lambda place: -place.pk),
        ("price", lambda place: (place.price_per_night, place.pk)),
        ("-price", lambda place: (-place.price_per_night, -place.pk)),
        ("capacity", lambda place: (place.capacity, place.pk)),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 40])
def test_every_order_pages_through_draws_forwards_and_back(
    host: User, order: str, key: Any, size: int
) -> None:
    wanted = [place.pk for place in sorted(drawn(host), key=key)]
    client, pages = client_of(), []
    link = f"{URL}?ordering={order}&page_size={size}&guests=1"
    while link:
        pages.append(client.get(link).json())
        link = pages[-1]["next"]
    assert [found for page in pages for found in ids(page)] == wanted
    assert pages[0]["previous"] is None
    back = [pages[-1]]
    while back[-1]["previous"]:
        back.append(client.get(back[-1]["previous"]).json())
    assert [ids(page) for page in back[::-1]] == [ids(page) for page in pages]
    assert back[-1]["previous"] is None
    assert [page["next"] is None for page in back] == [True] + [False] * (len(pages) - 1)


def test_a_link_asks_the_same_question_and_nothing_else(host: User) -> None:
    drawn(host)
    link = client_of().get(f"{URL}?page_size=3&unheard=of&place=Gondar&ordering=price&search=").json()["next"]
    asked = parse_qs(urlsplit(link).query)
    assert link.startswith(f"https://booking.example{URL}?")
    assert asked | {"cursor": []} == {
        "page_size": ["3"],
        "place": ["Gondar"],
        "ordering": ["price"],
        "cursor": [],
    }


def test_a_cursor_of_the_release_before_leads_where_it_led(host: User) -> None:
    made = [place.pk for place in drawn(host)]
    after = quote(b64encode(f"p={made[20]}".encode()).decode())
    assert ids(client_of().get(f"{URL}?cursor={after}&page_size=3").json()) == made[19:16:-1]
    # And it reads ours: a position alone, and the mark of a way back.
    link = client_of().get(f"{URL}?page_size=3").json()["next"]
    assert parse_qs(b64decode(parse_qs(urlsplit(link).query)["cursor"][0]).decode()) == {"p": [str(made[-3])]}


@pytest.mark.parametrize(
    ("order", "position"),
    [
        ("price", "p=7"),
        ("price", "p=80.5,7"),
        ("price", "p=NaN,7"),
        ("price", "p=1e9,7"),
        ("price", "p=999999999.00,7"),
        ("capacity", "p=80.50,7"),
        ("capacity", "p=4,7,9"),
        ("newest", "p=4,7"),
        ("newest", "p=-4"),
        ("newest", "p=%D9%A3"),
        ("newest", "p=7&r=2"),
        ("newest", "r=1"),
    ],
)
def test_a_cursor_of_another_order_or_of_nobody_is_404(db: None, order: str, position: str) -> None:
    cursor = quote(b64encode(position.encode()).decode())
    answer = client_of().get(f"{URL}?ordering={order}&cursor={cursor}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(("asked", "given"), [("", 20), ("page_size=2", 2), ("page_size=9999", 100)])
def test_a_page_has_twenty_unless_asked_and_never_more_than_a_hundred(
    host: User, asked: str, given: int
) -> None:
    Listing.objects.bulk_create(
        Listing(host=host, title="x", place="y", price_per_night=1, currency="EUR", capacity=1)
        for _ in range(101)
    )
    assert len(client_of().get(f"{URL}?{asked}").json()["results"]) == given


@pytest.mark.parametrize("size", ["0", "-1", "many", "1.5"])
def test_a_page_size_that_is_no_number_of_rows_is_refused(guest: User, size: str) -> None:
    for path in (URL, "/api/v1/users/me/logins/"):
        answer = client_of(guest).get(path, {"page_size": size})
        assert (answer.status_code, set(answer.json()["error"]["fields"])) == (400, {"page_size"})


def test_a_page_of_listings_costs_one_query(
    host: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        make_listing(host)
    client = client_of(host)
    with django_assert_num_queries(1):
        client_of().get(URL)
    with django_assert_num_queries(1):
        client_of().get(f"{URL}?check_in=2030-01-01&check_out=2030-01-05&search=room&ordering=price")
    with django_assert_num_queries(2):  # and who asks
        client.get(f"{URL}?mine=true")


def test_one_listing_and_its_calendar_cost_a_query_or_two(
    listing: Listing, guest: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        client_of().get(f"{URL}{listing.pk}/")
    with django_assert_num_queries(2):
        client_of().get(f"{URL}{listing.pk}/availability/?from=2030-01-01&to=2030-02-01")


def test_dates_are_free_again_after_a_cancellation(listing: Listing, guest: User) -> None:
    booked = booking_create(guest=guest, **stay(listing, 2, 5))
    booking_cancel(guest=guest, booking=booked.pk)
    assert client_of().get(URL, {"check_in": str(day(2)), "check_out": str(day(5))}).json()["results"]


@pytest.mark.parametrize(
    "cursor",
    [
        "é",
        *(b64encode(text).decode() for text in (b"p=abc", b"p=1;drop", b"r=x&p=1", b"o=-1", b"p=\x00")),
        b64encode(b"p=" + b"9" * 30).decode(),
    ],
)
def test_a_cursor_that_no_page_gave_out_is_404(db: None, cursor: str) -> None:
    answer = client_of().get(f"{URL}?cursor={quote(cursor)}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_cursor_far_beyond_the_last_row_is_an_empty_or_full_page(host: User) -> None:
    make_listing(host)
    cursor = b64encode(b"p=" + b"9" * 18).decode()
    assert client_of().get(f"{URL}?cursor={quote(cursor)}").status_code == 200
