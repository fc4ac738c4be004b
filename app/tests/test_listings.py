"""Listings: create, retrieve, filter, hide, change."""

from decimal import Decimal

import pytest

from booking.accounts.models import Role, User
from booking.bookings.models import Booking, Status
from booking.bookings.services import booking_create
from booking.listings.models import Listing
from booking.listings.services import listing_update
from tests.helpers import client_of, day, make_listing, make_user, stay

URL = "/api/v1/listings/"
BODY = {
    "title": "Flat by the lake",
    "place": "Bahir Dar",
    "price_per_night": "1200.00",
    "currency": "ETB",
    "capacity": 3,
}


def test_a_host_offers_a_place_and_anybody_can_read_it(host: User) -> None:
    answer = client_of(host).post(URL, BODY)
    assert answer.status_code == 201
    offered = answer.json()
    assert offered | BODY == offered
    assert (offered["host"], offered["description"], offered["status"]) == (host.pk, "", "published")
    assert client_of().get(f"{URL}{offered['id']}/").json() == offered


def test_offering_a_place_asks_for_a_token(db: None) -> None:
    assert client_of().post(URL, BODY).status_code == 401
    assert not Listing.objects.exists()


def test_offering_a_place_is_for_hosts_and_admins(db: None) -> None:
    for role, status in ((Role.GUEST, 403), (Role.HOST, 201), (Role.ADMIN, 201)):
        answer = client_of(make_user(f"{role}@example.org", role=role)).post(URL, BODY)
        assert answer.status_code == status
        assert status == 201 or answer.json()["error"]["code"] == "host_only"
    assert Listing.objects.count() == 2


def test_the_host_of_a_listing_is_who_asks_whatever_the_body_says(host: User, guest: User) -> None:
    assert client_of(guest).post(URL, BODY | {"host": host.pk, "id": 7}).json()["host"] == guest.pk
    assert Listing.objects.get().pk != 7


@pytest.mark.parametrize("number", ["1", "9223372036854775808", "9" * 40])
def test_a_listing_that_is_not_there_is_404(db: None, number: str) -> None:
    answer = client_of().get(f"{URL}{number}/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("", ["c", "b", "a"]),
        ("place=gondar", ["b", "a"]),
        ("price_min=50", ["c", "b"]),
        ("price_max=50", ["b", "a"]),
        ("price_min=50&price_max=50", ["b"]),
        ("guests=3", ["c", "b"]),
        ("currency=usd", ["c"]),
        ("place=gondar&guests=3", ["b"]),
        ("place=nowhere", []),
        ("place=GONDAR", ["b", "a"]),
        ("search=gondar", ["b", "a"]),
        ("search=quiet", ["a"]),
        ("search=Gondar+quiet", ["a"]),
        ("search=mekelle+quiet", []),
        ("search=%21%21", []),
        ("ordering=newest", ["c", "b", "a"]),
        ("ordering=price", ["a", "b", "c"]),
        ("ordering=-price", ["c", "b", "a"]),
        ("ordering=capacity", ["a", "b", "c"]),
        ("ordering=price&guests=3", ["b", "c"]),
        ("mine=false", ["c", "b", "a"]),
        ("unheard=of", ["c", "b", "a"]),
        ("guests=99999999999999999999", []),
    ],
)
def test_filters(host: User, query: str, titles: list[str]) -> None:
    make_listing(
        host, title="a", place="Gondar", price_per_night=Decimal(20), capacity=1, description="Quiet."
    )
    make_listing(host, title="b", place="Gondar", price_per_night=Decimal(50), capacity=3)
    make_listing(host, title="c", place="Mekelle", price_per_night=Decimal(90), capacity=6, currency="USD")
    answer = client_of().get(f"{URL}?{query}")
    assert [listing["title"] for listing in answer.json()["results"]] == titles


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("price_min=cheap", "price_min"),
        ("price_min=1e9999", "price_min"),
        ("price_max=NaN", "price_max"),
        ("price_max=1.001", "price_max"),
        ("price_max=100000000000", "price_max"),
        ("guests=many", "guests"),
        ("guests=1.5", "guests"),
        ("guests=Infinity", "guests"),
        ("guests=0", "guests"),
        ("guests=-1e99999999", "guests"),
        ("guests=1e99999999", "guests"),
        ("price_min=-1e99999999", "price_min"),
        ("place=%00", "place"),
        (f"place={'x' * 121}", "place"),
        ("search=%00", "search"),
        (f"search={'x' * 121}", "search"),
        ("currency=ZZZ", "currency"),
        ("currency=EUR%00", "currency"),
        ("mine=perhaps", "mine"),
        ("ordering=host", "ordering"),
        ("check_in=2030-01-01", "check_out"),
        ("check_out=2030-01-01", "check_in"),
        ("check_in=2030-01-02&check_out=2030-01-02", "check_out"),
        ("check_in=2030-01-02&check_out=2030-01-01", "check_out"),
        ("check_in=2030-02-30&check_out=2030-03-01", "check_in"),
        ("check_in=2030-02-01&check_out=soon", "check_out"),
    ],
)
def test_a_filter_that_makes_no_sense_is_400_and_names_itself(db: None, query: str, field: str) -> None:
    answer = client_of().get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert list(answer.json()["error"]["fields"]) == [field]


@pytest.mark.parametrize(
    ("check_in", "check_out", "free"),
    [(1, 3, False), (2, 3, False), (4, 9, False), (1, 2, True), (5, 6, True), (2, 5, False), (3, 4, False)],
)
def test_dates_are_free_where_no_night_is_taken(
    listing: Listing, guest: User, check_in: int, check_out: int, free: bool
) -> None:
    booking_create(guest=guest, **stay(listing, 2, 5))
    answer = client_of().get(URL, {"check_in": str(day(check_in)), "check_out": str(day(check_out))})
    assert [found["id"] for found in answer.json()["results"]] == ([listing.pk] if free else [])


@pytest.mark.parametrize("status", Status.values)
def test_only_a_stay_that_holds_its_dates_takes_them(listing: Listing, guest: User, status: str) -> None:
    booking = booking_create(guest=guest, **stay(listing, 2, 5))
    Booking.objects.filter(pk=booking.pk).update(status=status, expires_at=booking.created_at)
    dates = {"check_in": str(day(2)), "check_out": str(day(3))}
    taken = status in ("pending", "confirmed")
    assert bool(client_of().get(URL, dates).json()["results"]) != taken
    span = {"from": str(day(1)), "to": str(day(9))}
    calendar = client_of().get(f"{URL}{listing.pk}/availability/", span).json()["taken"]
    assert bool(calendar) == taken


def test_the_calendar_has_the_stays_that_hold_a_night_of_the_span(listing: Listing, guest: User) -> None:
    for first, last in ((10, 12), (1, 3), (3, 5), (20, 22)):
        booking_create(guest=guest, **stay(listing, first, last))
    booking_create(guest=guest, **stay(make_listing(listing.host), 3, 9))
    span = {"from": str(day(3)), "to": str(day(20))}
    taken = client_of().get(f"{URL}{listing.pk}/availability/", span).json()["taken"]
    assert taken == [
        {"check_in": str(day(first)), "check_out": str(day(last))} for first, last in ((3, 5), (10, 12))
    ]


@pytest.mark.parametrize(
    ("span", "fields"),
    [
        ({}, {"from", "to"}),
        ({"from": "2030-01-01"}, {"to"}),
        ({"from": "2030-01-01", "to": "2030-01-01"}, {"to"}),
        ({"from": "2030-01-02", "to": "2030-01-01"}, {"to"}),
        ({"from": "2030-01-01", "to": "2031-01-03"}, {"to"}),
        ({"from": "0000-01-01", "to": "2030-01-01"}, {"from"}),
        ({"from": "2030-01-01", "to": "\x00"}, {"to"}),
    ],
    ids=str,
)
def test_a_span_that_makes_no_sense_is_400(listing: Listing, span: dict[str, str], fields: set[str]) -> None:
    answer = client_of().get(f"{URL}{listing.pk}/availability/", span)
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (400, fields)


def test_a_year_and_a_day_is_the_longest_span(listing: Listing) -> None:
    span = {"from": "2030-01-01", "to": "2031-01-02"}
    assert client_of().get(f"{URL}{listing.pk}/availability/", span).json() == {"taken": []}


# --- Hidden ones ----------------------------------------------------------------------------------------
def test_a_hidden_listing_is_seen_by_its_host_and_admins_alone(
    host: User, guest: User, listing: Listing
) -> None:
    assert client_of().get(f"{URL}{listing.pk}/").status_code == 200
    assert client_of(host).patch(f"{URL}{listing.pk}/", {"status": "hidden"}).json()["status"] == "hidden"
    admin = make_user("admin@example.org", role=Role.ADMIN)
    span = f"{URL}{listing.pk}/availability/?from=2030-01-01&to=2030-01-02"
    for user, status in ((None, 404), (guest, 404), (host, 200), (admin, 200)):
        for path in (f"{URL}{listing.pk}/", span):
            assert client_of(user).get(path).status_code == status
        assert client_of(user).get(URL).json()["results"] == []
    assert [found["id"] for found in client_of(host).get(f"{URL}?mine=true").json()["results"]] == [
        listing.pk
    ]
    assert client_of(guest).patch(f"{URL}{listing.pk}/", {"title": "x"}).status_code == 404


def test_a_hidden_listing_cannot_be_booked_and_what_is_booked_stays(listing: Listing, guest: User) -> None:
    booked = booking_create(guest=guest, **stay(listing, 1, 3))
    listing_update(listing=listing, status="hidden")
    answer = client_of(guest).post("/api/v1/bookings/", stay(listing, 5, 7))
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["listing"])
    booked.refresh_from_db()
    assert booked.status == Status.CONFIRMED
    listing_update(listing=listing, status="published")
    assert client_of(guest).post("/api/v1/bookings/", stay(listing, 5, 7)).status_code == 201


def test_mine_are_the_hosts_own_hidden_or_not_and_asks_for_a_token(host: User, guest: User) -> None:
    mine = [make_listing(host, status=status, place="Gondar").pk for status in ("published", "hidden")]
    make_listing(guest, place="Gondar")
    make_listing(host, place="Harar")
    answer = client_of(host).get(f"{URL}?mine=true&place=gondar").json()
    assert [found["id"] for found in answer["results"]] == mine[::-1]
    assert client_of().get(f"{URL}?mine=true").status_code == 401


# --- Changes --------------------------------------------------------------------------------------------
def test_a_host_changes_what_is_given_and_nothing_else(host: User, listing: Listing) -> None:
    before = client_of().get(f"{URL}{listing.pk}/").json()
    change = {"price_per_night": "99.90", "capacity": 2}
    answer = client_of(host).patch(f"{URL}{listing.pk}/", change | {"host": 7, "id": 9, "created_at": "x"})
    assert (answer.status_code, answer.json()) == (200, before | change)
    assert client_of().get(f"{URL}{listing.pk}/").json() == before | change
    assert client_of(host).patch(f"{URL}{listing.pk}/", {}).json() == before | change


def test_a_listing_is_changed_by_its_host_and_admins_alone(host: User, guest: User, listing: Listing) -> None:
    admin = make_user("admin@example.org", role=Role.ADMIN)
    nobody = make_user("nobody@example.org", role=Role.GUEST)
    for user, status, code in (
        (None, 401, "not_authenticated"),
        (guest, 403, "not_yours"),
        (nobody, 403, "host_only"),
    ):
        answer = client_of(user).patch(f"{URL}{listing.pk}/", {"title": "Taken over"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    listing.refresh_from_db()
    assert listing.title == "A room with a view"
    assert client_of(admin).patch(f"{URL}{listing.pk}/", {"title": "Seen to"}).status_code == 200
    assert client_of(host).patch(f"{URL}999999/", {"title": "x"}).status_code == 404


def test_a_change_that_is_wrong_changes_nothing(host: User, listing: Listing) -> None:
    answer = client_of(host).patch(f"{URL}{listing.pk}/", {"title": "Half of it", "capacity": 0})
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["capacity"])
    listing.refresh_from_db()
    assert listing.title == "A room with a view"


def test_two_changes_of_different_fields_at_once_are_both_kept(listing: Listing) -> None:
    seen_by_both = Listing.objects.get(pk=listing.pk)
    listing_update(listing=listing, title="The first")
    listing_update(listing=seen_by_both, place="The second")
    listing.refresh_from_db()
    assert (listing.title, listing.place) == ("The first", "The second")


def test_a_listing_is_known_by_its_title(listing: Listing) -> None:
    assert str(listing) == "A room with a view"
