"""Payments of bookings."""

from django.db import models
from django.dispatch import Signal

from booking.bookings.models import Booking
from booking.listings.models import Currency


class PaymentStatus(models.TextChoices):
    """Where a payment stands; `MOVES` says what may become of it."""

    OPEN = "open", "waiting for the guest"
    PAID = "paid", "paid"
    FAILED = "failed", "not paid"
    REFUND_DUE = "refund_due", "to be given back"
    REFUNDED = "refunded", "given back"


# A provider may report a success after a failure: the money counts.
MOVES: dict[str, frozenset[str]] = {
    PaymentStatus.OPEN: frozenset({PaymentStatus.PAID, PaymentStatus.FAILED, PaymentStatus.REFUND_DUE}),
    PaymentStatus.FAILED: frozenset({PaymentStatus.PAID, PaymentStatus.REFUND_DUE}),
    PaymentStatus.PAID: frozenset({PaymentStatus.REFUND_DUE}),
    PaymentStatus.REFUND_DUE: frozenset({PaymentStatus.REFUNDED}),
    PaymentStatus.REFUNDED: frozenset(),
}

# Sent inside the transaction of each move: payment, before ("" for a new one), after.
moved = Signal()


class Payment(models.Model):
    """One transaction at the provider for one booking; at most one of a booking's is open or paid."""

    booking = models.ForeignKey(Booking, on_delete=models.PROTECT, related_name="payments")
    reference = models.CharField(max_length=64, unique=True)  # ours, `tx_ref` at Chapa
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    currency = models.CharField(max_length=3, choices=Currency.choices)
    status = models.CharField(max_length=12, choices=PaymentStatus.choices, default=PaymentStatus.OPEN)
    checkout_url = models.URLField(max_length=500, blank=True)  # empty until the provider has answered
    provider_reference = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = (
            models.Index(
                fields=["updated_at"],
                condition=models.Q(status__in=[PaymentStatus.OPEN, PaymentStatus.REFUND_DUE]),
                name="payments_payment_unsettled",
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["booking"],
                condition=models.Q(status__in=[PaymentStatus.OPEN, PaymentStatus.PAID]),
                name="payments_payment_one_at_a_time",
            ),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payments_payment_amount_positive"),
            models.CheckConstraint(
                condition=models.Q(status__in=PaymentStatus.values), name="payments_payment_status_known"
            ),
        )

    def __str__(self) -> str:
        return self.reference
