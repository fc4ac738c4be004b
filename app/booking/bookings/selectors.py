"""What is read of bookings."""

from django.db.models import QuerySet

from booking.accounts.models import User
from booking.bookings.models import Booking


def booking_list(*, guest: User) -> QuerySet[Booking]:
    """The bookings of `guest`, each with its listing."""
    return Booking.objects.filter(guest=guest).select_related("listing")
