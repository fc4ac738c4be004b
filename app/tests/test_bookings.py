"""Booking, cancelling and listing one's bookings over HTTP."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from booking.accounts.models import User
from booking.bookings.models import Booking, Status
from booking.listings.models import Listing
from tests.helpers import client_of, day, make_listing, make_user, stay

URL = "/api/v1/bookings/"


def test_a_booking_answers_with_its_price_and_is_stored(guest: User, listing: Listing) -> None:
    answer = client_of(guest).post(URL, stay(listing, 1, 4))
    assert answer.status_code == 201
    body = answer.json()
    assert (body["price_per_night"], body["price_total"], body["currency"]) == ("80.50", "241.50", "EUR")
    assert body["status"] == "confirmed"
    assert body["listing"] == {"id": listing.pk, "title": listing.title, "place": listing.place}
    stored = Booking.objects.get(pk=body["id"])
    assert (stored.guest, stored.check_in, stored.check_out) == (guest, day(1), day(4))


def test_the_price_of_a_booking_stays_when_the_listing_becomes_dearer(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    client.post(URL, stay(listing, 1, 3))
    Listing.objects.update(price_per_night=Decimal("500.00"), currency="USD")
    booked = client.get(URL).json()["results"][0]
    assert (booked["price_per_night"], booked["price_total"], booked["currency"]) == (
        "80.50",
        "161.00",
        "EUR",
    )


@pytest.mark.parametrize(
    ("first", "last"),
    [(10, 15), (11, 12), (8, 11), (14, 20), (8, 20)],
    ids=["the same", "inside", "over its start", "over its end", "around it"],
)
def test_dates_that_overlap_are_refused_with_409(
    guest: User, listing: Listing, first: int, last: int
) -> None:
    client = client_of(guest)
    assert client.post(URL, stay(listing, 10, 15)).status_code == 201
    answer = client.post(URL, stay(listing, first, last))
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "dates_taken"
    assert Booking.objects.count() == 1


def test_a_stay_may_begin_on_the_day_the_last_one_ends_and_end_where_the_next_begins(
    guest: User, listing: Listing
) -> None:
    client = client_of(guest)
    assert client.post(URL, stay(listing, 10, 15)).status_code == 201
    assert client.post(URL, stay(listing, 15, 16)).status_code == 201
    assert client.post(URL, stay(listing, 9, 10)).status_code == 201


def test_the_same_dates_elsewhere_are_free(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    assert client.post(URL, stay(listing)).status_code == 201
    assert client.post(URL, stay(make_listing(listing.host))).status_code == 201


def test_a_cancelled_booking_frees_its_dates_and_cancelling_twice_does_no_harm(
    guest: User, listing: Listing
) -> None:
    client = client_of(guest)
    booking = client.post(URL, stay(listing)).json()["id"]
    for _ in range(2):
        answer = client.post(f"{URL}{booking}/cancel/")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert client.post(URL, stay(listing)).status_code == 201
    assert Booking.objects.get(pk=booking).status == Status.CANCELLED


def test_cancelling_again_after_the_dates_went_to_another_leaves_the_other_alone(
    guest: User, listing: Listing
) -> None:
    client, other = client_of(guest), make_user("other@example.org")
    first = client.post(URL, stay(listing)).json()["id"]
    client.post(f"{URL}{first}/cancel/")
    second = client_of(other).post(URL, stay(listing)).json()["id"]
    client.post(f"{URL}{first}/cancel/")
    assert Booking.objects.get(pk=second).status == Status.CONFIRMED


def test_a_stay_that_is_over_cannot_be_cancelled(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    booking = client.post(URL, stay(listing)).json()["id"]
    week = timedelta(days=7)
    Booking.objects.update(check_in=timezone.localdate() - week, check_out=timezone.localdate())
    answer = client.post(f"{URL}{booking}/cancel/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "stay_over")
    assert Booking.objects.get().status == Status.CONFIRMED


def test_another_guests_booking_is_neither_listed_nor_cancelled(guest: User, listing: Listing) -> None:
    booking = client_of(guest).post(URL, stay(listing)).json()["id"]
    stranger = client_of(make_user("stranger@example.org"))
    assert stranger.get(URL).json()["results"] == []
    answer = stranger.post(f"{URL}{booking}/cancel/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert Booking.objects.get().status == Status.CONFIRMED


@pytest.mark.parametrize("count", [1, 8])
def test_my_bookings_cost_two_queries_however_many_there_are(
    guest: User, listing: Listing, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    client = client_of(guest)
    for number in range(count):
        client.post(URL, stay(listing, 1 + number, 2 + number))
    with django_assert_num_queries(2):  # who asks, and the bookings with their listings
        assert len(client.get(URL).json()["results"]) == count


def test_bookings_ask_for_a_token(listing: Listing) -> None:
    client = client_of()
    for answer in (client.get(URL), client.post(URL, stay(listing)), client.post(f"{URL}1/cancel/")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert not Booking.objects.exists()
