"""A host's report: its nights, its months, its places."""

from datetime import date
from decimal import Decimal

import pytest
from django.utils import timezone

from booking.accounts.models import Role, User
from booking.bookings.models import Booking, Status
from booking.listings.models import Listing
from booking.pages.selectors import host_report
from tests.browsing import Browser, text
from tests.helpers import make_listing, make_user

pytestmark = pytest.mark.django_db


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
