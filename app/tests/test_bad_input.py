"""Whatever comes in: the right 4xx, the envelope, and nothing written."""

from typing import Any, cast

import pytest

from booking.accounts.models import User
from booking.bookings.models import Booking
from booking.listings.models import Listing
from tests.helpers import PASSWORD, client_of, day, post_raw, stay

BOOKINGS, LISTINGS, USERS = "/api/v1/bookings/", "/api/v1/listings/", "/api/v1/users/"


def assert_refused(answer: Any, status: int, code: str, *fields: str) -> None:
    """The envelope, exactly."""
    assert answer.status_code == status, answer.content
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "fields"}
    assert (body["error"]["code"], set(body["error"]["fields"])) == (code, set(fields))
    assert body["error"]["message"]
    assert all(isinstance(line, str) for lines in body["error"]["fields"].values() for line in lines)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"check_in": day(3), "check_out": day(1)}, "check_out"),
        ({"check_in": day(3), "check_out": day(3)}, "check_out"),
        ({"check_in": day(-1)}, "check_in"),
        ({"check_in": day(1), "check_out": day(367)}, "check_out"),
        ({"check_in": "2030-02-30"}, "check_in"),
        ({"check_in": "tomorrow"}, "check_in"),
        ({"check_in": None}, "check_in"),
        ({"check_in": ["2030-01-01"]}, "check_in"),
        ({"check_in": "2030-01-01T00:00:00Z"}, "check_in"),
        ({"check_out": "9999-12-31"}, "check_out"),
        ({"guests": 0}, "guests"),
        ({"guests": -1}, "guests"),
        ({"guests": 5}, "guests"),
        ({"guests": 40000}, "guests"),
        ({"guests": "two"}, "guests"),
        ({"guests": 1.5}, "guests"),
        ({"guests": {}}, "guests"),
        ({"guests": True}, "guests"),
        ({"listing": 999999}, "listing"),
        ({"listing": 2**63}, "listing"),
        ({"listing": 0}, "listing"),
        ({"listing": "x"}, "listing"),
        ({"listing": None}, "listing"),
    ],
    ids=str,
)
def test_a_booking_with_a_wrong_field(
    guest: User, listing: Listing, wrong: dict[str, Any], field: str
) -> None:
    assert_refused(client_of(guest).post(BOOKINGS, stay(listing) | wrong), 400, "invalid", field)
    assert not Booking.objects.exists()


def test_a_booking_without_anything_names_every_field(guest: User) -> None:
    answer = client_of(guest).post(BOOKINGS, {})
    assert_refused(answer, 400, "invalid", "listing", "check_in", "check_out", "guests")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"title": "x" * 121}, "title"),
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"title": ["x"]}, "title"),
        ({"description": "x" * 5001}, "description"),
        ({"place": None}, "place"),
        ({"price_per_night": "0"}, "price_per_night"),
        ({"price_per_night": "-1"}, "price_per_night"),
        ({"price_per_night": "1.001"}, "price_per_night"),
        ({"price_per_night": "100000000.00"}, "price_per_night"),
        ({"price_per_night": "NaN"}, "price_per_night"),
        ({"price_per_night": "1e999999"}, "price_per_night"),
        ({"price_per_night": "cheap"}, "price_per_night"),
        ({"currency": "ZZZ"}, "currency"),
        ({"currency": "eur"}, "currency"),
        ({"currency": ["EUR"]}, "currency"),
        ({"capacity": 0}, "capacity"),
        ({"capacity": 32768}, "capacity"),
        ({"capacity": "four"}, "capacity"),
        ({"capacity": 1.5}, "capacity"),
        ({"capacity": "9" * 2000}, "capacity"),
        ({"title": {"a": 1}}, "title"),
        ({"title": None}, "title"),
        ({"title": True}, "title"),
        ({"description": "a\x00b"}, "description"),
        ({"description": []}, "description"),
        ({"description": None}, "description"),
        ({"place": "x" * 121}, "place"),
        ({"place": ""}, "place"),
        ({"place": "a\x00b"}, "place"),
        ({"place": {}}, "place"),
        ({"price_per_night": "Infinity"}, "price_per_night"),
        ({"price_per_night": "9" * 2000}, "price_per_night"),
        ({"price_per_night": True}, "price_per_night"),
        ({"price_per_night": [1]}, "price_per_night"),
        ({"price_per_night": None}, "price_per_night"),
        ({"price_per_night": "0.99"}, "price_per_night"),
        ({"currency": "EUR\x00"}, "currency"),
        ({"currency": None}, "currency"),
        ({"currency": 978}, "currency"),
        ({"capacity": True}, "capacity"),
        ({"capacity": None}, "capacity"),
        ({"capacity": -1}, "capacity"),
        ({"status": "sold"}, "status"),
        ({"status": ""}, "status"),
        ({"status": None}, "status"),
        ({"status": ["hidden"]}, "status"),
        ({"status": {"a": 1}}, "status"),
    ],
    ids=repr,
)
def test_a_listing_with_a_wrong_field(host: User, wrong: dict[str, Any], field: str) -> None:
    body = {"title": "t", "place": "p", "price_per_night": "10.00", "currency": "EUR", "capacity": 1}
    assert client_of(host).post(LISTINGS, body).status_code == 201
    before = Listing.objects.values().get()
    assert_refused(client_of(host).post(LISTINGS, body | wrong), 400, "invalid", field)
    assert_refused(client_of(host).patch(f"{LISTINGS}{before['id']}/", wrong), 400, "invalid", field)
    assert Listing.objects.values().get() == before


def test_a_text_that_is_not_unicode(host: User) -> None:
    body = b'{"title": "\\ud800", "place": "p", "price_per_night": "10.00", "currency": "EUR", "capacity": 1}'
    answer = post_raw(client_of(host), LISTINGS, body)
    assert_refused(answer, 400, "invalid", "title")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"email": "not an address"}, "email"),
        ({"email": "a" * 250 + "@example.org"}, "email"),
        ({"email": None}, "email"),
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"password": "x" * 129}, "password"),
        ({"password": {"$ne": ""}}, "password"),
    ],
    ids=str,
)
def test_a_registration_with_a_wrong_field(db: None, wrong: dict[str, Any], field: str) -> None:
    body = {"email": "ada@example.org", "name": "Ada", "password": PASSWORD} | wrong
    assert_refused(client_of().post(USERS, body), 400, "invalid", field)
    assert not User.objects.exists()


@pytest.mark.parametrize("path", [BOOKINGS, LISTINGS, USERS, "/api/v1/token/", "/api/v1/token/refresh/"])
@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        (b"{", 400, "parse_error", ()),
        (b"", 400, "invalid", None),
        (b'{"guests": NaN}', 400, "parse_error", ()),
        (b"\xff\xfe", 400, "parse_error", ()),
        (b"[" * 100_000, 400, "parse_error", ()),
        (b'{"guests": ' + b"1" * 5000 + b"}", 400, "parse_error", ()),
        (b"[]", 400, "invalid", ("non_field_errors",)),
        (b'"text"', 400, "invalid", ("non_field_errors",)),
        (b"null", 400, "invalid", None),
        (b'{"x": "' + b"x" * 300_000 + b'"}', 413, "too_large", ()),
    ],
    ids=["cut off", "empty", "NaN", "not UTF-8", "deep", "long number", "list", "text", "null", "oversized"],
)
def test_a_body_that_is_no_object(
    guest: User, path: str, body: bytes, status: int, code: str, fields: tuple[str, ...] | None
) -> None:
    client = client_of(guest if path in {BOOKINGS, LISTINGS} else None)
    answer = post_raw(client, path, body)
    assert_refused(answer, status, code, *(answer.json()["error"]["fields"] if fields is None else fields))
    assert (User.objects.count(), Booking.objects.count(), Listing.objects.count()) == (1, 0, 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", "parse_error"), (b"[]", "invalid"), (b'"x"', "invalid"), (b"[" * 100_000, "parse_error")],
    ids=["cut off", "list", "text", "deep"],
)
def test_a_change_that_is_no_object(host: User, listing: Listing, body: bytes, code: str) -> None:
    path = f"{LISTINGS}{listing.pk}/"
    answer = client_of(host).generic("PATCH", path, cast(str, body), content_type="application/json")
    assert_refused(answer, 400, code, *({"non_field_errors"} if code == "invalid" else ()))


def test_a_form_is_415(guest: User) -> None:
    answer = post_raw(client_of(guest), BOOKINGS, b"a=b", "application/x-www-form-urlencoded")
    assert_refused(answer, 415, "unsupported_media_type")


def test_a_method_that_is_not_offered_is_405(guest: User, listing: Listing) -> None:
    client = client_of(guest)
    assert_refused(client.delete(f"{LISTINGS}{listing.pk}/"), 405, "method_not_allowed")
    assert_refused(client.put(BOOKINGS, {}), 405, "method_not_allowed")
    assert_refused(client.post("/healthz"), 405, "method_not_allowed")


def test_an_answer_in_a_format_that_is_not_spoken_is_406(db: None) -> None:
    assert_refused(client_of().get(LISTINGS, HTTP_ACCEPT="text/html"), 406, "not_acceptable")


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1/listings", "/api/v2/listings/", "/api/v1/listings/x/"]
)
def test_a_path_that_is_not_there_is_404_for_every_method(db: None, path: str) -> None:
    client = client_of()
    for answer in (client.get(path), client.post(path, {"a": 1})):
        assert_refused(answer, 404, "not_found")
