"""The audit trail: listens to every move of a booking and of a payment, within its transaction."""

from typing import Any

from django.dispatch import receiver

from booking.accounts.models import User
from booking.bookings.models import AuditEntry, Booking, moved
from booking.payments.models import Payment
from booking.payments.models import moved as payment_moved
from config.logs import request_id


@receiver(moved)
def note_booking(*, booking: Booking, before: str, after: str, actor: User | None, **_: Any) -> None:
    """Notes a move of a booking."""
    AuditEntry.objects.create(
        booking=booking,
        subject=AuditEntry.Subject.BOOKING,
        before=before,
        after=after,
        actor=actor,
        request_id=request_id.get(),
    )


@receiver(payment_moved)
def note_payment(*, payment: Payment, before: str, after: str, **_: Any) -> None:
    """Notes a move of a payment: the provider's doing, or the service's after a booking's move."""
    AuditEntry.objects.create(
        booking_id=payment.booking_id,
        subject=AuditEntry.Subject.PAYMENT,
        before=before,
        after=after,
        request_id=request_id.get(),
    )
