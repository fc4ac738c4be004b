"""Staff look at everything, and write what no service does."""

import pytest

from booking.accounts.models import User
from booking.listings.models import Listing
from tests.browsing import Browser, booked
from tests.helpers import PASSWORD

pytestmark = pytest.mark.django_db


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
