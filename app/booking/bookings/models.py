"""Stays that guests book."""

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models

from booking.listings.models import Currency, Listing


class Status(models.TextChoices):
    """Where a booking stands. `HOLDING` below are those that keep the dates from others."""

    PENDING = "pending", "held until it is paid"
    CONFIRMED = "confirmed", "confirmed"
    CANCELLED = "cancelled", "cancelled"


HOLDING = (Status.PENDING.value, Status.CONFIRMED.value)


# The nights of a stay, half-open: [check_in, check_out).
NIGHTS = models.Func("check_in", "check_out", function="daterange", output_field=DateRangeField())


class Booking(models.Model):
    """A guest's stay, from the night of `check_in` to the morning of `check_out`, at a frozen price."""

    listing = models.ForeignKey(Listing, on_delete=models.PROTECT, related_name="bookings")
    guest = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="bookings")
    check_in = models.DateField()
    check_out = models.DateField()
    guests = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=12, choices=Status.choices)
    # Frozen when it was booked: the listing's price may change, the guest's does not.
    price_per_night = models.DecimalField(max_digits=10, decimal_places=2)
    price_total = models.DecimalField(max_digits=14, decimal_places=2)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            ExclusionConstraint(
                name="bookings_booking_no_overlap",
                expressions=[
                    ("listing", RangeOperators.EQUAL),
                    (NIGHTS, RangeOperators.OVERLAPS),
                ],
                condition=models.Q(status__in=HOLDING),
            ),
            models.CheckConstraint(
                condition=models.Q(check_out__gt=models.F("check_in")), name="bookings_booking_dates_in_order"
            ),
            models.CheckConstraint(
                condition=models.Q(guests__gte=1), name="bookings_booking_guests_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(price_total__gt=0), name="bookings_booking_price_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=Status.values), name="bookings_booking_status_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.listing_id}: {self.check_in} to {self.check_out}"
