"""What the tests of payments do with a booking: pay it, tell of it, look where it stands."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from booking.bookings.models import AuditEntry, Booking
from booking.outbox.models import Message
from booking.outbox.services import deliver
from booking.payments import chapa as api
from booking.payments.models import Payment, PaymentStatus
from tests.chapa import event, signature
from tests.helpers import client_of, post_raw

URL, WEBHOOK = "/api/v1/bookings/", "/api/v1/payments/chapa/webhook/"
committed = pytest.mark.django_db(transaction=True)


def pay(booking: Booking) -> Any:
    """What the guest is answered who wants to pay."""
    return client_of(booking.guest).post(f"{URL}{booking.pk}/pay/")


def opened(booking: Booking) -> Payment:
    """An open payment of the booking."""
    assert pay(booking).status_code == 200
    return booking.payments.get(status=PaymentStatus.OPEN)


def tell(reference: Any, **headers: str) -> Any:
    """The answer to a signed webhook."""
    return tell_raw(event(reference), **headers)


def tell_raw(body: bytes, **headers: str) -> Any:
    """The answer to a webhook of these bytes, signed unless `headers` say otherwise."""
    given = {"HTTP_X_CHAPA_SIGNATURE": signature(body)} | headers
    client = client_of()
    client.credentials(**given)
    return post_raw(client, WEBHOOK, body)


def states(booking: Booking) -> tuple[str, list[str]]:
    """Where the booking and its payments stand."""
    booking.refresh_from_db()
    return booking.status, list(booking.payments.order_by("pk").values_list("status", flat=True))


def trail(subject: str) -> list[str]:
    """Where a subject went, by the audit trail."""
    return list(AuditEntry.objects.filter(subject=subject).order_by("pk").values_list("after", flat=True))


def work() -> list[str]:
    """What becomes of all refunds that are due in the outbox: done, dead, or waiting."""
    refunds = Message.objects.filter(kind="payment.refund").order_by("pk")
    for message in refunds:
        deliver(message=message.pk)
    return ["done" if each.done_at else "dead" if each.dead_at else "waiting" for each in refunds.all()]


def work_again() -> list[str]:
    """As `work`, once all waiting messages are due again."""
    Message.objects.update(due_at=timezone.now())
    api.CHAPA.failure = None
    return work()


def age(**by: int) -> None:
    """Makes every payment older, and not asked after for as long."""
    ago = timezone.now() - timedelta(**by)
    Payment.objects.update(created_at=ago, updated_at=ago)
