"""What may come of a payment: paid, failed, too late, twice, of another sum; what the clock asks after."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from booking.bookings.models import Booking
from booking.bookings.services import holds_expire
from booking.payments import services
from booking.payments.models import MOVES, Payment, PaymentStatus
from booking.payments.services import payment_settle, payments_settle
from tests.chapa import SECRET_KEY, Chapa
from tests.helpers import client_of
from tests.paying import URL, age, opened, states, tell, trail, work


def test_who_does_not_pay_may_pay_again(held: Booking, chapa: Chapa) -> None:
    first = opened(held)
    chapa.press(first.checkout_url, "failed")
    assert tell(first.reference).json() == {"payment": "failed"}
    assert tell(first.reference).json() == {"payment": "failed"}
    assert states(held) == ("pending", ["failed"])
    second = opened(held)
    assert second.checkout_url != first.checkout_url
    chapa.press(second.checkout_url)
    tell(second.reference)
    assert states(held) == ("confirmed", ["failed", "paid"])
    assert trail("payment") == ["open", "failed", "open", "paid"]


@pytest.mark.parametrize("wrong", [{"amount": Decimal("161.01")}, {"currency": "USD"}], ids=str)
def test_a_wrong_sum_or_currency_confirms_nothing_and_raises_the_alarm(
    held: Booking, chapa: Chapa, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any]
) -> None:
    payment = opened(held)
    Payment.objects.update(**wrong)
    chapa.press(payment.checkout_url)
    for _ in range(2):
        assert tell(payment.reference).json() == {"payment": "failed"}
    assert states(held) == ("pending", ["failed"])
    assert "ALARM" in caplog.text


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_is_paid_too_late_is_given_back(held: Booking, chapa: Chapa, end: str) -> None:
    payment = opened(held)
    if end == "expired":
        Booking.objects.update(expires_at=timezone.now())
        holds_expire()
    else:
        client_of(held.guest).post(f"{URL}{held.pk}/cancel/")
    assert states(held) == (end, ["open"])
    chapa.press(payment.checkout_url)
    assert tell(payment.reference).json() == {"payment": "refund_due"}
    assert work() == ["done"]
    assert states(held) == (end, ["refunded"])
    assert trail("payment") == ["open", "refund_due", "refunded"]
    assert chapa.transactions()[payment.reference]["status"] == "refunded"


def test_a_hold_whose_time_is_over_but_whose_dates_nobody_took_is_confirmed_by_its_payment(
    held: Booking, chapa: Chapa
) -> None:
    payment = opened(held)
    Booking.objects.update(expires_at=timezone.now())
    chapa.press(payment.checkout_url)
    tell(payment.reference)
    assert states(held) == ("confirmed", ["paid"])


def test_an_earlier_payment_that_succeeds_after_all_confirms_and_a_later_one_is_given_back(
    held: Booking, chapa: Chapa
) -> None:
    first = opened(held)
    Payment.objects.update(checkout_url="", created_at=timezone.now() - services.OPENING)
    second = opened(held)
    for payment in (first, second):
        chapa.press(payment.checkout_url)
    assert tell(first.reference).json() == {"payment": "paid"}
    assert states(held) == ("confirmed", ["paid", "failed"])
    assert tell(second.reference).json() == {"payment": "refund_due"}
    assert work() == ["done"]
    assert states(held) == ("confirmed", ["paid", "refunded"])
    assert chapa.transactions()[first.reference]["status"] == "success"


def test_what_was_given_back_at_the_provider_before_we_heard_of_it_confirms_nothing(
    held: Booking, chapa: Chapa
) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    assert chapa.http.post(f"/v1/refund/{payment.reference}", headers=headers).status_code == 200
    tell(payment.reference)
    assert work() == ["done"]
    assert states(held) == ("pending", ["refunded"])


@pytest.mark.parametrize("before", PaymentStatus.values)
@pytest.mark.parametrize("after", PaymentStatus)
def test_the_table_of_moves_is_all_there_is(held: Booking, before: str, after: PaymentStatus) -> None:
    payment = Payment.objects.create(booking=held, reference="r", amount=1, currency="ETB", status=before)
    if after in MOVES[before]:
        services._move(payment, after)
    else:
        with pytest.raises(ValueError, match="cannot become"):
            services._move(payment, after)
    payment.refresh_from_db()
    assert payment.status == (after if after in MOVES[before] else before)


def settle(capsys: pytest.CaptureFixture[str]) -> str:
    """What the command prints."""
    call_command("settle_payments")
    return capsys.readouterr().out.strip()


def test_a_payment_that_nobody_told_of_is_asked_after_when_a_minute_is_over(
    held: Booking, chapa: Chapa, capsys: pytest.CaptureFixture[str]
) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    assert settle(capsys) == "payments asked after: 0; refunds posted anew: 0"
    age(minutes=2)
    assert settle(capsys) == "payments asked after: 1; refunds posted anew: 0"
    assert states(held) == ("confirmed", ["paid"])
    assert settle(capsys) == "payments asked after: 0; refunds posted anew: 0"


def test_one_that_is_still_open_is_asked_after_again_a_minute_later(held: Booking, chapa: Chapa) -> None:
    opened(held)
    age(minutes=2)
    assert [payments_settle(), payments_settle()] == [(1, 0), (0, 0)]
    assert states(held) == ("pending", ["open"])


def test_the_clock_finds_the_provider_away_and_ends_well(
    held: Booking, chapa: Chapa, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(held)
    age(minutes=2)
    chapa.control("down")
    assert settle(capsys) == "payments wait: The payment provider does not answer; try again."
    assert states(held) == ("pending", ["open"])


def test_a_checkout_whose_booking_has_ended_is_forgotten_after_a_day_and_not_before(
    held: Booking, chapa: Chapa
) -> None:
    payment = opened(held)
    age(days=2)
    payments_settle()
    assert states(held) == ("pending", ["open"]), "a booking that waits is waited for"
    client_of(held.guest).post(f"{URL}{held.pk}/cancel/")
    age(hours=23)
    payments_settle()
    assert states(held) == ("cancelled", ["open"])
    age(hours=25)
    payments_settle()
    assert states(held) == ("cancelled", ["failed"])
    chapa.press(payment.checkout_url)
    assert payment_settle(reference=payment.reference).status == "refund_due", "the money counts"
