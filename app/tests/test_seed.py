"""`manage.py seed`."""

from datetime import date
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from booking.accounts.models import User
from booking.bookings.models import Booking, Status
from booking.listings.models import Listing

pytestmark = pytest.mark.django_db


def seed(**options: int) -> str:
    """What the command printed."""
    out = StringIO()
    call_command("seed", stdout=out, **options)
    return out.getvalue()


def drawn() -> list[Any]:
    """The seeded bookings without their keys."""
    return list(
        Booking.objects.order_by("pk").values_list(
            "listing__title", "guest__email", "check_in", "check_out", "guests", "status", "price_total"
        )
    )


def test_a_seed_gives_the_numbers_asked_for_and_the_same_rows_again() -> None:
    seed(listings=30, bookings=200, seed=7)
    assert (Listing.objects.count(), Booking.objects.count()) == (30, 200)
    assert Booking.objects.filter(status=Status.CANCELLED).count() == 20
    first = drawn()
    for model in (Booking, Listing, User):
        model._default_manager.all().delete()
    seed(listings=30, bookings=200, seed=7)
    assert drawn() == first


def test_a_seed_that_is_there_already_writes_nothing() -> None:
    seed(listings=3, bookings=5, seed=7)
    assert "nothing written" in seed(listings=3, bookings=5, seed=7)
    assert (Listing.objects.count(), Booking.objects.count()) == (3, 5)


def test_another_seed_comes_beside_the_first() -> None:
    seed(listings=3, bookings=5, seed=7)
    seed(listings=3, bookings=5, seed=8)
    assert (Listing.objects.count(), Booking.objects.count()) == (6, 10)


def test_more_rows_than_a_batch() -> None:
    seed(listings=1, bookings=2001)
    assert Booking.objects.count() == 2001


def test_nothing_asked_for_is_no_error() -> None:
    seed(listings=0, bookings=5)
    assert not Booking.objects.exists()


def test_a_seeded_stay_reads_as_what_it_is() -> None:
    seed(listings=1, bookings=1)
    stay = Booking.objects.get()
    assert stay.check_in >= date(2030, 1, 1)
    assert str(stay) == f"{stay.listing_id}: {stay.check_in} to {stay.check_out}"
