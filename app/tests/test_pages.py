"""The pages: whole without a script, and as hard to break as the API."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from booking.accounts.models import Role, User
from booking.bookings.models import Booking, Status
from booking.bookings.services import booking_create
from booking.core.errors import ApplicationError
from booking.listings.models import Listing
from booking.pages import calendar, views
from booking.pages.selectors import host_report
from booking.payments.models import Payment, PaymentStatus
from tests.helpers import PASSWORD, day, make_listing, make_user

pytestmark = pytest.mark.django_db

Browser = Callable[..., Client]


@pytest.fixture
def browser() -> Browser:
    """A browser behind the balancer, signed in as somebody if asked."""

    def open_one(user: User | None = None) -> Client:
        client = Client(HTTP_HOST="booking.example", HTTP_X_FORWARDED_PROTO="https", HTTP_ACCEPT="text/html")
        if user:
            client.force_login(user)
        return client

    return open_one


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


def test_a_guest_books_sees_it_and_cancels(browser: Browser, guest: User, listing: Listing) -> None:
    client = browser(guest)
    body = {"check_in": day(2), "check_out": day(4), "guests": 2}
    made = client.post(f"/places/{listing.pk}/", body)
    booking = Booking.objects.get()
    assert made["Location"] == f"/stays/{booking.pk}/"
    again = client.post(f"/places/{listing.pk}/", body)
    assert again["Location"] == f"/stays/{booking.pk}/", "a form sent twice books once"
    page = client.get(f"/stays/{booking.pk}/")
    assert "161.00 EUR" in text(page)
    assert listing.title in text(client.get("/stays/"))
    assert client.post(f"/stays/{booking.pk}/cancel/").status_code == 302
    booking.refresh_from_db()
    assert booking.status == Status.CANCELLED
    after = client.get(f"/stays/{booking.pk}/")
    assert "The booking is cancelled." in text(after)
    assert "Cancel the booking" not in text(after)


def test_a_refused_booking_says_why_and_where(browser: Browser, guest: User, listing: Listing) -> None:
    client, path = browser(guest), f"/places/{listing.pk}/"
    other = make_user("other@example.org")
    booked(other, listing, 2, 5)
    taken = client.post(path, {"check_in": day(2), "check_out": day(4), "guests": 2})
    assert (taken.status_code, "booked these dates" in text(taken)) == (400, True)
    crowd = client.post(path, {"check_in": day(12), "check_out": day(14), "guests": 9})
    assert "This place takes 4." in text(crowd)
    past = client.post(path, {"check_in": day(-2), "check_out": day(4), "guests": 1})
    assert "This date is past." in text(past)
    wrong = client.post(path, {"check_in": "soon", "check_out": "", "guests": "x"})
    assert wrong.status_code == 400
    assert Booking.objects.count() == 1


def test_who_is_not_signed_in_comes_back_to_the_dates(browser: Browser, listing: Listing) -> None:
    body = {"check_in": day(2), "check_out": day(4), "guests": 2}
    answer = browser().post(f"/places/{listing.pk}/", body)
    assert answer["Location"] == f"/places/{listing.pk}/?check_in={day(2)}&check_out={day(4)}&guests=2"
    page = browser().get(answer["Location"])
    (sign_in,) = [link for link in links(page) if link.startswith("/login/?next=")]
    assert f"check_in%3D{day(2)}" in sign_in
    assert Booking.objects.count() == 0


def test_pages_of_guests_are_theirs_alone(browser: Browser, guest: User, listing: Listing) -> None:
    mine = booked(guest, listing, 2, 4)
    stranger = browser(make_user("stranger@example.org"))
    for path in ("", "pay/", "cancel/"):
        ask = stranger.post if path else stranger.get
        assert ask(f"/stays/{mine.pk}/{path}").status_code == 404
        nobody = browser().post if path else browser().get
        assert nobody(f"/stays/{mine.pk}/{path}")["Location"].startswith("/login/?next=")
    mine.refresh_from_db()
    assert mine.status == Status.CONFIRMED
    assert text(stranger.get("/stays/")).count("None yet.") == 1


def test_a_hidden_place_is_its_hosts_alone(
    browser: Browser, guest: User, host: User, listing: Listing
) -> None:
    Listing.objects.filter(pk=listing.pk).update(status="hidden")
    assert browser(guest).get(f"/places/{listing.pk}/").status_code == 404
    assert browser(host).get(f"/places/{listing.pk}/").status_code == 200


@pytest.fixture
def held(guest: User, listing: Listing) -> Booking:
    """A booking that waits for its payment."""
    return booked(
        guest,
        listing,
        2,
        4,
        status=Status.PENDING,
        currency="ETB",
        expires_at=timezone.now() + timedelta(minutes=9),
    )


def test_a_held_stay_is_paid_at_the_provider(
    browser: Browser, guest: User, held: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browser(guest)
    assert "Pay 161.00 ETB" in text(client.get(f"/stays/{held.pk}/"))

    def opened(*, booking: Booking) -> Payment:
        return Payment(booking=booking, checkout_url="https://provider.example/checkout/1")

    monkeypatch.setattr(views, "payment_open", opened)
    assert client.post(f"/stays/{held.pk}/pay/")["Location"] == "https://provider.example/checkout/1"


def test_a_provider_that_is_down_is_told_and_the_stay_waits(
    browser: Browser, guest: User, held: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(**_: object) -> Payment:
        raise ApplicationError(code="provider_unavailable", message="Payments are down.", http_status=503)

    monkeypatch.setattr(views, "payment_open", down)
    monkeypatch.setattr(views, "payment_settle", down)
    client = browser(guest)
    assert client.post(f"/stays/{held.pk}/pay/")["Location"] == f"/stays/{held.pk}/"
    assert "Payments are down." in text(client.get(f"/stays/{held.pk}/"))
    Payment.objects.create(booking=held, reference="r", amount=Decimal(161), currency="ETB")
    back = client.get(f"/stays/{held.pk}/?paid")
    assert back.status_code == 200
    assert "Payments are down." in text(back)


def test_who_comes_back_from_the_provider_sees_what_became_of_it(
    browser: Browser, guest: User, held: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = Payment.objects.create(booking=held, reference="r", amount=Decimal(161), currency="ETB")

    def settle(*, reference: str) -> Payment:
        assert reference == "r"
        Payment.objects.filter(pk=payment.pk).update(status=PaymentStatus.PAID)
        Booking.objects.filter(pk=held.pk).update(status=Status.CONFIRMED)
        return payment

    monkeypatch.setattr(views, "payment_settle", settle)
    page = browser(guest).get(f"/stays/{held.pk}/?paid")
    assert "161.00 ETB: paid" in text(page)
    assert "confirmed" in text(page)


def test_what_cannot_be_cancelled_is_told(
    browser: Browser, guest: User, held: Booking, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> Booking:
        raise ApplicationError(code="stay_over", message="This stay is over.")

    monkeypatch.setattr(views, "booking_cancel", refuse)
    client = browser(guest)
    client.post(f"/stays/{held.pk}/cancel/")
    assert "This stay is over." in text(client.get(f"/stays/{held.pk}/"))


def test_a_hosts_report_counts_each_night_in_its_month_and_ranks_places(
    browser: Browser, guest: User, host: User
) -> None:
    good, poor = make_listing(host, title="Good house"), make_listing(host, title="Poor hut")
    foreign = make_listing(make_user("rival@example.org"), title="Foreign place")

    def stay(listing: Listing, check_in: date, check_out: date, status: str = Status.CONFIRMED) -> None:
        nights = (check_out - check_in).days
        Booking.objects.create(
            listing=listing, guest=guest, check_in=check_in, check_out=check_out, guests=1, status=status,
            price_per_night=Decimal(10), price_total=Decimal(10) * nights, currency="EUR",
        )  # fmt: skip

    stay(good, date(2024, 1, 29), date(2024, 2, 4))  # three nights in January, three in February
    stay(good, date(2024, 2, 10), date(2024, 2, 11), Status.COMPLETED)
    stay(poor, date(2024, 2, 5), date(2024, 2, 6))
    stay(poor, date(2024, 2, 8), date(2024, 2, 9), Status.CANCELLED)
    stay(good, date(2023, 12, 30), date(2024, 1, 2))  # one night of this year
    stay(foreign, date(2024, 2, 1), date(2024, 2, 20))
    rows = host_report(host=host, first=date(2024, 1, 1), last=date(2025, 1, 1))
    found = [
        (row.month.month, row.title, row.nights, int(row.revenue), row.rank, int(row.month_revenue))
        for row in rows
    ]
    assert found == [
        (1, "Good house", 4, 40, 1, 40),
        (2, "Good house", 4, 40, 1, 50),
        (2, "Poor hut", 1, 10, 2, 50),
    ]
    assert round(rows[1].occupancy, 4) == round(Decimal(4) / 29, 4)
    page = text(browser(host).get("/report/?year=2024"))
    assert "14 %" in page
    assert "50.00 EUR" in page
    assert "Foreign place" not in page
    assert "No nights were booked" in text(browser(host).get("/report/?year=2022"))


@pytest.mark.parametrize("year", ["", "x", "-5", "0", "99999", "9" * 400, "1999"])
def test_a_year_that_is_none_is_this_one(browser: Browser, host: User, year: str) -> None:
    answer = browser(host).get(f"/report/?year={year}")
    assert f"Report of {timezone.localdate().year}" in text(answer)


def test_a_report_is_for_hosts(browser: Browser) -> None:
    answer = browser(make_user("visitor@example.org", role=Role.GUEST)).get("/report/")
    assert answer.status_code == 403
    assert "<h1>" in answer.content.decode(), "a person gets a page"


def test_registering_signs_in_and_a_taken_address_is_told(browser: Browser, guest: User) -> None:
    client = browser()
    form = {"name": "Ada", "email": "ada@example.org", "password": PASSWORD, "role": "guest"}
    assert client.post("/register/", form)["Location"] == "/"
    assert "Sign out Ada" in text(client.get("/"))
    taken = browser().post("/register/", form | {"email": guest.email})
    assert (taken.status_code, "Registered already." in text(taken)) == (400, True)
    weak = browser().post("/register/", form | {"email": "new@example.org", "password": "123"})
    assert weak.status_code == 400
    assert browser().post("/register/", form | {"email": "b@example.org", "role": "admin"}).status_code == 400
    assert browser().get("/register/").status_code == 200


def test_signing_in_and_out(browser: Browser, guest: User) -> None:
    client = browser()
    wrong = client.post("/login/", {"username": guest.email, "password": "wrong"})
    assert "Please enter a correct" in text(wrong)
    right = client.post(
        "/login/?next=/stays/", {"username": guest.email, "password": PASSWORD, "next": "/stays/"}
    )
    assert right["Location"] == "/stays/"
    assert client.post("/logout/")["Location"] == "/"
    assert client.get("/stays/")["Location"].startswith("/login/")
    away = browser().post(
        "/login/", {"username": guest.email, "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert away["Location"] == "/"


def test_signing_in_and_registering_too_often_is_refused(
    browser: Browser, guest: User, settings: Settings
) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] | {
        "login_address": "2/hour",
        "registration": "1/hour",
    }
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}
    answers = [browser().post("/login/", {"username": guest.email, "password": "x"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[-1]["Retry-After"]) <= 3600
    form = {"name": "Ada", "email": "not one", "password": PASSWORD, "role": "guest"}
    assert [browser().post("/register/", form).status_code for _ in range(2)] == [400, 429]


def test_staff_sign_in_by_the_one_form_that_has_limits(browser: Browser) -> None:
    answer = browser().get("/admin/login/?next=/admin/")
    assert answer["Location"] == "/login/?next=/admin/"


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


ADMIN_PAGES = (
    "", "accounts/user/", "accounts/user/add/", "accounts/loginevent/", "listings/listing/",
    "bookings/booking/", "payments/payment/", "outbox/message/", "core/dailycount/",
)  # fmt: skip


@pytest.mark.parametrize("page", ADMIN_PAGES)
def test_staff_look_at_everything_and_others_at_nothing(browser: Browser, guest: User, page: str) -> None:
    staff = User.objects.create_superuser(email="staff@example.org", password=PASSWORD, name="Staff")
    assert browser(staff).get(f"/admin/{page}").status_code == 200
    assert browser(guest).get(f"/admin/{page}").status_code == 302


def test_staff_change_users_and_nothing_that_services_write(
    browser: Browser, guest: User, listing: Listing
) -> None:
    staff = User.objects.create_superuser(email="staff@example.org", password=PASSWORD, name="Staff")
    mine = booked(guest, listing, 2, 4)
    page = browser(staff).get(f"/admin/bookings/booking/{mine.pk}/change/")
    assert (page.status_code, 'name="_save"' in page.content.decode()) == (200, False)
    assert browser(staff).get("/admin/bookings/booking/add/").status_code == 403
    assert (
        browser(staff).post(f"/admin/bookings/booking/{mine.pk}/delete/", {"post": "yes"}).status_code == 403
    )
    assert browser(staff).get(f"/admin/accounts/user/{guest.pk}/change/").status_code == 200
