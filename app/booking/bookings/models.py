"""Stays that guests book, and what became of them."""

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateRangeField, RangeOperators
from django.db import models
from django.dispatch import Signal

from booking.listings.models import Currency, Listing


class Status(models.TextChoices):
    """Where a booking stands; `MOVES` says what may become of it."""

    PENDING = "pending", "held until it is paid"
    CONFIRMED = "confirmed", "confirmed"
    CANCELLED = "cancelled", "cancelled"
    EXPIRED = "expired", "not paid in time"
    COMPLETED = "completed", "the stay is over"


# The only moves there are. A booking that has ended stays as it is: what is paid too late is given back.
MOVES: dict[str, frozenset[str]] = {
    Status.PENDING: frozenset({Status.CONFIRMED, Status.CANCELLED, Status.EXPIRED}),
    Status.CONFIRMED: frozenset({Status.CANCELLED, Status.COMPLETED}),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.COMPLETED: frozenset(),
}
# Those that keep the dates from others.
HOLDING = (Status.PENDING.value, Status.CONFIRMED.value)

# Sent inside the transaction of each move, the first one included: booking, before ("" for a new one), after,
# actor (the User, or None for the service itself).
moved = Signal()

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
    expires_at = models.DateTimeField(null=True, blank=True)  # until when a pending one holds its dates
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (
            models.Index(
                fields=["expires_at"],
                condition=models.Q(status=Status.PENDING),
                name="bookings_booking_expiry",
            ),
            models.Index(
                fields=["check_in", "check_out"],
                condition=models.Q(status=Status.CONFIRMED),
                name="bookings_booking_ahead",
            ),
        )
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
                condition=models.Q(status__in=Status.values), name="bookings_booking_status_in_list"
            ),
            models.CheckConstraint(
                condition=~models.Q(status=Status.PENDING) | models.Q(expires_at__isnull=False),
                name="bookings_booking_hold_ends",
            ),
        )

    def __str__(self) -> str:
        return f"{self.listing_id}: {self.check_in} to {self.check_out}"


class IdempotentAnswer(models.Model):
    """What a request with an Idempotency-Key was answered, so that its repetition is answered the same."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of the request, in hexadecimal digits
    status = models.PositiveSmallIntegerField()
    body = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint("user", "key", name="bookings_answer_once"),)

    def __str__(self) -> str:
        return f"{self.user_id}: {self.key}"


class AuditEntry(models.Model):
    """One move of a booking or of its payment: who, when, by which request. Never changed, never deleted."""

    class Subject(models.TextChoices):
        """What moved."""

        BOOKING = "booking", "booking"
        PAYMENT = "payment", "payment"

    booking = models.ForeignKey(Booking, on_delete=models.PROTECT, related_name="audit")
    subject = models.CharField(max_length=8, choices=Subject.choices)
    before = models.CharField(max_length=12, blank=True)
    after = models.CharField(max_length=12)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    request_id = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(subject__in=["booking", "payment"]), name="bookings_audit_subject_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.subject} of {self.booking_id}: {self.before or 'new'} to {self.after}"
