"""Mail about bookings: posted with their moves, written and sent by a worker."""

import logging
from datetime import timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.dispatch import receiver
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from booking.bookings.models import Booking, Status, moved
from booking.outbox.models import Message
from booking.outbox.services import GivenUp, handles, post

logger = logging.getLogger("booking.mail")

KIND = "mail.booking"


def mail_post(*, booking: int, what: str, to: str) -> bool:
    """Has a mail about a booking sent; False where it was posted before. templates/bookings/WHAT_TO.txt."""
    payload = {"booking": booking, "what": what, "to": to}
    return post(key=f"mail.{what}.{booking}.{to}", kind=KIND, payload=payload)


@receiver(moved)
def post_of_moves(*, booking: Booking, before: str, after: str, **_: Any) -> None:
    """Tells guest and host of a confirmed or cancelled booking; the host only of one once confirmed."""
    if after in (Status.CONFIRMED, Status.CANCELLED):
        mail_post(booking=booking.pk, what=after, to="guest")
        if Status.CONFIRMED in (before, after):
            mail_post(booking=booking.pk, what=after, to="host")


def reminders_post() -> int:
    """How many guests whose stay begins tomorrow will be reminded of it who were not to be before."""
    tomorrow = timezone.localdate() + timedelta(days=1)
    begins = Booking.objects.filter(status=Status.CONFIRMED, check_in=tomorrow)
    return sum(
        mail_post(booking=key, what="reminder", to="guest") for key in begins.values_list("pk", flat=True)
    )


@handles(KIND)
def send(message: Message) -> None:
    """Sends a mail. Its Message-ID is made of the message's key, so that one sent again is the same mail.

    Raises GivenUp for a recipient or a text that the mail server refuses for good (RFC 5321, 4.2.1: 5yz).
    """
    if not settings.EMAIL_HOST:
        logger.info("mail is off, not sent", extra={"key": message.key})
        return
    what, to = message.payload["what"], message.payload["to"]
    booking = Booking.objects.select_related("guest", "listing__host").get(pk=message.payload["booking"])
    if what == "reminder" and booking.status != Status.CONFIRMED:
        return
    user = booking.guest if to == "guest" else booking.listing.host
    link = f"{settings.PUBLIC_URL}{reverse('stay', args=[booking.pk])}"
    text = render_to_string(f"bookings/{what}_{to}.txt", {"booking": booking, "user": user, "link": link})
    subject, _, body = text.partition("\n\n")
    mail = EmailMessage(
        " ".join(subject.split()),
        f"{body.strip()}\n",
        to=[user.email],
        headers={
            "Message-ID": f"<{message.key}@{urlsplit(settings.PUBLIC_URL).hostname}>",
            "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office answers
        },
    )
    try:
        mail.send()
    except SMTPRecipientsRefused as error:
        if all(code >= 500 for code, _ in error.recipients.values()):
            raise GivenUp(str(error)) from error
        raise
    except SMTPDataError as error:
        if error.smtp_code >= 500:
            raise GivenUp(str(error)) from error
        raise
