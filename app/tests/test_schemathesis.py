"""The service against its own OpenAPI schema, with requests that a machine thinks out.

    app/run-tests tests/test_schemathesis.py                    a few of each kind, always the same
    BOOKING_SOAK=1 app/run-tests -s tests/test_schemathesis.py  thousands, of each run its own
"""

import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from rest_framework_simplejwt.tokens import AccessToken
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from booking.accounts.models import Role
from booking.bookings.models import Booking
from booking.bookings.models import Status as BookingStatus
from booking.core.schema import EXAMPLE_ID
from booking.listings.models import Listing
from booking.payments.models import Payment, PaymentStatus
from booking.payments.views import CHECKOUT, PAID
from tests.chapa import Chapa, signature
from tests.helpers import day, make_listing, make_user

SOAK = os.environ.get("BOOKING_SOAK") == "1"
EXAMPLES = 40 if SOAK else 5  # of each operation for each user, beside those that the schema has
HEADERS = {"Host": "booking.example", "X-Forwarded-Proto": "https"}
USERS = {"nobody": None, "guest": Role.GUEST, "host": Role.HOST, "admin": Role.ADMIN}

# What a request may be refused for though it is as the schema says, because no schema can say it.
UNSAID = {
    "booking_create": {
        "check_in": "from today on",
        "check_out": "after the check-in, and not by more than a year",
        "guests": "as many as the place takes",
        "listing": "one that is there",
    },
    "chapa_callback": {"tx_ref": "more than blanks"},
    "listing_availability": {"to": "after `from`, and not by more than a year"},
    "listing_create": {"place": "more than blanks", "title": "more than blanks"},
    "listing_list": {
        "check_in": "both dates or none",
        "check_out": "both dates or none, in their order",
        "price_max": "two decimals, where a number may be written in many ways",
        "price_min": "two decimals, where a number may be written in many ways",
    },
    "listing_update": {"place": "more than blanks", "title": "more than blanks"},
    "me_update": {"name": "more than blanks"},
    "register": {
        "email": "an address as people have them: RFC 5322 allows more",
        "name": "more than blanks",
        "password": "one that is not easily guessed",
    },
}
answers: Counter[int] = Counter()


def signing(environ: dict[str, Any], start_response: Any) -> Any:
    """The service; what a user tells as the provider would, is signed as the provider signs it."""
    given = environ.get("HTTP_X_CHAPA_SIGNATURE", "")
    if "HTTP_AUTHORIZATION" in environ and re.fullmatch("[0-9a-f]{64}", given):
        body = environ["wsgi.input"].read()
        environ |= {"HTTP_X_CHAPA_SIGNATURE": signature(body), "wsgi.input": io.BytesIO(body)}
    return service(environ, start_response)


service = get_wsgi_application()
SCHEMA = schemathesis.openapi.from_wsgi("/api/schema/", signing, headers=HEADERS)
SCHEMA.config.generation.allow_x00 = False  # no text may have one, and no schema says so of each
SCHEMA.config.phases.coverage.enabled = os.environ.get("COV") == "1"
SCHEMA.config.phases.fuzzing.enabled = os.environ.get("FUZZ","1") == "1"


@SCHEMA.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Every other number is that of something which is there."""
    return {
        name: EXAMPLE_ID if type(value) is int and value % 2 else value
        for name, value in (path_parameters or {}).items()
    }


@SCHEMA.hook
def filter_query(context: Any, query: dict[str, Any]) -> bool:
    """Nothing is asked by an empty value: forms send all their fields."""
    return "" not in (query or {}).values()


@pytest.fixture
def world(db: None, chapa: Chapa) -> Iterator[dict[str, dict[str, str]]]:
    """What the schema's examples speak of; the headers of each user."""
    for signal in (request_started, request_finished):  # the connection is the test's, as its transaction is
        signal.disconnect(close_old_connections)
    with connection.cursor() as cursor:
        for table in ("accounts_user", "listings_listing", "bookings_booking"):
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), 1000)", [table])
    users = {
        name: make_user(f"{name}@example.org", role=role, pk=pk)
        for pk, (name, role) in enumerate(USERS.items())
        if role
    }
    place = Listing.objects.create(
        pk=EXAMPLE_ID, host=users["host"], title="Flat by the lake", place="Bahir Dar",
        price_per_night=1200, currency="ETB", capacity=3,
    )  # fmt: skip
    booking = Booking.objects.create(
        pk=EXAMPLE_ID, listing=place, guest=users["guest"], check_in=day(1), check_out=day(3), guests=2,
        status=BookingStatus.PENDING, expires_at=timezone.now() + timedelta(hours=1),
        price_per_night=1200, price_total=2400, currency="ETB",
    )  # fmt: skip
    Payment.objects.create(
        booking=booking, reference=PAID["reference"], amount=2400, currency="ETB",
        status=PaymentStatus.OPEN, checkout_url=CHECKOUT,
    )  # fmt: skip
    tokens = {name: {"Authorization": f"Bearer {AccessToken.for_user(user)}"} for name, user in users.items()}
    yield {"nobody": {}, **tokens}
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def beside_the_schema(case: Any, answer: Any) -> list[CheckFunction]:
    """The checks that cannot hold of this answer."""
    operation = case.operation.definition.raw["operationId"]
    refused = set(answer.json()["error"]["fields"]) if answer.status_code == 400 else set()
    return [positive_data_acceptance] if refused and refused <= UNSAID.get(operation, {}).keys() else []


@pytest.mark.parametrize("who", os.environ.get("WHO", "nobody guest host admin").split())
@SCHEMA.parametrize()
@settings(
    max_examples=int(os.environ.get("N", EXAMPLES)), deadline=None, database=None, derandomize=not SOAK,
    suppress_health_check=list(HealthCheck),
)
def test_it_does_as_it_says(case: Any, who: str, world: dict[str, dict[str, str]]) -> None:
    headers = HEADERS | world[who]
    with transaction.atomic():  # each example finds the same world
        answer = case.call(headers=headers)
        answers[answer.status_code] += 1
        if os.environ.get("SHOW"): print("CALL", case.meta.phase.name, case.operation.label, answer.status_code, case.meta.generation.mode)
        excluded = beside_the_schema(case, answer)
        case.validate_response(answer, headers=headers, excluded_checks=excluded, transport_kwargs={"headers": headers})
        transaction.set_rollback(True)

def test_n():
    print("N", sum(answers.values()), answers)
