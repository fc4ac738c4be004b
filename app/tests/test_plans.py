"""How PostgreSQL answers on a hundred thousand listings and bookings: by an index, whatever is asked."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoDbBlocker
from rest_framework.test import APIClient

from booking.accounts.models import User
from booking.bookings.selectors import nights_taken
from booking.listings.models import Listing
from booking.listings.selectors import ORDERS
from tests.helpers import client_of, make_user

ROWS = 100_000
EMPTY = "TRUNCATE bookings_booking, listings_listing, accounts_user CASCADE"
# A hundred towns, four hundred prices, eight capacities, currencies as unequal as they are, a tenth hidden.
LISTINGS = """
    INSERT INTO listings_listing
        (host_id, title, description, place, price_per_night, currency, capacity, status, created_at)
    SELECT %s, 'House ' || n, 'Word' || trunc(random() * 5000) || ' everywhere',
        'Town ' || trunc(random() * 100), 20 + trunc(random() * 400),
        CASE WHEN random() < 0.02 THEN 'USD' WHEN random() < 0.2 THEN 'EUR' ELSE 'ETB' END,
        1 + trunc(random() * 8), CASE WHEN random() < 0.1 THEN 'hidden' ELSE 'published' END, now()
    FROM generate_series(1, %s) n
"""
# Two stays each in half of the listings, four nights of ten, so that none overlap.
BOOKINGS = """
    INSERT INTO bookings_booking
        (listing_id, guest_id, check_in, check_out, guests, status, price_per_night, price_total, currency,
         created_at)
    SELECT id, %s, day, day + 4, 1, CASE WHEN id %% 10 = 7 THEN 'cancelled' ELSE 'confirmed' END, 20, 80,
        'ETB', now()
    FROM (SELECT id, DATE '2030-01-01' + (id * 31 %% 300)::int + 10 * stay AS day
          FROM listings_listing, generate_series(0, 1) stay WHERE id %% 2 = 1) drawn
"""


@pytest.fixture(scope="module")
def many(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[User]:
    """The host of all of them; a second one has a hundred."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(EMPTY)
        cursor.execute("SELECT setseed(0.5)")  # the same rows every time
        host, other = make_user("many@example.org"), make_user("few@example.org")
        cursor.execute(LISTINGS, [host.pk, ROWS])
        cursor.execute("UPDATE listings_listing SET host_id = %s WHERE id %% 1000 = 0", [other.pk])
        cursor.execute(BOOKINGS, [other.pk])
        cursor.execute("VACUUM ANALYZE listings_listing, bookings_booking")
        yield other
        cursor.execute(EMPTY)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each step of a plan."""
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def explained(sql: str) -> tuple[list[dict[str, Any]], float]:
    """The steps that PostgreSQL takes for a statement, which is run, and the milliseconds."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [([plan],)] = cursor.fetchall()
    return list(nodes(plan["Plan"])), plan["Execution Time"]


def plan_of(query: str, client: APIClient | None = None) -> tuple[set[str], float]:
    """The indexes that answered the page of `query`, and the milliseconds; no table was read through."""
    with CaptureQueriesContext(connection) as asked:
        answer = (client or client_of()).get(f"/api/v1/listings/?{query}")
    assert answer.status_code == 200, answer.content
    [sql] = [query["sql"] for query in asked if "listings_listing" in query["sql"]]
    steps, elapsed = explained(sql)
    assert not [step for step in steps if step["Node Type"] == "Seq Scan"], json.dumps(steps[0], indent=1)
    return {step["Index Name"] for step in steps if "Index Name" in step}, elapsed


def cursor(text: str) -> str:
    """The cursor of a place in an order."""
    return quote(b64encode(f"p={text}".encode()).decode())


DATES = "check_in=2030-03-01&check_out=2030-03-05"
OVERLAP = "bookings_booking_no_overlap"
# Which of the two finds the stays of a hundred listings for less depends on what ANALYZE happened to sample.
OF_FEW = f"{OVERLAP} or bookings_booking_listing_id_3af24c7b"
# The query and the index (or one of them) without which it would read the table or sort what it need not.
ANSWERED = [
    ("", "listings_listing_pkey"),
    ("ordering=newest", "listings_listing_pkey"),
    ("ordering=price", "listings_listing_price"),
    ("ordering=-price", "listings_listing_price"),
    ("ordering=capacity", "listings_listing_capacity"),
    ("place=Town+7", "listings_listing_place"),
    ("place=nowhere", "listings_listing_place"),
    ("price_min=500", "listings_listing_price"),
    ("price_max=19", "listings_listing_price"),
    ("price_min=100&price_max=110&ordering=price", "listings_listing_price"),
    ("currency=USD&ordering=price", "listings_listing_currency"),
    ("currency=USD&price_min=400", "listings_listing_currency"),
    ("guests=8&ordering=capacity", "listings_listing_capacity"),
    ("search=word77", "listings_listing_words"),
    ("search=house+word77&ordering=price", "listings_listing_words"),
    (DATES, OVERLAP),
    *((f"{DATES}&ordering={order}", OVERLAP) for order in ORDERS),
    (f"{DATES}&place=Town+7&guests=8", OF_FEW),
    (f"{DATES}&search=word77", OF_FEW),
]


@pytest.mark.usefixtures("db", "many")
@pytest.mark.parametrize(("query", "index"), ANSWERED)
def test_a_filter_or_an_order_is_answered_by_its_index(query: str, index: str) -> None:
    used, _ = plan_of(query)
    assert used & set(index.split(" or "))


FILTERS = (
    "place=Town+7", "price_min=100&price_max=110", "currency=USD", "currency=ETB", "guests=8", "guests=1",
    "search=word77", "search=everywhere", DATES,
)  # fmt: skip
MIDDLES = {"newest": "50000", "price": "200.00,50000", "-price": "200.00,50000", "capacity": "4,50000"}


@pytest.mark.usefixtures("db", "many")
@pytest.mark.parametrize("query", FILTERS)
def test_every_filter_in_every_order_on_the_first_page_and_in_the_middle(query: str) -> None:
    for order, middle in MIDDLES.items():
        for page in ("", f"&cursor={cursor(middle)}"):
            used, elapsed = plan_of(f"{query}&ordering={order}{page}")
            assert used
            assert elapsed < 100, (
                query,
                order,
                page,
            )  # milliseconds; some 10 at most while nothing else runs


@pytest.mark.usefixtures("db", "many")
@pytest.mark.parametrize(
    ("order", "index"), [("price", "price"), ("-price", "price"), ("capacity", "capacity")]
)
def test_a_page_in_the_middle_reads_no_more_than_the_first(order: str, index: str) -> None:
    # 12,500 places take four guests: what only skips them would read them all.
    for page in ("", f"&cursor={cursor(MIDDLES[order])}"):
        with CaptureQueriesContext(connection) as asked:
            client_of().get(f"/api/v1/listings/?ordering={order}{page}")
        steps, _ = explained(asked[0]["sql"])
        [scan] = [step for step in steps if "Index Name" in step]
        assert scan["Index Name"] == f"listings_listing_{index}"
        assert scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) < 100


@pytest.mark.usefixtures("db")
def test_the_listings_of_a_host_are_found_by_their_host(many: User) -> None:
    used, _ = plan_of("mine=true", client_of(many))
    assert any("host" in index for index in used)


@pytest.mark.usefixtures("db", "many")
def test_control_without_its_index_a_place_is_looked_for_in_the_whole_table() -> None:
    with connection.cursor() as database:
        database.execute("DROP INDEX listings_listing_place")  # undone with the test's transaction
        database.execute("SET LOCAL enable_indexscan = off")
    with pytest.raises(AssertionError, match="Seq Scan"):
        plan_of("place=nowhere")


@pytest.mark.usefixtures("db")
def test_the_calendar_of_a_place_is_read_by_an_index(many: User) -> None:
    place = Listing.objects.order_by("id").first()
    assert place
    with CaptureQueriesContext(connection) as asked:
        nights_taken(listing=place, first=date(2030, 1, 1), last=date(2031, 1, 1))
    steps, _ = explained(asked[0]["sql"])
    assert "Seq Scan" not in {step["Node Type"] for step in steps}
