"""What the tests of pages share: a browser, and what it reads off them."""

import re
from collections.abc import Callable
from typing import Any

from django.test import Client

from booking.accounts.models import User
from booking.bookings.models import Booking
from booking.bookings.services import booking_create
from booking.listings.models import Listing
from tests.helpers import day

Browser = Callable[..., Client]


def open_browser(user: User | None = None) -> Client:
    """A browser behind the balancer, signed in as somebody if asked."""
    client = Client(HTTP_HOST="booking.example", HTTP_X_FORWARDED_PROTO="https", HTTP_ACCEPT="text/html")
    if user:
        client.force_login(user)
    return client


def text(answer: Any) -> str:
    """What the page says, in words."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.content.decode()))


def links(answer: Any) -> list[str]:
    """Where the page leads."""
    return [link.replace("&amp;", "&") for link in re.findall(r'href="([^"]+)"', answer.content.decode())]


def booked(guest: User, listing: Listing, first: int, last: int, **fields: Any) -> Booking:
    """A booking of the guest's from day `first` to day `last`."""
    made = booking_create(guest=guest, listing=listing.pk, check_in=day(first), check_out=day(last), guests=1)
    if fields:
        Booking.objects.filter(pk=made.pk).update(**fields)
        made.refresh_from_db()
    return made
