"""Refunds: each made once, whatever becomes of the question and its answer."""

import json
from typing import Any

import pytest

from booking.bookings.models import Booking, Status
from booking.outbox.models import Message
from booking.payments import chapa as api
from booking.payments import services
from booking.payments.models import Payment, PaymentStatus
from booking.payments.services import payments_settle
from tests.chapa import Chapa
from tests.helpers import client_of
from tests.paying import (
    URL,
    age,
    opened,
    states,
    trail,
    work,
    work_again,
)


def test_a_refund_waits_for_the_provider_and_is_made_once(cancelled: Booking, chapa: Chapa) -> None:
    assert states(cancelled) == ("cancelled", ["refund_due"])
    assert [work(), work_again()] == [["waiting"], ["waiting"]]
    chapa.control("up")
    assert [work_again(), work_again()] == [["done"], ["done"]]
    assert states(cancelled) == ("cancelled", ["refunded"])
    (call,) = [call for call in chapa.calls("refund") if call["status"] == 200]
    reference = Payment.objects.get().reference
    assert json.loads(call["body"]) == {
        "amount": "161.00",
        "reason": "cancelled",
        "reference": f"refund-{reference}",
    }
    assert trail("payment") == ["open", "paid", "refund_due", "refunded"]


def test_a_refund_whose_answer_was_lost_is_not_made_twice(cancelled: Booking, chapa: Chapa) -> None:
    chapa.control("up")
    chapa.fail("refund", "lost")
    assert [work(), work_again()] == [["waiting"], ["done"]]
    assert states(cancelled) == ("cancelled", ["refunded"])
    assert len(chapa.calls("refund")) == 1


def test_a_refund_that_the_provider_has_but_does_not_show_yet_is_known_by_its_reference(
    cancelled: Booking, chapa: Chapa, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapa.control("up")
    ask = api.ask

    def already(method: str, path: str, body: Any = None) -> dict[str, Any]:
        if method == "POST":
            raise api.Refused({"reference": ["validation.unique"]})
        return ask(method, path, body)

    monkeypatch.setattr(api, "ask", already)
    assert work() == ["done"]
    assert states(cancelled) == ("cancelled", ["refunded"])


def test_a_refund_that_is_refused_waits(cancelled: Booking, chapa: Chapa) -> None:
    chapa.control("reset")  # the provider has forgotten the payment
    assert work() == ["waiting"]
    assert states(cancelled) == ("cancelled", ["refund_due"])
    assert "Refused" in Message.objects.get(kind="payment.refund").error


def test_a_refund_that_two_workers_make_is_noted_once(cancelled: Booking, chapa: Chapa) -> None:
    chapa.control("up")
    message = Message.objects.get(kind="payment.refund")
    refund = api.refund

    def and_the_other(payment: Payment) -> None:
        refund(payment)
        if Payment.objects.get().status == PaymentStatus.REFUND_DUE and not Message.objects.filter(error="x"):
            Message.objects.filter(pk=message.pk).update(error="x")
            services.refund(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "refund", and_the_other)
        services.refund(message)
    services.refund(message)
    assert trail("payment") == ["open", "paid", "refund_due", "refunded"]


def test_a_booking_that_was_never_paid_makes_no_refund_due(held: Booking) -> None:
    opened(held)
    client_of(held.guest).post(f"{URL}{held.pk}/cancel/")
    assert states(held) == ("cancelled", ["open"])
    assert work() == []


def test_a_refund_that_is_due_and_in_no_outbox_is_posted_again(cancelled: Booking) -> None:
    Message.objects.all().delete()
    age(minutes=2)
    assert [payments_settle(), payments_settle()] == [(0, 1), (0, 0)]
    assert Message.objects.get().payload == {"reference": Payment.objects.get().reference}
    assert Booking.objects.get().status == Status.CANCELLED
