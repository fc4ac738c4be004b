"""The pages of places, and what holds for all pages: whole without a script, as hard to break as the API."""

from datetime import date, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from booking.accounts.models import User
from booking.bookings.models import Booking, Status
from booking.listings.models import Listing
from booking.pages import calendar, views
from tests.browsing import Browser, booked, links, text
from tests.helpers import day, make_listing

pytestmark = pytest.mark.django_db


def test_places_are_shown_newest_first_and_page_by_page(browser: Browser, host: User) -> None:
    for number in range(views.PLACES_A_PAGE + 2):
        make_listing(host, title=f"House {number:02}")
    first = browser().get("/")
    assert "House 25" in text(first)
    assert "House 01" not in text(first)
    (more,) = [link for link in links(first) if "before=" in link]
    second = browser().get(f"/{more}")
    assert "House 01" in text(second)
    assert "House 02" not in text(second)
    assert not [link for link in links(second) if "before=" in link]


def test_a_search_shows_what_is_asked_for_and_keeps_the_dates(
    browser: Browser, guest: User, host: User
) -> None:
    busy, free = make_listing(host, title="Busy house"), make_listing(host, title="Free house")
    make_listing(host, title="Small hut", capacity=1)
    booked(guest, busy, 3, 6)
    query = f"check_in={day(4)}&check_out={day(5)}&guests=2&place=gondar"
    answer = browser().get(f"/?{query}")
    assert "Free house" in text(answer)
    assert "Busy house" not in text(answer)
    assert "Small hut" not in text(answer)
    (link,) = [link for link in links(answer) if link.startswith(f"/places/{free.pk}/")]
    assert f"check_in={day(4)}" in link


@pytest.mark.parametrize(
    "query",
    [
        "check_in=2030-01-01",
        "check_in=2030-01-02&check_out=2030-01-01",
        "check_in=yesterday",
        "guests=0",
        "guests=many",
        "price_max=-1",
        f"search={'x' * 200}",
    ],
)
def test_a_search_that_makes_no_sense_is_told_so_at_its_field(browser: Browser, query: str) -> None:
    answer = browser().get(f"/?{query}")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()


@pytest.mark.parametrize("before", ["x", "-1", "9" * 30, "1.5", "%00"])
def test_a_page_that_is_none_is_the_first(browser: Browser, listing: Listing, before: str) -> None:
    assert listing.title in text(browser().get(f"/?before={before}"))


def test_a_calendar_leads_from_a_check_in_to_a_check_out_and_past_no_booking(
    browser: Browser, guest: User, listing: Listing
) -> None:
    start = (timezone.localdate() + timedelta(days=40)).replace(day=1)
    check_in, taken = start + timedelta(days=4), start + timedelta(days=9)
    Booking.objects.create(
        listing=listing, guest=guest, check_in=taken, check_out=taken + timedelta(days=2), guests=1,
        status=Status.CONFIRMED, price_per_night=1, price_total=2, currency="EUR",
    )  # fmt: skip
    path = f"/places/{listing.pk}/"
    first = links(browser().get(f"{path}?month={start}"))
    assert any(link.endswith(f"check_in={check_in}#calendar") for link in first)
    assert not any(f"check_in={taken}" in link for link in first)
    second = links(browser().get(f"{path}?month={start}&check_in={check_in}"))
    ends = {link for link in second if f"check_in={check_in}&check_out=" in link}
    assert any(f"check_out={taken}#" in link for link in ends), "one may leave on the day that another comes"
    assert not any(f"check_out={taken + timedelta(days=1)}" in link for link in ends)
    whole = browser().get(f"{path}?check_in={check_in}&check_out={taken}")
    assert f'value="{taken}"' in whole.content.decode()


@pytest.mark.parametrize("month", ["", "x", "0001-01-01", "9999-12-31", "2020-02-30", "1999-01-01"])
def test_a_calendar_stays_between_today_and_what_can_be_booked(
    browser: Browser, listing: Listing, month: str
) -> None:
    answer = browser().get(f"/places/{listing.pk}/?month={month}&check_in={month}")
    assert answer.status_code == 200


def test_a_months_table_has_whole_weeks_and_its_own_days_alone_count() -> None:
    (month,) = calendar.months(first=date(2030, 2, 17), count=1, today=date(2030, 2, 10), taken=[])
    assert month.first == date(2030, 2, 1)
    assert {len(week) for week in month.weeks} == {7}
    days = [each for week in month.weeks for each in week if each.in_month]
    assert [each.date.day for each in days] == list(range(1, 29))
    assert [each.date.day for each in days if each.pick] == list(range(10, 29))


def test_a_hidden_place_is_its_hosts_alone(
    browser: Browser, guest: User, host: User, listing: Listing
) -> None:
    Listing.objects.filter(pk=listing.pk).update(status="hidden")
    assert browser(guest).get(f"/places/{listing.pk}/").status_code == 404
    assert browser(host).get(f"/places/{listing.pk}/").status_code == 200


def test_what_is_not_there_is_told_as_a_page_to_people_and_as_json_to_programs(browser: Browser) -> None:
    page = browser().get("/places/999999/")
    assert (page.status_code, "<h1>" in page.content.decode()) == (404, True)
    program = browser().get("/nowhere", HTTP_ACCEPT="*/*")
    assert program.json()["error"]["code"] == "not_found"


def test_what_people_wrote_is_text_and_never_markup(browser: Browser, host: User) -> None:
    evil = make_listing(host, title="<script>alert(1)</script>", description='"><img src=x onerror=alert(1)>')
    page = browser().get(f"/places/{evil.pk}/").content.decode()
    assert "<script" not in page
    assert "<img" not in page


def test_forms_need_their_token(guest: User, listing: Listing) -> None:
    client = Client(enforce_csrf_checks=True, HTTP_HOST="booking.example", HTTP_X_FORWARDED_PROTO="https")
    client.force_login(guest)
    answer = client.post(f"/places/{listing.pk}/", {"check_in": day(2), "check_out": day(3), "guests": 1})
    assert answer.status_code == 403
    assert Booking.objects.count() == 0
