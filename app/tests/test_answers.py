"""What every answer carries, what every request logs, and what a defect looks like from outside."""

import io
import json
import logging
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import HttpResponse, UnreadablePostError
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings
from rest_framework import exceptions

from booking.accounts.models import User
from booking.core import errors, middleware
from booking.listings import views
from booking.pages import views as pages
from config.logs import JsonFormatter, logging_config
from tests.helpers import RELEASE, client_of

LISTINGS = "/api/v1/listings/"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """A defect: the listings raise what nobody expects."""

    def fail(**asked: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(views, "listing_page", fail)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("path", [LISTINGS, "/nothing", "/healthz", "/api/docs/", "/api/schema/"])
def test_the_release_is_on_every_answer(path: str) -> None:
    assert client_of().get(path).headers["X-Release-Id"] == RELEASE


@pytest.mark.usefixtures("broken")
def test_a_defect_is_a_500_in_the_envelope_with_the_release_and_without_the_cause() -> None:
    answer = client_of().get(LISTINGS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "server_error")
    assert answer.headers["X-Release-Id"] == RELEASE
    assert b"defect" not in answer.content
    assert answer.headers["X-Request-Id"]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(("accepted", "kind"), [("text/html", "text/html"), ("*/*", "application/json")])
def test_a_page_whose_question_the_database_did_not_take_says_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch, accepted: str, kind: str
) -> None:
    def fail(**asked: object) -> None:
        raise OperationalError("canceling statement due to lock timeout")

    monkeypatch.setattr(pages, "listing_list", fail)
    answer = Client().get("/", HTTP_ACCEPT=accepted)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Content-Type"].startswith(kind)
    assert b"lock" not in answer.content


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("given", "kept"),
    [("a1b2-c3d4_e5.f6", True), ("short", False), ("x" * 65, False), ("a b\tcdefgh", False)],
)
def test_a_well_formed_request_id_is_kept_and_any_other_replaced(given: str, kept: bool) -> None:
    answer = client_of().get(LISTINGS, HTTP_X_REQUEST_ID=given)
    assert (answer.headers["X-Request-Id"] == given) is kept


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines of a log, parsed."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> Any:
    """What the root logger writes in the service's own format."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(RELEASE))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_a_request_is_one_line_of_json_with_its_user_and_without_its_query(
    guest: User, stream: io.StringIO
) -> None:
    answer = client_of(guest).get(
        f"{LISTINGS}?place=secret", HTTP_X_FORWARDED_FOR="192.0.2.7", HTTP_USER_AGENT="a browser"
    )
    (line,) = logged(stream)
    assert line | {"time": "", "duration_ms": 0} == {
        "time": "", "duration_ms": 0, "level": "info", "logger": "booking.request", "message": "request",
        "release": RELEASE, "request_id": answer.headers["X-Request-Id"],
        "method": "GET", "path": LISTINGS, "route": LISTINGS[1:], "status": 200, "user": guest.pk,
        "address": "192.0.2.7", "agent": "a browser",
    }  # fmt: skip


@pytest.mark.usefixtures("db")
def test_a_path_that_is_none_is_logged_without_a_route_and_a_user(stream: io.StringIO) -> None:
    client_of().get("/nothing", HTTP_USER_AGENT="x" * 500)
    (line,) = logged(stream)
    assert (line["status"], line["route"], line["user"], line["agent"]) == (404, None, None, "x" * 200)


def answer_of(view: Any, **fields: Any) -> HttpResponse:
    """The middleware's answer to a request, which has `fields`, to `view`."""
    request = RequestFactory().get("/somewhere")
    for name, value in fields.items():
        setattr(request, name, value)
    return middleware.ReleaseMiddleware(view)(request)


def test_a_session_that_no_view_has_asked_for_is_not_looked_up_for_the_log(stream: io.StringIO) -> None:
    # The database is not allowed in this test: a look-up would be a failure.
    answer_of(lambda request: HttpResponse(), user=SimpleLazyObject(User.objects.get))
    assert logged(stream)[0]["user"] is None


def test_the_user_of_a_session_that_a_view_has_asked_for_is_logged(stream: io.StringIO) -> None:
    user = User(pk=7)
    answer_of(lambda request: HttpResponse(), user=SimpleLazyObject(lambda: user), _cached_user=user)
    assert logged(stream)[0]["user"] == 7


@pytest.mark.parametrize(
    ("forwarded", "remote", "address"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("10.9.9.9, 192.0.2.7", "", "192.0.2.7"),  # the first is what the client said
        ("192.0.2.7, 10.0.0.5", "", "10.0.0.5"),  # a second balancer: what it was told, nobody vouches for
        ("192.0.2.7,", "10.0.0.1", "10.0.0.1"),
        ("", "10.0.0.1", "10.0.0.1"),
        ("", "", None),  # the socket itself, and no proxy
        ("somebody", "10.0.0.1", None),
        ("2001:DB8:0:0::7", "", "2001:db8::7"),
        ("::ffff:192.0.2.7", "", "192.0.2.7"),
        ("fe80::1%eth0", "", "fe80::1"),
    ],
)
def test_behind_the_proxy_the_clients_address_is_what_the_proxy_appended(
    forwarded: str, remote: str, address: str | None
) -> None:
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR=forwarded, REMOTE_ADDR=remote)
    assert middleware.client_address(request) == address


def test_without_a_proxy_that_is_trusted_no_forwarded_address_is_believed(settings: Settings) -> None:
    settings.TRUSTED_PROXY = False
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR="192.0.2.7", REMOTE_ADDR="10.0.0.1")
    assert middleware.client_address(request) == "10.0.0.1"


@pytest.mark.usefixtures("broken")
def test_a_defect_is_logged_with_its_traceback_and_the_requests_id(stream: io.StringIO) -> None:
    answer = client_of().get(LISTINGS)
    failure, request = logged(stream)
    assert failure["exception"].endswith("ZeroDivisionError: a defect")
    assert failure["request_id"] == request["request_id"] == answer.headers["X-Request-Id"]
    assert request["status"] == 500


@pytest.mark.usefixtures("db")
def test_probes_that_are_answered_well_are_not_logged(stream: io.StringIO) -> None:
    client_of().get("/healthz")
    assert logged(stream) == []


def test_a_line_break_in_a_message_stays_in_its_line_and_the_stack_is_kept(stream: io.StringIO) -> None:
    logging.getLogger("x").warning("one\ntwo", stack_info=True, extra={"odd": object()})
    (line,) = logged(stream)
    assert line["message"] == "one\ntwo"
    assert "Stack" in line["stack"]


def test_debug_turns_the_root_logger_up() -> None:
    assert logging_config(release="", debug=True)["root"]["level"] == "DEBUG"


def test_the_errors_of_django_itself_are_in_the_envelope() -> None:
    request = RequestFactory().get("/")
    for answer, code in (
        (errors.permission_denied(request, Exception()), 403),
        (errors.csrf_failure(request, "why"), 403),
        (errors.bad_request(request, Exception()), 400),
        (errors.server_error(request), 500),
    ):
        assert answer.status_code == code
        assert set(json.loads(answer.content)["error"]) == {"code", "message", "fields"}


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (InterfaceError("connection already closed"), 503, "try_again"),
        (PermissionDenied(), 403, "permission_denied"),
        (UnreadablePostError("gone"), 400, "parse_error"),
        (exceptions.Throttled(wait=3), 429, "throttled"),
    ],
)
def test_what_the_handler_makes_of_other_errors(raised: Exception, status: int, code: str) -> None:
    answer = errors.exception_handler(raised, {})
    assert answer is not None
    assert (answer.status_code, answer.data["error"]["code"]) == (status, code)
    if status == 429:
        assert answer.headers["Retry-After"] == "3"


def test_details_of_any_depth_become_flat_fields() -> None:
    detail = {"dates": {"check_in": ["past"]}, "rooms": [{}, {"beds": ["none"]}], "whole": "wrong"}
    assert errors.flatten(detail) == {
        "dates.check_in": ["past"],
        "rooms.1.beds": ["none"],
        "whole": ["wrong"],
    }
    assert errors.flatten(["wrong"]) == {"non_field_errors": ["wrong"]}


@pytest.mark.django_db
def test_a_constraint_that_a_service_did_not_expect_stays_a_defect() -> None:
    User.objects.create(email="ada@example.org", name="Ada")
    with pytest.raises(IntegrityError), errors.refusing({}):
        User.objects.create(email="ada@example.org", name="Ada")
