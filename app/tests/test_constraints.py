"""What the database forbids by itself, whatever the code does, and what would happen if it did not."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import Error, IntegrityError, connection, models, transaction
from django.utils import timezone

from booking.accounts.models import User
from booking.bookings.models import HOLDING, AuditEntry, Booking, IdempotentAnswer, Status
from booking.listings.models import Listing
from booking.outbox.models import Message
from booking.outbox.services import post
from booking.payments.models import Payment
from tests.helpers import at_once, client_of, day, make_listing, make_user, stay
from tests.test_idempotency import book

RIVALS = 20
INSERT = """
    INSERT INTO bookings_booking (listing_id, guest_id, check_in, check_out, guests, status,
                                  price_per_night, price_total, currency, created_at, expires_at)
    VALUES (%s, %s, %s, %s, 1, %s, 10, 20, 'EUR', now(), now())
"""


def insert(listing: Listing, guest: User, first: int, last: int, status: str = "confirmed") -> None:
    """A booking past all our code."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INSERT, [listing.pk, guest.pk, day(first), day(last), status])


@contextmanager
def without(model: type[models.Model], name: str) -> Iterator[None]:
    """The table of `model` without one constraint; its rows are deleted before the constraint comes back."""
    constraint = next(item for item in model._meta.constraints if item.name == name)
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        with connection.cursor() as cursor:  # with all that refers to them: audit entries cannot be deleted
            cursor.execute(f"TRUNCATE {model._meta.db_table} CASCADE")
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)


def race(listing: Listing) -> Counter[int]:
    """The answers to twenty guests who book the same dates of one place at once, by status code."""
    clients = [client_of(make_user(f"rival-{number}@example.org")) for number in range(RIVALS)]
    answers = at_once(RIVALS, lambda number: clients[number].post("/api/v1/bookings/", stay(listing)))
    return Counter(answer.status_code for answer in answers)


def test_raw_sql_cannot_book_dates_twice(guest: User, listing: Listing) -> None:
    insert(listing, guest, 10, 15)
    with pytest.raises(IntegrityError, match="bookings_booking_no_overlap"):
        insert(listing, guest, 14, 16)
    insert(listing, guest, 15, 16)


@pytest.mark.parametrize("status", Status.values)
def test_pending_and_confirmed_hold_the_dates_and_no_other(
    guest: User, listing: Listing, status: str
) -> None:
    insert(listing, guest, 10, 15, status)
    if status in HOLDING:
        with pytest.raises(IntegrityError, match="bookings_booking_no_overlap"):
            insert(listing, guest, 10, 15)
    else:
        insert(listing, guest, 10, 15)


@pytest.mark.django_db(transaction=True)
def test_of_twenty_guests_who_race_for_the_same_dates_exactly_one_wins(listing: Listing) -> None:
    assert race(listing) == {201: 1, 409: RIVALS - 1}
    assert Booking.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_control_without_the_constraint_more_than_one_wins_the_race(listing: Listing) -> None:
    with without(Booking, "bookings_booking_no_overlap"):
        assert race(listing)[201] > 1


@pytest.mark.django_db(transaction=True)
def test_without_the_lock_of_the_service_the_constraint_still_lets_one_win(
    guest: User, listing: Listing
) -> None:
    def book(number: int) -> bool:
        try:
            insert(listing, guest, 10, 15)
        except Error:  # the constraint, or the deadlock between two that wait for each other within it
            return False
        return True

    assert at_once(6, book).count(True) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"check_out": date(2030, 1, 1)}, "bookings_booking_dates_in_order"),
        ({"guests": 0}, "bookings_booking_guests_positive"),
        ({"price_total": Decimal(0)}, "bookings_booking_price_positive"),
        ({"status": "sold"}, "bookings_booking_status_in_list"),
        ({"status": "pending"}, "bookings_booking_hold_ends"),
    ],
)
def test_a_wrong_booking_is_refused_by_the_database_and_only_by_that_constraint(
    guest: User, listing: Listing, wrong: dict[str, Any], name: str
) -> None:
    row: dict[str, Any] = {
        "guest": guest,
        "listing": listing,
        "check_in": date(2030, 1, 1),
        "check_out": date(2030, 1, 3),
        "guests": 1,
        "status": "confirmed",
        "price_per_night": Decimal(10),
        "price_total": Decimal(20),
        "currency": "EUR",
    }
    row |= wrong
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        Booking.objects.create(**row)
    with without(Booking, name):
        Booking.objects.create(**row)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({}, "payments_payment_one_at_a_time"),
        ({"status": "open"}, "payments_payment_one_at_a_time"),
        ({"status": "refunded", "amount": Decimal(0)}, "payments_payment_amount_positive"),
        ({"status": "sold"}, "payments_payment_status_known"),
    ],
    ids=str,
)
def test_a_wrong_payment_beside_a_paid_one_is_refused_by_the_database_and_only_by_that_constraint(
    guest: User, listing: Listing, wrong: dict[str, Any], name: str
) -> None:
    insert(listing, guest, 1, 2)
    row = {"booking": Booking.objects.get(), "amount": Decimal(10), "currency": "ETB", "status": "paid"}
    for number, status in enumerate(("paid", "failed", "refund_due", "refunded")):
        Payment.objects.create(**row | {"status": status}, reference=str(number))
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        Payment.objects.create(**row | wrong, reference="another")
    with without(Payment, name):
        Payment.objects.create(**row | wrong, reference="another")


@contextmanager
def not_unique(model: type[models.Model], name: str) -> Iterator[None]:
    """The table of `model` without one unique column; its rows are deleted before it is unique again."""
    table, constraint = model._meta.db_table, f"{model._meta.db_table}_{name}_key"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        try:
            yield
        finally:
            cursor.execute(f"TRUNCATE {table} CASCADE")
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} UNIQUE ({name})")


@pytest.mark.django_db(transaction=True)
def test_a_piece_of_work_is_in_the_outbox_once_and_without_the_unique_key_more_often() -> None:
    def posted(_: int) -> None:
        with suppress(Message.MultipleObjectsReturned):
            post(key="once", kind="of the tests", payload={})

    at_once(6, posted)
    assert Message.objects.count() == 1
    Message.objects.all().delete()
    with not_unique(Message, "key"):
        at_once(6, posted)
        assert Message.objects.count() > 1


@pytest.mark.django_db(transaction=True)
def test_a_message_is_not_done_and_dead_and_only_by_that_constraint() -> None:
    ends: dict[str, Any] = {"due_at": timezone.now(), "done_at": timezone.now(), "dead_at": timezone.now()}
    with pytest.raises(IntegrityError, match="outbox_message_one_end"), transaction.atomic():
        Message.objects.create(key="k", kind="k", payload={}, **ends)
    with without(Message, "outbox_message_one_end"):
        Message.objects.create(key="k", kind="k", payload={}, **ends)


@pytest.mark.django_db(transaction=True)
def test_two_payments_do_not_share_a_reference(guest: User, listing: Listing) -> None:
    insert(listing, guest, 1, 2)
    row: dict[str, Any] = {
        "booking": Booking.objects.get(),
        "amount": 1,
        "currency": "ETB",
        "status": "failed",
    }
    Payment.objects.create(reference="same", **row)
    with pytest.raises(IntegrityError, match="payments_payment_reference"), transaction.atomic():
        Payment.objects.create(reference="same", **row)
    with not_unique(Payment, "reference"):
        Payment.objects.create(reference="same", **row)


@pytest.mark.django_db(transaction=True)
def test_repetitions_at_once_are_answered_the_same_and_without_the_constraint_they_are_not(
    guest: User, listing: Listing
) -> None:
    def answers() -> Counter[int]:
        body = stay(listing)
        found = at_once(5, lambda _: book(guest, body))
        return Counter(answer.status_code for answer in found)

    assert answers() == {201: 5}
    Booking.objects.update(status="cancelled")
    IdempotentAnswer.objects.all().delete()
    with without(IdempotentAnswer, "bookings_answer_once"):
        assert answers()[201] < 5


@pytest.mark.django_db(transaction=True)
def test_the_trail_is_of_bookings_and_payments_alone(guest: User, listing: Listing) -> None:
    insert(listing, guest, 1, 2)
    row: dict[str, Any] = {"booking": Booking.objects.get(), "after": "x", "subject": "listing"}
    with pytest.raises(IntegrityError, match="bookings_audit_subject_known"), transaction.atomic():
        AuditEntry.objects.create(**row)
    with without(AuditEntry, "bookings_audit_subject_known"):
        AuditEntry.objects.create(**row)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"price_per_night": Decimal(0)}, "listings_listing_price_positive"),
        ({"capacity": 0}, "listings_listing_capacity_positive"),
        ({"currency": "ZZZ"}, "listings_listing_currency_known"),
    ],
)
def test_a_wrong_listing_is_refused_by_the_database_and_only_by_that_constraint(
    host: User, wrong: dict[str, Any], name: str
) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        make_listing(host, **wrong)
    with without(Listing, name):
        make_listing(host, **wrong)


@pytest.mark.django_db(transaction=True)
def test_an_address_in_capitals_is_refused_by_the_database() -> None:
    with pytest.raises(IntegrityError, match="accounts_user_email_lower_case"), transaction.atomic():
        User.objects.create(email="Ada@example.org", name="Ada")
    with without(User, "accounts_user_email_lower_case"):
        User.objects.create(email="Ada@example.org", name="Ada")
