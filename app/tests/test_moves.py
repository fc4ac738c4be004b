"""A booking's states: which moves there are, who hears of them, and what time makes of it."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from booking.accounts.models import User
from booking.bookings.models import HOLDING, MOVES, AuditEntry, Booking, Status, moved
from booking.bookings.selectors import nights_taken
from booking.bookings.services import _move, booking_create, holds_expire, stays_complete
from booking.core.errors import ApplicationError
from booking.listings.models import Listing
from booking.listings.models import Status as ListingStatus
from tests.helpers import at_once, client_of, day, make_listing, make_user, stay
from tests.test_bad_input import assert_refused
from tests.test_retries import Fails

URL, HOSTING = "/api/v1/bookings/", "/api/v1/hosting/bookings/"
online = override_settings(CHAPA_SECRET_KEY="a key")


def trail() -> list[tuple[str, str, str, int | None]]:
    """The audit trail: subject, before, after, who."""
    return list(AuditEntry.objects.order_by("pk").values_list("subject", "before", "after", "actor"))


@online
def test_a_booking_that_can_be_paid_online_is_held_for_as_long_as_is_configured(
    guest: User, birr: Listing
) -> None:
    body = client_of(guest).post(URL, stay(birr)).json()
    held = Booking.objects.get()
    assert (body["status"], held.status) == ("pending", Status.PENDING)
    assert held.expires_at is not None
    after = held.expires_at - held.created_at - timedelta(minutes=settings.HOLD_MINUTES)
    assert abs(after) < timedelta(seconds=5)
    assert_refused(client_of(make_user("late@example.org")).post(URL, stay(birr)), 409, "dates_taken")


@online
def test_a_booking_in_a_currency_that_is_not_taken_online_is_confirmed_at_once(
    guest: User, listing: Listing
) -> None:
    body = client_of(guest).post(URL, stay(listing)).json()
    assert (listing.currency, body["status"], body["expires_at"]) == ("EUR", "confirmed", None)


def test_without_a_key_of_the_provider_every_booking_is_confirmed_at_once(guest: User, birr: Listing) -> None:
    assert client_of(guest).post(URL, stay(birr)).json()["status"] == "confirmed"


def test_a_hidden_place_cannot_be_booked(guest: User, listing: Listing) -> None:
    Listing.objects.update(status=ListingStatus.HIDDEN)
    assert_refused(client_of(guest).post(URL, stay(listing)), 400, "invalid", "listing")
    assert not Booking.objects.exists()


def test_a_host_cannot_book_a_place_of_their_own(listing: Listing) -> None:
    assert_refused(client_of(listing.host).post(URL, stay(listing)), 409, "own_listing")
    assert not Booking.objects.exists()


@pytest.mark.parametrize("before", Status.values)
@pytest.mark.parametrize("after", Status)
def test_the_table_of_moves_is_all_there_is(
    guest: User, listing: Listing, before: str, after: Status
) -> None:
    booking = booking_create(guest=guest, listing=listing.pk, check_in=day(1), check_out=day(2), guests=1)
    Booking.objects.update(status=before, expires_at=timezone.now())
    booking.refresh_from_db()
    heard: list[dict[str, Any]] = []

    def hear(**told: Any) -> None:
        heard.append(told)

    done = after in MOVES[before]
    moved.connect(hear)
    try:
        with contextlib.nullcontext() if done else pytest.raises(ApplicationError, match="already"):
            _move(booking, after, guest)
    finally:
        moved.disconnect(hear)
    booking.refresh_from_db()
    assert booking.status == (after if done else before)
    assert [(told["before"], told["after"]) for told in heard] == ([(before, after)] if done else [])
    assert trail()[1:] == ([("booking", before, after, guest.pk)] if done else [])


def test_a_new_booking_is_pending_or_confirmed_and_nothing_else(guest: User, listing: Listing) -> None:
    with pytest.raises(ApplicationError):
        _move(Booking(listing=listing, guest=guest), Status.CANCELLED, guest)
    assert not Booking.objects.exists()


def test_the_trail_says_who_and_by_which_request(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    booked = client.post(URL, stay(listing))
    cancelled = client.post(f"{URL}{booked.json()['id']}/cancel/")
    client.post(f"{URL}{booked.json()['id']}/cancel/")
    assert trail() == [
        ("booking", "", "confirmed", guest.pk),
        ("booking", "confirmed", "cancelled", guest.pk),
    ]
    ids = list(AuditEntry.objects.order_by("pk").values_list("request_id", flat=True))
    assert ids == [booked.headers["X-Request-Id"], cancelled.headers["X-Request-Id"]]
    assert str(AuditEntry.objects.first()) == f"booking of {booked.json()['id']}: new to confirmed"


def test_a_move_that_its_listeners_cannot_follow_is_not_made(guest: User, listing: Listing) -> None:
    def refuse(**_: Any) -> None:
        raise ApplicationError(code="no", message="no")

    moved.connect(refuse)
    try:
        assert_refused(client_of(guest).post(URL, stay(listing)), 409, "no")
    finally:
        moved.disconnect(refuse)
    assert not Booking.objects.exists()
    assert trail() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("headers", [{}, {"HTTP_IDEMPOTENCY_KEY": "a key"}], ids=["plain", "with a key"])
def test_a_move_that_lost_against_another_transaction_is_made_again_once_and_for_all(
    guest: User, listing: Listing, headers: dict[str, Any]
) -> None:
    client, lost = client_of(guest), Fails("40P01")

    def lose(**_: Any) -> None:
        if not lost.calls % 2:
            lost()
        lost.calls += 1

    moved.connect(lose)
    try:
        booked = client.post(URL, stay(listing), **headers)
        cancelled = client.post(f"{URL}{booked.json()['id']}/cancel/")
    finally:
        moved.disconnect(lose)
    assert (booked.status_code, cancelled.status_code) == (201, 200)
    assert [after for _, _, after, _ in trail()] == ["confirmed", "cancelled"]


@online
def test_a_hold_ends_when_its_time_is_over_and_its_dates_are_free_again(guest: User, birr: Listing) -> None:
    client = client_of(guest)
    late, fresh = (client.post(URL, stay(birr, first, first + 2)).json()["id"] for first in (1, 5))
    Booking.objects.filter(pk=late).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert [holds_expire(), holds_expire()] == [1, 0]
    assert Booking.objects.get(pk=late).status == Status.EXPIRED
    assert Booking.objects.get(pk=fresh).status == Status.PENDING
    assert trail()[-1] == ("booking", "pending", "expired", None)
    assert_refused(client.post(f"{URL}{late}/cancel/"), 409, "not_possible")
    assert client.post(URL, stay(birr)).status_code == 201


def test_a_stay_is_complete_from_the_morning_it_ends(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    for first in (1, 4, 7):
        client.post(URL, stay(listing, first, first + 2))
    over, today, ahead = Booking.objects.order_by("pk")
    for booking, end in ((over, -1), (today, 0), (ahead, 1)):
        Booking.objects.filter(pk=booking.pk).update(check_in=day(end - 1), check_out=day(end))
    assert [stays_complete(), stays_complete()] == [2, 0]
    assert [booking.status for booking in Booking.objects.order_by("pk")] == [
        "completed", "completed", "confirmed",
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_expire_each_hold_once(guest: User, birr: Listing) -> None:
    with online:
        for first in range(1, 9, 2):
            client_of(guest).post(URL, stay(birr, first, first + 2))
    Booking.objects.update(expires_at=timezone.now())
    assert sum(at_once(2, lambda _: holds_expire())) == 4
    assert AuditEntry.objects.filter(after="expired").count() == 4


def test_one_of_my_bookings_can_be_read_and_anothers_cannot(guest: User, listing: Listing) -> None:
    booked = client_of(guest).post(URL, stay(listing)).json()
    address = f"{URL}{booked['id']}/"
    answer = client_of(guest).get(address)
    assert answer.status_code == 200
    assert answer.json().items() >= booked.items()
    for stranger in (listing.host, make_user("stranger@example.org")):
        assert_refused(client_of(stranger).get(address), 404, "not_found")
    assert_refused(client_of(guest).get(f"{URL}{10**30}/"), 404, "not_found")
    assert_refused(client_of(guest).post(f"{URL}{10**30}/cancel/"), 404, "not_found")
    assert_refused(client_of().get(address), 401, "not_authenticated")


def test_my_bookings_of_one_state(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    first, second = (client.post(URL, stay(listing, day, day + 1)).json()["id"] for day in (1, 2))
    client.post(f"{URL}{first}/cancel/")
    for status, expected in (("cancelled", [first]), ("confirmed", [second]), ("pending", []), ("", [2, 1])):
        found = [each["id"] for each in client.get(URL, {"status": status}).json()["results"]]
        assert found == ([second, first] if status == "" else expected)
    assert_refused(client.get(URL, {"status": "sold"}), 400, "invalid", "status")
    assert_refused(client.get(URL, {"status": "a\x00b"}), 400, "invalid", "status")


def test_my_bookings_come_in_pages(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    booked = [client.post(URL, stay(listing, day, day + 1)).json()["id"] for day in range(1, 4)]
    page = client.get(URL, {"page_size": 2}).json()
    rest = client.get(page["next"]).json()
    assert [each["id"] for each in page["results"] + rest["results"]] == booked[::-1]
    assert rest["next"] is None
    for address in (URL, HOSTING):
        assert_refused(client.get(address, {"cursor": "x"}), 404, "not_found")


@pytest.mark.parametrize("count", [1, 4])
def test_a_host_sees_the_bookings_of_their_places_alone_with_the_guests_names_in_two_queries(
    guest: User, listing: Listing, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    elsewhere = make_listing(make_user("elsewhere@example.org"))
    for number in range(count):
        client_of(guest).post(URL, stay(listing, 1 + number, 2 + number))
    client_of(guest).post(URL, stay(elsewhere))
    client = client_of(listing.host)
    with django_assert_num_queries(2):
        found = client.get(HOSTING).json()["results"]
    assert [each["listing"]["id"] for each in found] == count * [listing.pk]
    assert found[0]["guest"] == {"id": guest.pk, "name": guest.name}
    assert client.get(HOSTING, {"status": "cancelled"}).json()["results"] == []
    assert client_of(guest).get(HOSTING).json()["results"] == []
    assert_refused(client_of().get(HOSTING), 401, "not_authenticated")


def test_the_calendar_has_the_stays_that_hold_a_night_of_the_days_asked_for(
    guest: User, listing: Listing
) -> None:
    client = client_of(guest)
    for first, last in ((8, 10), (1, 3), (3, 5), (10, 12)):
        client.post(URL, stay(listing, first, last))
    client.post(URL, stay(make_listing(listing.host), 3, 5))
    assert nights_taken(listing=listing, first=day(3), last=day(10)) == [(day(3), day(5)), (day(8), day(10))]
    for status in set(Status.values) - set(HOLDING):
        Booking.objects.filter(check_in=day(3)).update(status=status)
        assert nights_taken(listing=listing, first=day(3), last=day(8)) == []
