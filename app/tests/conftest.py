"""What the tests share: a PostgreSQL of their own, users, listings, an API client."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import RefreshToken

from booking.accounts.models import User
from booking.listings.models import Listing
from booking.listings.services import listing_create
from tests.postgres import Cluster

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL."""
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(cluster: Cluster) -> None:
    """pytest-django's hook, before it makes the database: where the database is."""
    settings.DATABASES["default"]["HOST"] = str(cluster.directory)
    connections["default"].settings_dict["HOST"] = str(cluster.directory)


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """Makes users; each has PASSWORD."""

    def make(email: str = "guest@example.org", **fields: Any) -> User:
        return User.objects.create_user(email=email, password=PASSWORD, **{"name": "Someone", **fields})

    return make


@pytest.fixture
def guest(make_user: Callable[..., User]) -> User:
    """A user who books."""
    return make_user("guest@example.org")


@pytest.fixture
def host(make_user: Callable[..., User]) -> User:
    """A user who lists places."""
    return make_user("host@example.org")


@pytest.fixture
def listing(host: User) -> Listing:
    """A place for four, 80.50 EUR a night."""
    return make_listing(host)


def make_listing(host: User, **fields: Any) -> Listing:
    """A listing; any of its fields can be chosen."""
    defaults: dict[str, Any] = {
        "title": "A room with a view",
        "place": "Gondar",
        "price_per_night": Decimal("80.50"),
        "currency": "EUR",
        "capacity": 4,
    }
    return listing_create(host=host, **(defaults | fields))


def client_of(user: User | None = None) -> APIClient:
    """A client behind the balancer, with the access token of `user`."""
    client = APIClient(HTTP_HOST="booking.example", HTTP_X_FORWARDED_PROTO="https")
    # The envelope of a 500 is asserted where one is provoked.
    client.raise_request_exception = False
    if user:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {RefreshToken.for_user(user).access_token}")
    return client


def day(number: int) -> date:
    """The date `number` days from today."""
    return timezone.localdate() + timedelta(days=number)
