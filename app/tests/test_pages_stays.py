"""A guest's pages: a stay is booked, paid for and given up."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from booking.accounts.models import User
from booking.bookings.models import Booking, Status
from booking.core.errors import ApplicationError
from booking.listings.models import Listing
from booking.pages import views
from booking.payments.models import Payment, PaymentStatus
from tests.browsing import Browser, booked, links, text
from tests.helpers import day, make_user

pytestmark = pytest.mark.django_db


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
