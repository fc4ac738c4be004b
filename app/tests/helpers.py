"""What tests build and ask with."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any, TypeVar, cast

from django.db import connections
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import RefreshToken

from booking.accounts.models import User
from booking.listings.models import Listing
from booking.listings.services import listing_create

PASSWORD = "correct horse battery"
RELEASE = "20260101T000000Z-0000000"
Result = TypeVar("Result")


def make_user(email: str, **fields: Any) -> User:
    """A user with PASSWORD."""
    return User.objects.create_user(email=email, password=PASSWORD, **{"name": "Someone", **fields})


def make_listing(host: User, **fields: Any) -> Listing:
    """A place for four in Gondar at 80.50 EUR a night, unless `fields` say otherwise."""
    defaults: dict[str, Any] = {
        "title": "A room with a view",
        "place": "Gondar",
        "price_per_night": Decimal("80.50"),
        "currency": "EUR",
        "capacity": 4,
    }
    return listing_create(host=host, **(defaults | fields))


def client_of(user: User | None = None) -> APIClient:
    """A client behind the balancer, with the access token of `user`; a 500 is an answer, not an exception."""
    client = APIClient(
        raise_request_exception=False, HTTP_HOST="booking.example", HTTP_X_FORWARDED_PROTO="https"
    )
    if user:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {RefreshToken.for_user(user).access_token}")
    return client


def post_raw(client: APIClient, path: str, body: bytes, content_type: str = "application/json") -> Any:
    """The answer to a POST of exactly these bytes."""
    # The stubs know text alone; Django's client takes bytes as they are.
    return client.generic("POST", path, cast(str, body), content_type=content_type)


def day(number: int) -> date:
    """The date `number` days from today."""
    return timezone.localdate() + timedelta(days=number)


def stay(listing: Listing, first: int = 1, last: int = 3, guests: int = 2) -> dict[str, Any]:
    """The body of a booking from day `first` to day `last`."""
    return {"listing": listing.pk, "check_in": day(first), "check_out": day(last), "guests": guests}


def at_once(count: int, act: Callable[[int], Result]) -> list[Result]:
    """The results of `act(0)` to `act(count - 1)`, each in its own thread and connection, let go together."""
    gate = Barrier(count)

    def run(number: int) -> Result:
        try:
            gate.wait(timeout=30)
            return act(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
