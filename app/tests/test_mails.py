"""Mail about bookings: to whom, what it says, and what the mail server may do to it."""

import socket
import ssl
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db.models.functions import Now
from pytest_django import Settings

from booking.accounts.models import User
from booking.bookings.mails import reminders_post
from booking.bookings.models import Booking, Status
from booking.listings.models import Listing
from booking.outbox.models import Message
from booking.outbox.services import deliver
from tests.helpers import client_of, day, make_listing, stay

URL = "/api/v1/bookings/"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _mail_is_on(settings: Settings) -> None:
    """A mail server is configured; the framework's own for tests takes what is sent."""
    settings.EMAIL_HOST = "mail.example"


def book(guest: User, listing: Listing, first: int = 1) -> Booking:
    """A booking of two nights, its mails posted."""
    answer = client_of(guest).post(URL, stay(listing, first, first + 2))
    return Booking.objects.get(pk=answer.json()["id"])


def send() -> list[EmailMessage]:
    """The mails that a worker sends now."""
    mail.outbox = []
    for key in Message.objects.order_by("pk").values_list("pk", flat=True):
        deliver(message=key)
    return list(mail.outbox)


def test_guest_and_host_hear_of_a_booking(guest: User, listing: Listing) -> None:
    booking = book(guest, listing)
    to_guest, to_host = send()
    assert (to_guest.to, to_host.to) == ([guest.email], [listing.host.email])
    assert to_guest.subject == f"Booked: {listing.title}"
    dates = f"{day(1):%-d %B %Y} to {day(3):%-d %B %Y}, 2 guests"
    assert to_guest.body == (
        f"Hello {guest.name},\n\nyour stay at {listing.title}, Gondar, is booked:\n{dates},\n161.00 EUR.\n\n"
        f"https://booking.example/stays/{booking.pk}/\n"
    )
    assert to_host.body == (
        f"Hello {listing.host.name},\n\n{guest.name} has booked {listing.title}:\n{dates}.\n"
    )
    assert to_guest.from_email == "booking@localhost"
    assert send() == []


def test_guest_and_host_hear_of_a_cancellation(guest: User, listing: Listing) -> None:
    booking = book(guest, listing)
    send()
    for _ in range(2):
        client_of(guest).post(f"{URL}{booking.pk}/cancel/")
    to_guest, to_host = send()
    assert (to_guest.to, to_host.to) == ([guest.email], [listing.host.email])
    assert {each.subject for each in (to_guest, to_host)} == {f"Cancelled: {listing.title}"}
    assert "is given back" in to_guest.body
    assert "free again" in to_host.body


def test_a_host_hears_nothing_of_a_booking_that_was_never_paid(
    guest: User, birr: Listing, settings: Settings
) -> None:
    settings.CHAPA_SECRET_KEY = "a key"
    booking = book(guest, birr)
    assert send() == []
    client_of(guest).post(f"{URL}{booking.pk}/cancel/")
    assert [each.to for each in send()] == [[guest.email]]


def test_a_mail_that_is_sent_again_is_the_same_mail(guest: User, listing: Listing) -> None:
    booking = book(guest, listing)
    first = send()
    # The mail server took them, and the worker died before it could say so.
    Message.objects.update(done_at=None, due_at=Now())
    again = send()
    ids = [each.extra_headers["Message-ID"] for each in first]
    assert ids == [f"<mail.confirmed.{booking.pk}.{to}@booking.example>" for to in ("guest", "host")]
    assert [each.extra_headers["Message-ID"] for each in again] == ids
    assert [each.body for each in again] == [each.body for each in first]
    assert first[0].message()["Message-ID"] == ids[0]
    assert first[0].message()["Auto-Submitted"] == "auto-generated"


def test_what_people_are_called_is_text_and_no_header_and_no_markup(guest: User, listing: Listing) -> None:
    Listing.objects.update(title="Tom & Jerry's <b>\r\nBcc: all@example.org")
    User.objects.filter(pk=guest.pk).update(name="O'Hara {{ 7 }}")
    book(guest, listing)
    to_guest = send()[0]
    assert to_guest.subject == "Booked: Tom & Jerry's <b> Bcc: all@example.org"
    assert to_guest.recipients() == [guest.email]
    assert "Hello O'Hara {{ 7 }}," in to_guest.body
    assert to_guest.message()["Bcc"] is None


def test_who_arrives_tomorrow_is_reminded_once(
    guest: User, listing: Listing, capsys: pytest.CaptureFixture[str]
) -> None:
    for first in (1, 2):
        book(guest, listing, first * 2 - 1)
    cancelled = book(guest, make_listing(listing.host))
    client_of(guest).post(f"{URL}{cancelled.pk}/cancel/")
    send()
    for count in (1, 0):
        call_command("send_reminders")
        assert capsys.readouterr().out == f"reminders posted: {count}\n"
    (reminder,) = send()
    assert reminder.subject == f"Tomorrow: {listing.title}"
    assert reminder.to == [guest.email]
    assert "begins" in reminder.body


def test_who_cancels_before_the_reminder_is_sent_is_not_reminded(guest: User, listing: Listing) -> None:
    book(guest, listing)
    send()
    assert reminders_post() == 1
    Booking.objects.update(status=Status.CANCELLED)
    assert send() == []
    assert not Message.objects.filter(done_at=None).exists()


def test_without_a_mail_server_nothing_waits_for_one(
    guest: User, listing: Listing, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_HOST = ""
    book(guest, listing)
    caplog.set_level("INFO")
    assert send() == []
    assert not Message.objects.filter(done_at=None).exists()
    assert "mail is off" in caplog.text


REFUSED: dict[str, tuple[Exception, bool]] = {
    "nobody there": (SMTPRecipientsRefused({"a@b.c": (550, b"no such user")}), True),
    "box full": (SMTPRecipientsRefused({"a@b.c": (452, b"later")}), False),
    "text refused": (SMTPDataError(554, b"looks like spam"), True),
    "text refused for now": (SMTPDataError(451, b"later"), False),
    "gone": (SMTPServerDisconnected("gone"), False),
    "no route": (OSError("no route"), False),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_the_mail_server_refuses_for_good_is_dead_at_once_and_everything_else_waits(
    guest: User, listing: Listing, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    raised, dead = REFUSED[why]
    book(guest, listing)

    def refuse(self: EmailMessage, *_: Any, **__: Any) -> int:
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", refuse)
        assert send() == []
    for message in Message.objects.all():
        assert (message.dead_at is not None, message.done_at, message.attempts) == (dead, None, 1)
    Message.objects.update(due_at=Now() - timedelta(seconds=1))
    assert len(send()) == (0 if dead else 2)


class MailServer(threading.Thread):
    """Speaks as much SMTP (RFC 5321) over TLS as one mail takes; `received` is what came in."""

    def __init__(self, authority: Path) -> None:
        super().__init__(daemon=True)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(authority, authority.with_name("key.pem"))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.received: list[str] = []

    def run(self) -> None:
        """One connection; one that does not trust us ends at once."""
        plain, _ = self.listening.accept()
        with (
            suppress(ssl.SSLError),
            self.tls.wrap_socket(plain, server_side=True) as peer,
            peer.makefile("rw", newline="") as lines,
        ):
            self.say(lines, "220 here")
            while line := lines.readline():
                self.received.append(line.rstrip("\r\n"))
                if line.lower().startswith("data"):
                    self.say(lines, "354 go on")
                    while (line := lines.readline().rstrip("\r\n")) != ".":
                        self.received.append(line)
                self.say(lines, "221 bye" if line.lower().startswith("quit") else "250 well")

    def say(self, lines: Any, line: str) -> None:
        """One answer."""
        lines.write(f"{line}\r\n")
        lines.flush()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_mail_server_is_trusted_by_the_configured_authority_and_not_without(
    guest: User, listing: Listing, settings: Settings, authority: Path, trusted: bool
) -> None:
    server = MailServer(authority)
    server.start()
    settings.EMAIL_BACKEND = "booking.core.mail.Backend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_SSL, settings.EMAIL_USE_TLS = True, False
    settings.OUTGOING_CA = str(authority) if trusted else ""
    book(guest, listing)
    message = Message.objects.order_by("pk")[0]
    deliver(message=message.pk)
    server.join(timeout=10)
    server.listening.close()
    message.refresh_from_db()
    assert (message.done_at is not None) is trusted
    if trusted:
        assert f"rcpt TO:<{guest.email}>" in server.received
        assert f"Message-ID: <{message.key}@booking.example>" in server.received
    else:
        assert "CERTIFICATE_VERIFY_FAILED" in message.error
        assert server.received == []
