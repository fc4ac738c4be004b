"""What is written about bookings."""

from datetime import date

from django.db import transaction
from django.utils import timezone

from booking.accounts.models import User
from booking.bookings.models import Booking, Status
from booking.core.errors import ApplicationError, refusing
from booking.listings.models import Listing

NIGHTS_MAXIMUM = 365


def invalid(**fields: str) -> ApplicationError:
    """A 400 with one message a field."""
    return ApplicationError(
        code="invalid",
        message="The request is not valid; see the fields.",
        fields={field: [message] for field, message in fields.items()},
        http_status=400,
    )


def booking_create(*, guest: User, listing: int, check_in: date, check_out: date, guests: int) -> Booking:
    """A booking of the nights [check_in, check_out) at today's price.

    Raises ApplicationError: 400 invalid (dates, guests, unknown listing), 409 dates_taken.
    """
    if check_in < timezone.localdate():
        raise invalid(check_in="This date is past.")
    nights = (check_out - check_in).days
    if nights < 1:
        raise invalid(check_out="The check-out must come after the check-in.")
    if nights > NIGHTS_MAXIMUM:
        raise invalid(check_out=f"A stay has at most {NIGHTS_MAXIMUM} nights.")
    taken = ApplicationError(code="dates_taken", message="Somebody has booked these dates.")
    with refusing({"bookings_booking_no_overlap": taken}):
        # The lock makes rivals for one place wait here and then meet the constraint; without it two of them
        # can each wait for the other's row inside the constraint's index, which PostgreSQL ends as a deadlock
        # after a second. It is for speed: what forbids an overlap is the constraint alone.
        place = Listing.objects.select_for_update(no_key=True).filter(pk=listing, status="published").first()
        if place is None:
            raise invalid(listing="There is no such listing.")
        if guests > place.capacity:
            raise invalid(guests=f"This place takes {place.capacity}.")
        return Booking.objects.create(
            listing=place,
            guest=guest,
            check_in=check_in,
            check_out=check_out,
            guests=guests,
            status=Status.CONFIRMED,
            price_per_night=place.price_per_night,
            price_total=place.price_per_night * nights,
            currency=place.currency,
        )


@transaction.atomic
def booking_cancel(*, guest: User, booking: int) -> Booking:
    """The guest's booking, cancelled, its dates free; a second time changes nothing.

    Raises Booking.DoesNotExist for another guest's, ApplicationError 409 stay_over for one that is past.
    """
    found = (
        Booking.objects.select_for_update(of=("self",)).select_related("listing").get(pk=booking, guest=guest)
    )
    if found.status == Status.CANCELLED:
        return found
    if found.check_out <= timezone.localdate():
        raise ApplicationError(code="stay_over", message="This stay is over.")
    found.status = Status.CANCELLED
    found.save(update_fields=["status"])
    return found
