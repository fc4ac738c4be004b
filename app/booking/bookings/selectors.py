"""What is read of bookings."""

from datetime import date

from django.db.models import QuerySet

from booking.accounts.models import User
from booking.bookings.models import HOLDING, Booking
from booking.listings.models import Listing


def booking_list(*, guest: User) -> QuerySet[Booking]:
    """The bookings of `guest`, each with its listing."""
    return Booking.objects.filter(guest=guest).select_related("listing")


def nights_taken(*, listing: Listing, first: date, last: date) -> list[tuple[date, date]]:
    """The stays (check-in, check-out) that hold a night of [first, last), in their order."""
    held = Booking.objects.filter(listing=listing, status__in=HOLDING, check_in__lt=last, check_out__gt=first)
    return list(held.order_by("check_in").values_list("check_in", "check_out"))
