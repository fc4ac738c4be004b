"""Being told of a payment: webhooks and callbacks, none believed before the provider was asked."""

import time
from typing import Any

import pytest
from pytest_django import Settings

from booking.bookings.models import Booking
from booking.payments import chapa as api
from booking.payments.services import payment_settle
from tests.chapa import Chapa, event, signature
from tests.helpers import at_once, client_of
from tests.paying import URL, WEBHOOK, committed, opened, pay, states, tell, tell_raw, trail, work
from tests.test_bad_input import assert_refused


def test_a_payment_that_the_provider_confirms_confirms_the_booking_once(held: Booking, chapa: Chapa) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    for _ in range(3):
        answer = tell(payment.reference)
        assert (answer.status_code, answer.json()) == (200, {"payment": "paid"})
    assert states(held) == ("confirmed", ["paid"])
    payment.refresh_from_db()
    assert payment.provider_reference == chapa.transactions()[payment.reference]["reference"]
    assert (trail("booking"), trail("payment")) == (["pending", "confirmed"], ["open", "paid"])
    assert len(chapa.calls("verify")) == 1, "what is settled is not asked again"
    assert_refused(pay(held), 409, "not_payable")


@committed
def test_of_six_webhooks_at_once_one_confirms(held: Booking, chapa: Chapa) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    answers = at_once(6, lambda _: tell(payment.reference))
    assert [answer.json() for answer in answers] == 6 * [{"payment": "paid"}]
    assert states(held) == ("confirmed", ["paid"])
    assert (trail("booking"), trail("payment")) == (["pending", "confirmed"], ["open", "paid"])


def test_what_was_settled_while_the_provider_was_asked_stays_settled(
    held: Booking, chapa: Chapa, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment, verify = opened(held), api.verify
    chapa.press(payment.checkout_url)

    def overtaken(reference: str) -> api.Verdict:
        monkeypatch.setattr(api, "verify", verify)
        early = verify(reference)
        assert payment_settle(reference=reference).status == "paid"
        return early

    monkeypatch.setattr(api, "verify", overtaken)
    assert tell(payment.reference).json() == {"payment": "paid"}
    assert states(held) == ("confirmed", ["paid"])


def test_a_webhook_is_not_believed(held: Booking) -> None:
    payment = opened(held)
    assert tell(payment.reference).json() == {"payment": "open"}
    assert states(held) == ("pending", ["open"])


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_X_CHAPA_SIGNATURE": ""},
        {"HTTP_X_CHAPA_SIGNATURE": "0" * 64},
        {"HTTP_X_CHAPA_SIGNATURE": signature(event("another"))},
        {"HTTP_X_CHAPA_SIGNATURE": "é"},
    ],
    ids=["none", "wrong", "of another body", "not ASCII"],
)
def test_a_webhook_without_the_right_signature_is_403_and_asks_nobody(
    held: Booking, chapa: Chapa, headers: dict[str, str]
) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    assert_refused(tell(payment.reference, **headers), 403, "bad_signature")
    assert chapa.calls("verify") == []
    assert states(held) == ("pending", ["open"])


def test_without_a_secret_no_webhook_is_taken(held: Booking, settings: Settings) -> None:
    settings.CHAPA_WEBHOOK_SECRET = ""
    body = event(opened(held).reference)
    assert_refused(tell_raw(body, HTTP_X_CHAPA_SIGNATURE=signature(body, "")), 403, "bad_signature")


@pytest.mark.parametrize(
    ("body", "status", "code", "fields"),
    [
        (event("x" * 65), 400, "invalid", ["tx_ref"]),
        (event("a\x00b"), 400, "invalid", ["tx_ref"]),
        (event(None), 400, "invalid", ["tx_ref"]),
        (event({"$ne": ""}), 400, "invalid", ["tx_ref"]),
        (b"{}", 400, "invalid", ["tx_ref"]),
        (b"[]", 400, "invalid", ["non_field_errors"]),
        (b"{", 400, "parse_error", []),
        (b"[" * 10_000, 400, "parse_error", []),
        (event("r", more="x" * 17_000), 413, "too_large", []),
        (event("r", more="x" * 300_000), 413, "too_large", []),
    ],
    ids=["long", "NUL", "null", "object", "missing", "list", "cut off", "deep", "large", "huge"],
)
def test_a_webhook_that_cannot_be(
    chapa: Chapa, db: None, body: bytes, status: int, code: str, fields: list[str]
) -> None:
    assert_refused(tell_raw(body), status, code, *fields)
    assert chapa.calls("verify") == []


def test_a_payment_of_another_system_is_acknowledged_and_nothing_more(
    chapa: Chapa, db: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert tell("of-another-system").json() == {"payment": "unknown"}
    assert "not ours" in caplog.text
    assert chapa.calls("verify") == []


def test_the_callback_leads_to_the_same_question(held: Booking, chapa: Chapa) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    client = client_of()
    answer = client.get(WEBHOOK, {"trx_ref": payment.reference, "ref_id": "AP1", "status": "success"})
    assert (answer.status_code, answer.json()) == (200, {"payment": "paid"})
    assert_refused(client.get(WEBHOOK), 400, "invalid", "tx_ref")
    assert_refused(client.get(WEBHOOK, {"trx_ref": "x\x00"}), 400, "invalid", "tx_ref")
    assert client.get(WEBHOOK, {"trx_ref": "another"}).json() == {"payment": "unknown"}


def test_while_the_provider_cannot_be_asked_it_is_told_to_tell_again(held: Booking, chapa: Chapa) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    chapa.control("down")
    answer = tell(payment.reference)
    assert_refused(answer, 503, "provider_unavailable")
    assert answer.headers["Retry-After"]
    assert states(held) == ("pending", ["open"])
    chapa.control("up")
    api.CHAPA.failure = None
    assert tell(payment.reference).json() == {"payment": "paid"}


def test_one_that_the_provider_has_not_heard_of_yet_waits(held: Booking, chapa: Chapa) -> None:
    payment = opened(held)
    chapa.press(payment.checkout_url)
    chapa.fail("verify", "unpaid")
    assert [tell(payment.reference).json()["payment"] for _ in range(2)] == ["open", "paid"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["twice", "failed-after", "refund-first"])
def test_the_provider_itself_tells_in_whatever_order(
    held: Booking, chapa: Chapa, settings: Settings, live_server: Any, mode: str
) -> None:
    settings.PUBLIC_URL = live_server.url
    settings.ALLOWED_HOSTS = ["booking.example", "localhost"]
    chapa.control("webhooks", mode=mode, url=f"{live_server.url}{WEBHOOK}")
    chapa.press(opened(held).checkout_url)

    def told() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = chapa.http.get("/control/webhooks").json()["deliveries"]
        return [each for each in found if each["status"] == 200]

    expected = {"twice": 3, "failed-after": 3, "refund-first": 1}[mode]  # one is the callback
    wait_for(lambda: len(told()) == expected)
    assert states(held) == ("confirmed", ["paid"])
    client_of(held.guest).post(f"{URL}{held.pk}/cancel/")
    assert work() == ["done"]
    wait_for(lambda: len(told()) > expected)
    assert states(held) == ("cancelled", ["refunded"])


def wait_for(condition: Any) -> None:
    """Returns once it holds. Raises TimeoutError after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
