"""The audit trail: listens to every move of a booking and of a payment, within its transaction."""

from typing import Any

from django.dispatch import receiver

from booking.accounts.models import User
from booking.bookings.models import AuditEntry, Booking, moved
from booking.payments.models import Payment
from booking.payments.models import moved as payment_moved
from config.logs import request_id


def note(**what: Any) -> None:
    """Notes a move with the id of the request that made it; none outside requests."""
    AuditEntry.objects.create(request_id=request_id.get(), **what)


@receiver(moved)
def note_booking(*, booking: Booking, before: str, after: str, actor: User | None, **_: Any) -> None:
    """A move of a booking."""
    note(booking=booking, subject="booking", before=before, after=after, actor=actor)


@receiver(payment_moved)
def note_payment(*, payment: Payment, before: str, after: str, **_: Any) -> None:
    """A move of a payment: the provider's doing, or the service's after a booking's move."""
    note(booking_id=payment.booking_id, subject="payment", before=before, after=after)
