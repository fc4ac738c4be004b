"""A request with an Idempotency-Key is done once, whoever repeats it, whenever."""

from typing import Any

import pytest

from booking.accounts.models import User
from booking.bookings.models import AuditEntry, Booking, IdempotentAnswer
from booking.listings.models import Listing
from tests.helpers import at_once, client_of, make_listing, make_user, stay
from tests.test_bad_input import assert_refused

URL = "/api/v1/bookings/"


def book(user: User, body: dict[str, Any], key: str = "a key, once") -> Any:
    """The answer to a booking under a key."""
    return client_of(user).post(URL, body, HTTP_IDEMPOTENCY_KEY=key)


def test_a_repetition_is_answered_to_the_byte_as_the_first_was_though_the_booking_has_moved_on(
    guest: User, listing: Listing
) -> None:
    first = book(guest, stay(listing))
    assert client_of(guest).post(f"{URL}{first.json()['id']}/cancel/").status_code == 200
    second = book(guest, stay(listing))
    assert (second.status_code, second.content) == (first.status_code, first.content) == (201, first.content)
    assert Booking.objects.count() == IdempotentAnswer.objects.count() == 1


def test_fields_in_another_order_are_the_same_request(guest: User, listing: Listing) -> None:
    first = book(guest, stay(listing))
    again = book(guest, dict(reversed(stay(listing).items())))
    assert again.content == first.content


@pytest.mark.parametrize("wrong", [{"guests": 1}, {"first": 5, "last": 9}, {"listing": "another"}], ids=str)
def test_the_same_key_with_another_body_is_422_and_books_nothing(
    guest: User, listing: Listing, wrong: dict[str, Any]
) -> None:
    place = make_listing(listing.host) if wrong.pop("listing", None) else listing
    book(guest, stay(listing))
    assert_refused(book(guest, stay(place, **wrong)), 422, "idempotency_mismatch")
    assert Booking.objects.count() == 1


def test_another_guest_may_use_the_same_key(guest: User, listing: Listing) -> None:
    other = make_user("other@example.org")
    assert book(guest, stay(listing, 1, 3)).status_code == 201
    assert book(other, stay(listing, 3, 5)).status_code == 201
    assert set(Booking.objects.values_list("guest", flat=True)) == {guest.pk, other.pk}


def test_without_a_key_each_request_is_one_of_its_own(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    assert [client.post(URL, stay(listing)).status_code for _ in range(2)] == [201, 409]
    assert not IdempotentAnswer.objects.exists()


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\xe9", "\x7f"], ids=ascii)
def test_a_key_that_cannot_be_is_400_and_books_nothing(guest: User, listing: Listing, key: str) -> None:
    assert_refused(book(guest, stay(listing), key), 400, "invalid", "Idempotency-Key")
    assert not Booking.objects.exists()


def test_the_longest_key_is_taken(guest: User, listing: Listing) -> None:
    assert book(guest, stay(listing), "x" * 255).status_code == 201


def test_a_refusal_is_not_kept_and_its_repetition_is_decided_by_how_things_are_then(
    guest: User, listing: Listing
) -> None:
    rival = client_of(make_user("rival@example.org"))
    taken = rival.post(URL, stay(listing)).json()["id"]
    assert_refused(book(guest, stay(listing)), 409, "dates_taken")
    assert not IdempotentAnswer.objects.exists()
    rival.post(f"{URL}{taken}/cancel/")
    assert book(guest, stay(listing)).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_ten_repetitions_at_once_one_books_and_all_are_answered_the_same(
    guest: User, listing: Listing
) -> None:
    answers = at_once(10, lambda _: book(guest, stay(listing)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Booking.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_crash_between_the_booking_and_its_answer_leaves_neither(
    guest: User, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = IdempotentAnswer.save

    def crash(self: IdempotentAnswer, *_: Any, update_fields: Any = None, **options: Any) -> None:
        if update_fields:
            assert Booking.objects.count() == 1, "booked, in the transaction"
            raise SystemExit
        save(self, **options)

    with monkeypatch.context() as patch:
        patch.setattr(IdempotentAnswer, "save", crash)
        with pytest.raises(SystemExit):
            book(guest, stay(listing))
    for model in (Booking, IdempotentAnswer, AuditEntry):
        assert not model._default_manager.exists()
    assert book(guest, stay(listing)).status_code == 201


def test_a_place_that_is_offered_twice_under_a_key_is_there_once(host: User) -> None:
    place = {"title": "b", "place": "Harar", "price_per_night": "5.00", "currency": "ETB", "capacity": 1}

    def offer(**changes: Any) -> Any:
        return client_of(host).post("/api/v1/listings/", place | changes, HTTP_IDEMPOTENCY_KEY="k")

    first, second = offer(), offer()
    assert (second.status_code, second.content) == (first.status_code, first.content) == (201, first.content)
    assert Listing.objects.count() == 1
    assert_refused(offer(capacity=2), 422, "idempotency_mismatch")
    assert_refused(book(host, stay(Listing.objects.get()), "k"), 422, "idempotency_mismatch")
    assert Listing.objects.count() == IdempotentAnswer.objects.count() == 1
