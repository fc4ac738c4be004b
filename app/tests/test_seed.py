"""`manage.py seed`."""

import re
import time
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import IntegrityError
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from booking.accounts.models import Role, User
from booking.bookings.models import Booking, Status
from booking.core.management.commands.seed import SHARES
from booking.listings import cache as listings_cache
from booking.listings.models import Listing
from booking.listings.models import Status as Offer
from tests.redis import Redis

pytestmark = pytest.mark.django_db


def seed(**options: int) -> str:
    """What the command printed."""
    out = StringIO()
    call_command("seed", stdout=out, **options)
    return out.getvalue()


def drawn() -> list[Any]:
    """All that was drawn, without the keys."""
    user = ("email", "name", "role", "created_at")
    place = (
        "host__email",
        "title",
        "place",
        "price_per_night",
        "currency",
        "capacity",
        "status",
        "created_at",
    )
    stay = (
        "listing__title", "guest__email", "check_in", "check_out", "guests", "status", "expires_at",
        "price_per_night", "price_total", "currency", "created_at",
    )  # fmt: skip
    return [
        list(model._default_manager.order_by("pk").values_list(*columns))
        for model, columns in ((User, user), (Listing, place), (Booking, stay))
    ]


def forgotten() -> None:
    """An empty database."""
    for model in (Booking, Listing, User):
        model._default_manager.all().delete()


def test_a_seed_gives_the_numbers_asked_for_and_the_same_rows_on_any_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed(listings=30, bookings=200, seed=7)
    assert (Listing.objects.count(), Booking.objects.count()) == (30, 200)
    first = drawn()
    forgotten()
    monkeypatch.setattr(timezone, "now", lambda: datetime(2040, 2, 29, tzinfo=UTC))
    seed(listings=30, bookings=200, seed=7)
    assert drawn() == first
    forgotten()
    seed(listings=30, bookings=200, seed=8)
    assert drawn() != first


def test_every_role_status_and_offer_is_there_in_its_share() -> None:
    seed(listings=100, bookings=1000, seed=7)
    assert set(User.objects.values_list("role", flat=True)) == {Role.HOST, Role.GUEST}
    assert not Listing.objects.exclude(host__role=Role.HOST).exists()
    assert not Booking.objects.exclude(guest__role=Role.GUEST).exists()
    assert Listing.objects.filter(status=Offer.HIDDEN).count() == 5
    for status, share in SHARES.items():
        assert abs(Booking.objects.filter(status=status).count() - 10 * share) < 50, status
    assert set(SHARES) == set(Status)
    assert sum(SHARES.values()) == 100
    over = Booking.objects.filter(check_out__lte=date(2029, 1, 1))
    assert set(over.values_list("status", flat=True)) == {Status.COMPLETED}
    assert not Booking.objects.filter(status=Status.COMPLETED, check_in__gte=date(2030, 1, 1)).exists()


def test_no_seeded_user_can_log_in() -> None:
    seed(listings=1, bookings=1)
    assert not any(user.has_usable_password() or user.is_staff for user in User.objects.all())


def test_a_seed_that_is_there_already_writes_nothing() -> None:
    seed(listings=3, bookings=5, seed=7)
    assert "nothing written" in seed(listings=3, bookings=5, seed=7)
    assert (Listing.objects.count(), Booking.objects.count()) == (3, 5)


def test_another_seed_comes_beside_the_first() -> None:
    seed(listings=3, bookings=5, seed=7)
    seed(listings=3, bookings=5, seed=8)
    assert (Listing.objects.count(), Booking.objects.count()) == (6, 10)


def test_more_stays_than_a_place_has_in_a_year() -> None:
    seed(listings=1, bookings=2001)
    assert Booking.objects.count() == 2001


def test_a_seed_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("booking.core.management.commands.seed.HELD_UNTIL", None)  # which a hold has to have
    with pytest.raises(IntegrityError):
        seed(listings=3, bookings=200)
    assert not User.objects.exists()


def test_progress_is_told_by_the_second_with_percent_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))  # a second at every look
    lines = seed(listings=3, bookings=40).splitlines()
    told = [line for line in lines if line.startswith("bookings: ")]
    assert len(told) > 10
    assert all(re.fullmatch(r"bookings: \d+ % \([\d,]+ of 40\), [\d,]+/s", line) for line in told)
    assert told[-1].startswith("bookings: 100 % (40 of 40)")


def test_what_lists_show_is_not_what_was_kept_before(
    redis: Redis, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    cache.set(listings_cache.VERSION, "before")
    with django_capture_on_commit_callbacks(execute=True):
        seed(listings=1, bookings=1)
    assert cache.get(listings_cache.VERSION) != "before"


def test_nothing_asked_for_is_no_error() -> None:
    seed(listings=0, bookings=5)
    assert not Booking.objects.exists()


def test_a_seeded_stay_reads_as_what_it_is() -> None:
    seed(listings=1, bookings=1)
    stay = Booking.objects.get()
    assert str(stay) == f"{stay.listing_id}: {stay.check_in} to {stay.check_out}"
