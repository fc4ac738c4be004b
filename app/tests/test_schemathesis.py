"""The service against its own OpenAPI schema, with requests that a machine thinks out.

Every check of Schemathesis is on; `beside_the_schema` says which do not hold of which answers, and why.
use_after_free and ensure_resource_availability find nothing to look at: the API deletes nothing, and its
schema has no links. In a plain run the requests are few and always the same; with BOOKING_SOAK they are
thousands, new each time:

    BOOKING_SOAK=1 app/run-tests tests/test_schemathesis.py
"""

import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import schemathesis
from coverage import Coverage
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from rest_framework_simplejwt.tokens import AccessToken
from schemathesis.checks import CheckFunction
from schemathesis.core.failures import Failure
from schemathesis.core.mutations import OperatorKind
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario, TestPhase
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from booking.accounts.models import Role
from booking.bookings.models import Booking
from booking.bookings.models import Status as BookingStatus
from booking.core.schema import EXAMPLE_ID
from booking.listings.models import Listing
from booking.payments.models import Payment, PaymentStatus
from booking.payments.views import CHECKOUT, PAID
from tests.chapa import Chapa, signature
from tests.helpers import day, make_user

SOAK = os.environ.get("BOOKING_SOAK") == "1"
EXAMPLES = 25 if SOAK else 2  # of each operation for each user, beside its examples and its corner cases
HEADERS = {"Host": "booking.example", "X-Forwarded-Proto": "https"}
USERS = {"nobody": None, "guest": Role.GUEST, "host": Role.HOST, "admin": Role.ADMIN}
CORNERED = USERS if SOAK else {"host"}  # for whom the corner cases of each operation are tried

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
answers: Counter[tuple[str, int]] = Counter()  # by operation and status


def signing(environ: dict[str, Any], start_response: Any) -> Any:
    """The service; what a user tells as the provider would, is signed as the provider signs it."""
    given = environ.get("HTTP_X_CHAPA_SIGNATURE", "")
    if "HTTP_AUTHORIZATION" in environ and re.fullmatch("[0-9a-f]{64}", given):
        body = environ["wsgi.input"].read()
        environ |= {"HTTP_X_CHAPA_SIGNATURE": signature(body), "wsgi.input": io.BytesIO(body)}
    return service(environ, start_response)


service = get_wsgi_application()
SCHEMA = schemathesis.openapi.from_wsgi("/api/schema/", signing, headers=HEADERS)
SCHEMA.config.generation.with_security_parameters = False  # the users have their tokens
SCHEMA.config.generation.allow_x00 = False  # no text may have one, and no schema says so of each

DESCRIBED = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
ASKING = httpx.Request("GET", "https://booking.example/")


@SCHEMA.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Every other number is that of something which is there."""
    return {
        name: EXAMPLE_ID if type(value) is int and value % 2 else value
        for name, value in (path_parameters or {}).items()
    }


@pytest.fixture(scope="module", autouse=True)
def _unmeasured() -> Iterator[None]:
    """Coverage, which other tests have, would double the time of these."""
    measuring = Coverage.current()
    if measuring:
        measuring.stop()
    yield
    if measuring:
        measuring.start()


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


def beside_the_schema(case: Any, answer: Any) -> Iterator[CheckFunction]:
    """The checks that cannot hold of this answer."""
    refused = set(answer.json()["error"]["fields"]) if answer.status_code == 400 else set()
    if refused and refused <= UNSAID.get(operation_of(case), {}).keys():
        yield positive_data_acceptance
    # An empty value asks for nothing: forms send all their fields.
    if isinstance(case.query, dict) and not {"", ("",)}.isdisjoint(map(hashable, case.query.values())):
        yield negative_data_rejection
    # A number is taken for the text of it and the text for the number, as every release has done.
    if case.meta.generation.mode.is_negative and of_another_type_alone(case.meta.phase.data):
        yield negative_data_rejection


def hashable(value: Any) -> Any:
    """A value, or the values of one that is given several times."""
    return tuple(map(str, value)) if isinstance(value, list) else str(value)


def of_another_type_alone(wrong: Any) -> bool:
    """Whether all that is wrong with a request is the type of something in its body."""
    if wrong.parameter_location != ParameterLocation.BODY:
        return False
    if isinstance(wrong, CoveragePhaseData):
        return wrong.scenario == CoverageScenario.INCORRECT_TYPE
    kinds = {mutation.operator for mutation in wrong.mutations}
    return kinds == {OperatorKind.CHANGE_TYPE}


def operation_of(case: Any) -> str:
    """The operationId of a request."""
    return str(case.operation.definition.raw["operationId"])


@pytest.mark.parametrize("who", USERS)
@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=not SOAK,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_as_the_schema_says(case: Any, who: str, world: dict[str, dict[str, str]]) -> None:
    if case.meta.phase.name == TestPhase.COVERAGE and who not in CORNERED:
        return
    headers = HEADERS | world[who]
    with transaction.atomic():  # each example finds the same world
        answer = case.call(headers=headers)
        if case.method == case.operation.method.upper():  # some ask by another method, to be refused
            answers[operation_of(case), answer.status_code] += 1
        case.validate_response(
            answer,
            headers=headers,
            transport_kwargs={"headers": headers},
            excluded_checks=list(beside_the_schema(case, answer)),
        )
        transaction.set_rollback(True)


def test_the_requests_before_were_many_and_reached_what_they_asked_for(
    pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: Counter[int] = Counter()
    for (_, code), number in answers.items():
        codes[code] += number
    reporter: Any = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    with capsys.disabled():
        reporter.write_line(f" {codes.total()} requests: {dict(sorted(codes.items()))}")
    assert codes.total() >= (2000 if SOAK else 500)
    served = {operation for operation, code in answers if code < 300}
    # Nobody thinks out a password or a token; tests/test_tokens.py has them.
    unserved = {operation for operation, _ in answers} - served
    assert unserved == {"token_obtain", "token_refresh", "token_revoke"}


@pytest.mark.parametrize("described", DESCRIBED, ids=lambda operation: operation.label)
def test_every_operation_has_examples_and_they_are_as_the_schema_says(described: Any) -> None:
    raw = described.definition.raw
    for parameter in raw.get("parameters", ()):
        assert not parameter.get("required") or {"example", "examples"} & parameter.keys(), parameter["name"]
    for content in raw.get("requestBody", {}).get("content", {}).values():
        assert content["examples"]
    (code,) = (code for code in raw["responses"] if code < "300")
    for example in raw["responses"][code]["content"]["application/json"]["examples"].values():
        headers = dict.fromkeys(("X-Request-Id", "X-Release-Id"), "x")
        answer = httpx.Response(int(code), json=example["value"], headers=headers, request=ASKING)
        answer.elapsed = timedelta()
        described.validate_response(answer)


def test_an_example_that_lacks_something_is_found_out() -> None:
    me = next(each for each in DESCRIBED if each.definition.raw["operationId"] == "me")
    answer = httpx.Response(200, json={"id": 7}, request=ASKING)
    answer.elapsed = timedelta()
    with pytest.raises(Failure):
        me.validate_response(answer)
