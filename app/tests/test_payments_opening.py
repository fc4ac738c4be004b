"""Opening a payment: the provider's checkout, of one sum, once, whatever the provider and the network do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from booking.accounts.models import User
from booking.bookings.models import Booking
from booking.core.breaker import Unavailable
from booking.core.errors import ApplicationError
from booking.listings.models import Listing
from booking.payments import chapa as api
from booking.payments import services
from booking.payments.models import Payment
from tests.chapa import SECRET_KEY, Chapa
from tests.helpers import at_once, client_of, make_user, stay
from tests.paying import (
    URL,
    WEBHOOK,
    committed,
    opened,
    pay,
    states,
    tell,
    work,
)
from tests.test_bad_input import assert_refused


def test_the_guest_is_led_to_a_checkout_of_the_right_sum(held: Booking, chapa: Chapa) -> None:
    answer = pay(held)
    payment = Payment.objects.get()
    assert answer.status_code == 200
    assert answer.json() == {
        "checkout_url": payment.checkout_url,
        "payment": {
            "reference": payment.reference,
            "status": "open",
            "amount": "161.00",
            "currency": "ETB",
            "created_at": answer.json()["payment"]["created_at"],
        },
    }
    assert payment.checkout_url.startswith(f"{chapa.url}/checkout/payment/")
    (call,) = chapa.calls("initialize")
    assert json.loads(call["body"]) == {
        "amount": "161.00",
        "currency": "ETB",
        "email": held.guest.email,
        "first_name": held.guest.name,
        "tx_ref": payment.reference,
        "callback_url": f"https://booking.example{WEBHOOK}",
        "return_url": f"https://booking.example/stays/{held.pk}/?paid",
    }
    assert str(payment) == payment.reference
    detail = client_of(held.guest).get(f"{URL}{held.pk}/").json()
    assert detail["payment"] == answer.json()["payment"]


def test_asked_again_it_is_the_same_checkout(held: Booking, chapa: Chapa) -> None:
    assert pay(held).json() == pay(held).json()
    assert len(chapa.calls("initialize")) == 1


@committed
def test_of_five_who_ask_at_once_one_opens_and_no_other_does(held: Booking, chapa: Chapa) -> None:
    answers = at_once(5, lambda _: pay(held))
    given = {answer.json()["checkout_url"] for answer in answers if answer.status_code == 200}
    assert given == {Payment.objects.get().checkout_url}
    for answer in answers:
        if answer.status_code != 200:
            assert_refused(answer, 409, "payment_opening")
            assert answer.headers["Retry-After"] == "1"
    assert len(chapa.calls("initialize")) == 1


def test_whoever_died_while_opening_is_replaced_after_a_while(held: Booking, chapa: Chapa) -> None:
    opened(held)
    Payment.objects.update(checkout_url="")
    assert_refused(pay(held), 409, "payment_opening")
    Payment.objects.update(created_at=timezone.now() - services.OPENING)
    assert pay(held).status_code == 200
    assert states(held) == ("pending", ["failed", "open"])
    assert len(chapa.transactions()) == 2


def test_what_does_not_wait_for_a_payment_cannot_be_paid(
    held: Booking, chapa: Chapa, listing: Listing
) -> None:
    client = client_of(held.guest)
    confirmed = client.post(URL, stay(listing)).json()["id"]
    assert_refused(client.post(f"{URL}{confirmed}/pay/"), 409, "not_payable")
    Booking.objects.filter(pk=held.pk).update(expires_at=timezone.now())
    assert_refused(pay(held), 409, "not_payable")
    client.post(f"{URL}{held.pk}/cancel/")
    assert_refused(pay(held), 409, "not_payable")
    assert chapa.calls("initialize") == []
    assert not Payment.objects.exists()


def test_anothers_booking_cannot_be_paid(held: Booking, chapa: Chapa) -> None:
    stranger = client_of(make_user("stranger@example.org"))
    assert_refused(stranger.post(f"{URL}{held.pk}/pay/"), 404, "not_found")
    assert_refused(stranger.post(f"{URL}{10**30}/pay/"), 404, "not_found")
    assert_refused(client_of().post(f"{URL}{held.pk}/pay/"), 401, "not_authenticated")
    assert chapa.calls("initialize") == []


@pytest.mark.parametrize("kind", ["500", "drop", "hang", "lost"])
def test_without_the_provider_the_booking_stays_pending_and_can_be_paid_later(
    held: Booking, chapa: Chapa, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(api, "READ_SECONDS", 0.3)
    chapa.fail("initialize", kind)
    answer = pay(held)
    assert_refused(answer, 503, "provider_unavailable")
    assert answer.headers["Retry-After"] == "10"
    assert states(held) == ("pending", ["failed"])
    api.CHAPA.failure = None  # its time is over
    assert pay(held).status_code == 200
    assert states(held) == ("pending", ["failed", "open"])
    assert len(chapa.calls("initialize")) == 2, "a call that may have been heard is not made again"


def test_a_provider_that_cannot_be_reached_is_tried_twice_and_then_left_alone_for_a_while(
    held: Booking, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CHAPA_URL = "http://127.0.0.1:1/v1"
    tries: list[str] = []
    request = httpx.Client.request

    def counted(self: httpx.Client, *args: Any, **options: Any) -> httpx.Response:
        assert (self.timeout.connect, self.timeout.read) == (2, 5)
        tries.append(args[0])
        return request(self, *args, **options)

    monkeypatch.setattr(httpx.Client, "request", counted)
    for _ in range(3):
        assert_refused(pay(held), 503, "provider_unavailable")
    assert tries == ["POST", "POST"]


def test_a_key_that_the_provider_does_not_take_is_as_if_it_were_away(
    held: Booking, settings: Settings
) -> None:
    settings.CHAPA_SECRET_KEY = "another"
    assert_refused(pay(held), 503, "provider_unavailable")


def test_what_the_provider_refuses_is_refused(held: Booking) -> None:
    User.objects.filter(pk=held.guest_id).update(email="ada@localhost")
    assert_refused(pay(held), 409, "payment_refused")
    assert states(held) == ("pending", ["failed"])


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[]",
        b'{"message": "Hosted Link"}',
        b'{"message": "Hosted Link", "data": null}',
        b'{"message": "Hosted Link", "data": {"checkout_url": "javascript:alert(1)"}}',
        b'{"message": "m", "data": {"status": null, "amount": 1, "currency": "ETB", "reference": ""}}',
        b'{"message": "m", "data": {"status": "success", "amount": "x", "currency": "ETB", "reference": ""}}',
    ],
)
def test_an_answer_that_makes_no_sense_is_none(
    held: Booking, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    payment = Payment(booking=held, reference="r", amount=1, currency="ETB")
    monkeypatch.setattr(httpx.Client, "request", lambda *_, **__: httpx.Response(200, content=answer))
    for ask in (lambda: api.initialize(payment), lambda: api.verify("r")):
        with pytest.raises(ApplicationError) as refused:
            ask()
        assert refused.value.code == "provider_unavailable"


def test_a_question_that_was_cut_off_is_asked_again(held: Booking, chapa: Chapa) -> None:
    payment = opened(held)
    chapa.fail("verify", "lost")
    assert api.verify(payment.reference).state == "pending"
    assert len(chapa.calls("verify")) == 2


@committed
def test_no_transaction_is_open_while_the_provider_is_asked(
    held: Booking, chapa: Chapa, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, asked = httpx.Client.request, list[bool]()

    def watched(*args: Any, **options: Any) -> httpx.Response:
        asked.append(connection.in_atomic_block)
        return request(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(httpx.Client, "request", watched)
        assert pay(held).status_code == 200
        before = len(asked)
        payment = Payment.objects.get()
        assert tell(payment.reference).json() == {"payment": "open"}
    chapa.press(payment.checkout_url)
    tell(payment.reference)
    client_of(held.guest).post(f"{URL}{held.pk}/cancel/")
    with monkeypatch.context() as patch:
        patch.setattr(httpx.Client, "request", watched)
        assert work() == ["done"]
    assert len(asked) > before > 0
    assert not any(asked)


@pytest.fixture
def behind_tls(authority: Path, settings: Settings) -> Iterator[None]:
    """A provider whose certificate no system's authority has signed."""
    chapa = Chapa(authority, authority.with_name("key.pem"))
    settings.CHAPA_URL, settings.CHAPA_SECRET_KEY = f"{chapa.url}/v1", SECRET_KEY
    yield
    chapa.stop()


@pytest.mark.usefixtures("behind_tls")
def test_a_provider_is_trusted_by_the_configured_authority_and_not_without(
    authority: Path, settings: Settings
) -> None:
    with pytest.raises(ApplicationError) as refused:
        api.verify("r")
    away = refused.value.__cause__
    assert isinstance(away, Unavailable)
    assert "CERTIFICATE_VERIFY_FAILED" in str(away.__cause__)
    api.CHAPA.failure = None
    settings.OUTGOING_CA = str(authority)
    assert api.verify("r").state == "pending"
