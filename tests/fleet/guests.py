"""Somebody who books, and what reaches them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.client import Client
from tests.fleet.outside import Mail, Mailbox, Payments
from tests.fleet.waiting import wait_until


class Guest:
    """Somebody who books: an address, a token, and a place that nobody else knows; in birr it is paid online, in any
    other currency it is booked at once."""

    def __init__(self, client: Client, currency: str = "ETB") -> None:
        self.client = client
        mark = uuid.uuid4().hex[:12]
        self.email = f"guest-{mark}@example.org"
        self.token = client.login(self.email, uuid.uuid4().hex, {"role": "guest"})
        host = client.login(f"host-{mark}@example.org", uuid.uuid4().hex, {"role": "host"})
        self.place = client.ask("POST", "/api/v1/listings/", 201, token=host, json={
            "title": f"Room {mark}", "description": "By the lake.", "place": "Bahir Dar",
            "price_per_night": "35.50", "currency": currency, "capacity": 2,
        })["id"]

    def ask(self, method: str, path: str, status: int, **options: Any) -> Any:
        """The answer to a request about bookings; NexusError if it does not bear *status*."""
        return self.client.ask(method, f"/api/v1/bookings/{path}", status, token=self.token, **options)

    def stay(self, first: int = 30, nights: int = 2) -> dict[str, object]:
        """What books so many nights at the place, *first* days from now."""
        start = datetime.now(UTC).date() + timedelta(days=first)
        end = start + timedelta(days=nights)
        return {"listing": self.place, "check_in": str(start), "check_out": str(end), "guests": 2}

    def book(self, **options: int) -> Any:
        """Book a `stay`."""
        return self.ask("POST", "", 201, json=self.stay(**options))

    def state(self, booking: dict[str, Any]) -> str:
        """What has become of a booking."""
        return str(self.ask("GET", f"{booking['id']}/", 200)["status"])

    def pay(self, booking: dict[str, Any], status: int = 200) -> Any:
        """Whoever found the provider away, even in the test before, asks it again only after a pause."""
        what = f"the answer {status} of one who was asked to let somebody pay"
        return wait_until(lambda: self.ask("POST", f"{booking['id']}/pay/", status), 40, what)


def subjects(mailbox: Mailbox, address: str) -> list[str]:
    """Of the mails for an address."""
    return [mail.subject for mail in mailbox.by_recipient(address)]


# A web process that found the broker away, even in the test before, leaves what it would publish to the next sweep.
SWEPT_SECONDS = 90


def mails(mailbox: Mailbox, address: str, count: int, seconds: float = SWEPT_SECONDS) -> list[Mail]:
    """The mails for an address once there are so many, each counted once by its Message-ID."""

    def enough() -> list[Mail]:
        found = {mail.message["Message-ID"]: mail for mail in mailbox.by_recipient(address)}
        return list(found.values()) if len(found) >= count else []

    return wait_until(enough, seconds, f"mail number {count} to {address}")


def newest_reference(payments: Payments) -> str:
    """Our name of the newest payment at the provider."""
    return str(payments.transactions()[-1]["tx_ref"])
