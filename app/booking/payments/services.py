"""What is written about payments.

Whoever locks both locks the booking first and the payment second, and asks the provider before or after,
never with a lock.
"""

import logging
import secrets
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.dispatch import receiver
from django.utils import timezone

from booking.bookings.models import Booking
from booking.bookings.models import Status as BookingStatus
from booking.bookings.models import moved as booking_moved
from booking.bookings.services import booking_confirm
from booking.core.errors import ApplicationError
from booking.core.retries import retried
from booking.outbox.models import Message
from booking.outbox.services import handles, post
from booking.payments import chapa
from booking.payments.chapa import Verdict, payable
from booking.payments.models import MOVES, Payment, PaymentStatus, moved

__all__ = ["payable", "payment_open", "payment_settle", "payments_settle"]

logger = logging.getLogger("booking.payments")

OPENING = timedelta(seconds=20)  # longer than the provider may take to open a transaction
SETTLES_AFTER = timedelta(minutes=1)  # what the webhook has for itself
FORGOTTEN = timedelta(days=1)  # after which nobody pays at a checkout whose booking has ended
BATCH = 200  # payments that one run asks after
REFUND = "payment.refund"


def _move(payment: Payment, to: PaymentStatus) -> None:
    """Writes a move of `payment`, whose booking the caller has locked, and tells it to who listens."""
    before = payment.status if payment.pk else ""
    if to not in (MOVES[before] if before else (PaymentStatus.OPEN,)):
        raise ValueError(f"payment {payment.reference} cannot become {to}: it is {before or 'new'}")
    payment.status = to
    payment.save()
    moved.send(Payment, payment=payment, before=before, after=to.value)
    if to == PaymentStatus.REFUND_DUE:
        _post_refund(payment)


def _post_refund(payment: Payment) -> bool:
    payload = {"reference": payment.reference}
    return post(key=f"{REFUND}.{payment.reference}", kind=REFUND, payload=payload)


def payment_open(*, booking: Booking) -> Payment:
    """The open payment of a pending booking, with its `checkout_url`; the same one until it is settled.

    Raises ApplicationError: 409 not_payable, 409 payment_opening (another request is at it), 409
    payment_refused (by the provider), 503 provider_unavailable. After the last two a new call begins anew.
    """
    payment = _begin(booking.pk)
    if payment.checkout_url:
        return payment
    try:
        address = chapa.initialize(payment)
    except ApplicationError:
        _opened(payment, "")
        raise
    return _opened(payment, address)


@retried
@transaction.atomic
def _begin(booking: int) -> Payment:
    held = Booking.objects.select_for_update(of=("self",)).select_related("guest").get(pk=booking)
    now = timezone.now()
    if held.status != BookingStatus.PENDING or held.expires_at is None or held.expires_at <= now:
        raise ApplicationError(code="not_payable", message="This booking is not waiting for a payment.")
    last = Payment.objects.filter(booking=held, status=PaymentStatus.OPEN).first()
    if last and last.checkout_url:
        return last
    if last and last.created_at > now - OPENING:
        message = "The payment is being opened; try again."
        raise ApplicationError(code="payment_opening", message=message, retry_after=1)
    if last:  # who opened it died: nobody has the address to pay it at
        _move(last, PaymentStatus.FAILED)
    payment = Payment(
        booking=held,
        reference=f"booking-{held.pk}-{secrets.token_hex(8)}",
        amount=held.price_total,
        currency=held.currency,
    )
    _move(payment, PaymentStatus.OPEN)
    return payment


@retried
@transaction.atomic
def _opened(payment: Payment, address: str) -> Payment:
    """Keeps what the provider answered: the address, or none."""
    payment = _locked(payment)
    payment.checkout_url = address
    if address or payment.status != PaymentStatus.OPEN:
        payment.save()
    else:
        _move(payment, PaymentStatus.FAILED)
    return payment


def _locked(payment: Payment) -> Payment:
    booking = Booking.objects.select_for_update().get(pk=payment.booking_id)
    found = Payment.objects.select_for_update().get(pk=payment.pk)
    found.booking = booking
    return found


def payment_settle(*, reference: str) -> Payment:
    """The payment `reference`, as the provider says that it stands; its booking moves with it.

    To be called as often as anybody has heard anything: a webhook, the guest who comes back, the clock.
    Raises Payment.DoesNotExist, ApplicationError 503 provider_unavailable.
    """
    payment = Payment.objects.get(reference=reference)
    if payment.status in (PaymentStatus.OPEN, PaymentStatus.FAILED):
        payment = _settle(payment, chapa.verify(reference))
    return payment


@retried
@transaction.atomic
def _settle(payment: Payment, verdict: Verdict) -> Payment:
    payment = _locked(payment)
    waits = payment.status == PaymentStatus.OPEN
    if not waits and payment.status != PaymentStatus.FAILED:
        return payment  # settled meanwhile
    held = payment.booking.status == BookingStatus.PENDING
    if verdict.state in ("pending", "failed"):
        over = not held and payment.created_at < timezone.now() - FORGOTTEN
        if waits and (over or verdict.state == "failed"):
            _move(payment, PaymentStatus.FAILED)
        else:
            payment.save()  # was asked after now: others come first
        return payment
    payment.provider_reference = verdict.reference[:64]
    if (verdict.amount, verdict.currency) != (payment.amount, payment.currency):
        logger.error(
            "ALARM: what was paid is not what was due; look at the transaction in Chapa's dashboard",
            extra={"reference": payment.reference, "due": [payment.amount, payment.currency],
                   "paid": [verdict.amount, verdict.currency]},
        )  # fmt: skip
        if waits:
            _move(payment, PaymentStatus.FAILED)
    elif held and verdict.state == "success":
        for rival in payment.booking.payments.filter(status=PaymentStatus.OPEN).exclude(pk=payment.pk):
            _move(rival, PaymentStatus.FAILED)
        _move(payment, PaymentStatus.PAID)
        booking_confirm(booking=payment.booking)
    else:  # too late, or for the second time
        _move(payment, PaymentStatus.REFUND_DUE)
    return payment


@receiver(booking_moved)
def refund_what_was_paid(*, booking: Booking, after: str, **_: Any) -> None:
    """Makes a refund due, in the transaction that cancels a paid booking."""
    if after == BookingStatus.CANCELLED:
        for payment in Payment.objects.select_for_update().filter(booking=booking, status=PaymentStatus.PAID):
            _move(payment, PaymentStatus.REFUND_DUE)


@handles(REFUND)
def refund(message: Message) -> None:
    """Has the provider give a payment back."""
    payment = Payment.objects.get(reference=message.payload["reference"])
    if payment.status != PaymentStatus.REFUND_DUE:
        return
    chapa.refund(payment)
    with transaction.atomic():
        payment = _locked(payment)
        if payment.status == PaymentStatus.REFUND_DUE:
            _move(payment, PaymentStatus.REFUNDED)


def payments_settle() -> tuple[int, int]:
    """How many open payments were asked after, the longest unasked first, and how many refunds were posted.

    Raises ApplicationError 503 provider_unavailable as soon as the provider does not answer.
    """
    old = Payment.objects.filter(updated_at__lt=timezone.now() - SETTLES_AFTER).order_by("updated_at")
    posted = sum(_post_refund(payment) for payment in old.filter(status=PaymentStatus.REFUND_DUE))
    asked = list(old.filter(status=PaymentStatus.OPEN).values_list("reference", flat=True)[:BATCH])
    for reference in asked:
        payment_settle(reference=reference)
    return len(asked), posted
