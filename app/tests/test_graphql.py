"""GraphQL: what is asked and done, how errors look, and what is too much."""

import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from booking.accounts.models import Role, User
from booking.bookings.models import Booking
from booking.bookings.services import booking_create
from booking.graphql import schema
from booking.listings.models import Listing
from tests.helpers import client_of, make_listing, make_user, post_raw, stay

URL = "/graphql"


def ask(query: str, user: User | None = None, **variables: Any) -> Any:
    """The body of the answer, whose status is 200."""
    answer = client_of(user).post(URL, {"query": query, "variables": variables})
    assert answer.status_code == 200, answer.content
    return answer.json()


def refusal(answer: Any) -> tuple[str, dict[str, Any]]:
    """The code and the fields of the last error, which has the shape that all have."""
    for error in answer["errors"]:
        assert error["message"]
        assert set(error["extensions"]) == {"code", "fields"}
    return error["extensions"]["code"], error["extensions"]["fields"]


FIELDS = "id hostId title description place pricePerNight currency capacity status createdAt"
BOOK = """mutation($listing: ID!, $checkIn: Date!, $checkOut: Date!, $guests: Int!) {
    book(listing: $listing, checkIn: $checkIn, checkOut: $checkOut, guests: $guests) {
        id status guests checkIn checkOut priceTotal currency listing { id title place } } }"""


def dates(listing: Listing, first: int = 1, last: int = 3, guests: int = 2) -> dict[str, Any]:
    """The variables of BOOK."""
    body = stay(listing, first, last, guests)
    return {
        "listing": str(listing.pk),
        "checkIn": str(body["check_in"]),
        "checkOut": str(body["check_out"]),
        "guests": guests,
    }


# --- What can be asked ------------------------------------------------------------------------------------
def test_a_listing_says_what_it_says_in_the_api(listing: Listing) -> None:
    told = ask(f"query($id: ID!) {{ listing(id: $id) {{ {FIELDS} }} }}", id=str(listing.pk))["data"][
        "listing"
    ]
    shown = client_of().get(f"/api/v1/listings/{listing.pk}/").json()
    assert (told["id"], told["hostId"]) == (str(shown["id"]), str(shown["host"]))
    for name, rest in (("title", "title"), ("pricePerNight", "price_per_night"), ("status", "status")):
        assert told[name] == shown[rest]


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        ("", ["c", "b", "a"]),
        ("(filters: {})", ["c", "b", "a"]),
        ('(filters: {place: "gondar"})', ["b", "a"]),
        ('(filters: {priceMin: "50"})', ["c", "b"]),
        ('(filters: {priceMax: "50.00", ordering: "price"})', ["a", "b"]),
        ('(filters: {guests: 3, currency: "usd"})', ["c"]),
        ('(filters: {search: "mekelle c"})', ["c"]),
        ('(filters: {checkIn: "2030-01-01", checkOut: "2030-01-02"}, limit: 1)', ["c"]),
    ],
)
def test_the_filters_are_those_of_the_api(host: User, arguments: str, titles: list[str]) -> None:
    make_listing(host, title="a", place="Gondar", price_per_night=Decimal(20), capacity=1)
    make_listing(host, title="b", place="Gondar", price_per_night=Decimal(50), capacity=3)
    make_listing(host, title="c", place="Mekelle", price_per_night=Decimal(90), capacity=6, currency="USD")
    found = ask(f"{{ listings{arguments} {{ results {{ title }} }} }}")["data"]["listings"]["results"]
    assert [one["title"] for one in found] == titles


def test_pages_lead_on_and_back(host: User) -> None:
    made = [str(make_listing(host).pk) for _ in range(5)]
    query = """query($cursor: String) {
        listings(filters: {ordering: "price"}, limit: 2, cursor: $cursor) {
            next previous results { id } } }"""
    pages: list[Any] = [ask(query)["data"]["listings"]]
    while pages[-1]["next"]:
        pages.append(ask(query, cursor=pages[-1]["next"])["data"]["listings"])
    assert [one["id"] for page in pages for one in page["results"]] == made
    assert ask(query, cursor=pages[1]["previous"])["data"]["listings"]["results"] == pages[0]["results"]


def test_a_hidden_listing_is_its_hosts_and_admins_alone(host: User, guest: User) -> None:
    hidden = make_listing(host, status="hidden")
    query = "query($id: ID!) { listing(id: $id) { id } }"
    for user in (host, make_user("admin@example.org", role=Role.ADMIN)):
        assert ask(query, user, id=hidden.pk)["data"]["listing"]["id"] == str(hidden.pk)
    for nobody in (None, guest):
        answer = ask(query, nobody, id=hidden.pk)
        assert (answer["data"], refusal(answer)) == (None, ("not_found", {}))
    mine = '{ listings(filters: {mine: "true"}) { results { id } } }'
    assert ask(mine, host)["data"]["listings"]["results"] == [{"id": str(hidden.pk)}]
    assert refusal(ask(mine)) == ("not_authenticated", {})


@pytest.mark.parametrize("number", ["x", "-1", "9" * 40, "9" * 5000, "1 or 1", "٣"])
def test_a_listing_that_is_not_there(db: None, number: str) -> None:
    assert refusal(ask("query($id: ID!) { listing(id: $id) { id } }", id=number)) == ("not_found", {})


# --- What can be done -------------------------------------------------------------------------------------
def test_a_guest_books_sees_and_cancels(listing: Listing, guest: User) -> None:
    booked = ask(BOOK, guest, **dates(listing))["data"]["book"]
    assert booked["listing"] == {"id": str(listing.pk), "title": listing.title, "place": listing.place}
    assert (booked["status"], booked["priceTotal"], booked["guests"]) == ("confirmed", "161.00", 2)
    mine = ask("{ myBookings { results { id status } next previous } }", guest)["data"]["myBookings"]
    assert mine == {"results": [{"id": booked["id"], "status": "confirmed"}], "next": None, "previous": None}
    cancel = "mutation($id: ID!) { cancel(id: $id) { status } }"
    for _ in range(2):
        assert ask(cancel, guest, id=booked["id"])["data"]["cancel"] == {"status": "cancelled"}
    stranger = make_user("stranger@example.org")
    assert refusal(ask(cancel, stranger, id=booked["id"])) == ("not_found", {})
    assert ask("{ myBookings { results { id } } }", stranger)["data"]["myBookings"]["results"] == []


def test_the_same_services_refuse_the_same(listing: Listing, guest: User) -> None:
    booking_create(guest=guest, **stay(listing, 1, 3))
    assert refusal(ask(BOOK, guest, **dates(listing)))[0] == "dates_taken"
    for wrong, field in (
        ({"guests": 0}, "guests"),
        ({"guests": 5}, "guests"),
        ({"listing": "x"}, "listing"),
        ({"listing": "9" * 30}, "listing"),
        ({"checkOut": dates(listing)["checkIn"]}, "check_out"),
    ):
        code, fields = refusal(ask(BOOK, guest, **(dates(listing, 5, 7) | wrong)))
        assert (code, list(fields)) == ("invalid", [field])
    assert Booking.objects.count() == 1


@pytest.mark.parametrize("query", ["{ myBookings { next } }", "mutation { cancel(id: 1) { id } }"])
def test_what_is_somebodys_asks_for_a_token(db: None, query: str) -> None:
    assert refusal(ask(query)) == ("not_authenticated", {})


def test_a_token_that_is_wrong_is_401_in_graphqls_shape(db: None) -> None:
    answer = client_of().post(URL, {"query": "{ listings { next } }"}, HTTP_AUTHORIZATION="Bearer x")
    assert (answer.status_code, refusal(answer.json())) == (401, ("token_not_valid", {}))


# --- Errors -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ('filters: {currency: "ZZZ"}', "currency"),
        ('filters: {priceMin: "NaN"}', "price_min"),
        ('filters: {priceMax: "1e999"}', "price_max"),
        ('filters: {search: "\\u0000"}', "search"),
        ('filters: {place: "' + "x" * 121 + '"}', "place"),
        ('filters: {ordering: "host"}', "ordering"),
        ('filters: {checkIn: "2030-01-01"}', "check_out"),
        ('filters: {guests: "-1e99999999"}', "guests"),
        ('filters: {guests: "1e99999999"}', "guests"),
        ('filters: {mine: "perhaps"}', "mine"),
        ("limit: 0", "limit"),
        ("limit: 101", "limit"),
    ],
)
def test_a_wrong_argument_names_itself(db: None, arguments: str, field: str) -> None:
    answer = ask(f"{{ listings({arguments}) {{ next }} }}")
    code, fields = refusal(answer)
    assert (code, list(fields)) == ("invalid", [field])
    assert answer["errors"][0]["path"] == ["listings"]


@pytest.mark.parametrize(
    "query",
    [
        "{",
        "",
        "{ nothing }",
        "{ listing }",
        "{ listing { id } }",
        "{ listings(limit: 99999999999) { next } }",
        '{ listings(filters: {checkIn: "soon"}) { next } }',
        '{ listings(filters: {priceMin: "cheap"}) { next } }',
        "subscription { x }",
        "{ __schema { types { name } } }",
        '{ __type(name: "Query") { name } }',
    ],
)
def test_a_question_that_cannot_be_understood(db: None, query: str) -> None:
    answer = client_of().post(URL, {"query": query})
    assert answer.status_code == (200 if query else 400)
    code, _ = refusal(answer.json())
    assert code == "invalid"
    assert "data" not in answer.json()


def test_a_misspelt_field_is_not_told_what_there_is(db: None) -> None:
    assert "Did you mean" not in ask("{ listing(id: 1) { plac } }")["errors"][0]["message"]


def test_a_wrong_variable_is_the_askers_mistake(db: None) -> None:
    query = "query($day: Date) { listings(filters: {checkIn: $day}) { next } }"
    assert refusal(ask(query, day="soon")) == ("invalid", {})


def test_a_defect_says_nothing_of_itself_and_is_logged(
    db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**asked: Any) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(schema, "listing_page", fail)
    answer = client_of().post(URL, {"query": "{ listings { next } }"})
    assert refusal(answer.json()) == ("server_error", {})
    assert b"a defect" not in answer.content
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[]", 400, "invalid"),
        (b'[{"query": "{ listings { next } }"}]', 400, "invalid"),
        (b'{"query": 1, "variables": 3}', 400, "invalid"),
        (b'{"query": {}}', 400, "invalid"),
        (b'{"query": "{ listings { next } }", "variables": {"a": ["\\ud800"]}}', 400, "invalid"),
        (b'{"query": "{ listings { next } }", "variables": []}', 400, "invalid"),
        (b"{", 400, "parse_error"),
        (b'{"query": "' + b"x" * 10_001 + b'"}', 400, "invalid"),
        (b'{"query": "' + b"x" * 300_000 + b'"}', 413, "too_large"),
        (b'{"variables": ' + b"[" * 100_000, 400, "parse_error"),
    ],
    ids=[
        "list",
        "batch",
        "numbers",
        "object",
        "half a character",
        "variables",
        "cut off",
        "long",
        "oversized",
        "deep",
    ],
)
def test_a_body_that_is_no_question(db: None, body: bytes, status: int, code: str) -> None:
    answer = post_raw(client_of(), URL, body)
    assert (answer.status_code, refusal(answer.json())[0]) == (status, code)


def test_get_is_not_offered_so_that_no_link_can_ask(db: None) -> None:
    answer = client_of().get(URL, {"query": "{ listings { next } }"})
    assert (answer.status_code, refusal(answer.json())[0]) == (405, "method_not_allowed")
    form = post_raw(client_of(), URL, b"query={listings{next}}", "application/x-www-form-urlencoded")
    assert form.status_code == 415


# --- Too much ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "query",
    [
        "{ " + " ".join(f"a{n}: listing(id: 1) {{ id }}" for n in range(schema.ALIASES + 1)) + " }",
        "{ listings { results { " + "id " * schema.TOKENS + "} } }",
        "{" * 2000,
        "{ listing(id: " + "[" * 400 + " }",
        "{ " + "a { " * (schema.DEPTH + 1) + "b" + " }" * (schema.DEPTH + 2),
    ],
    ids=["aliases", "tokens", "braces", "brackets", "depth"],
)
def test_a_question_that_is_too_big_is_not_answered(db: None, query: str) -> None:
    answer = ask(query)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"invalid"}
    assert "data" not in answer


def test_a_question_within_the_limits_is_answered(listing: Listing) -> None:
    query = "{ " + " ".join(f"a{n}: listing(id: {listing.pk}) {{ id }}" for n in range(schema.ALIASES)) + " }"
    assert len(ask(query)["data"]) == schema.ALIASES


def test_the_rows_of_a_request_are_limited_altogether(
    listing: Listing, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    query = "query($n: Int!) { a: listings(limit: $n) { next } b: listings(limit: 100) { next } %s }"
    with django_assert_num_queries(2):
        assert "errors" not in ask(query % "", n=100)
    with django_assert_num_queries(2):
        answer = ask(query % "c: listings(limit: 1) { next }", n=100)
    assert refusal(answer) == ("too_costly", {})


def test_so_are_its_changes(listing: Listing, guest: User) -> None:
    changes = schema.COST // schema.CHANGE
    book = 'b%d: book(listing: %d, checkIn: "2030-01-%02d", checkOut: "2030-01-%02d", guests: 1) { id }'
    query = " ".join(book % (n, listing.pk, n, n + 1) for n in range(1, changes + 1))
    answer = ask(f"mutation {{ {query} cancel(id: 1) {{ id }} }}", guest)
    assert refusal(answer) == ("too_costly", {})
    assert Booking.objects.count() == changes


def test_a_page_costs_the_same_queries_however_many_it_has(
    host: User, guest: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        booking_create(guest=guest, **stay(make_listing(host)))
    client = client_of(guest)
    for query, queries in (
        ("{ myBookings { results { id listing { id title place } } } }", 2),  # and who asks
        (f"{{ listings {{ results {{ {FIELDS} }} }} }}", 2),
    ):
        with django_assert_num_queries(queries):
            assert "errors" not in client.post(URL, {"query": query}).json()


def test_a_process_that_nobody_asks_does_not_load_it() -> None:
    code = (
        "import os, sys, tests.settings; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'\n"
        "import config.wsgi; print({'strawberry', 'graphql', 'redis'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
