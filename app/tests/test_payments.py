"""Paying: at the provider's stand-in, through whatever the provider, the network and the guest may do."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from booking.accounts.models import User
from booking.bookings.models import AuditEntry, Booking, Status
from booking.bookings.services import holds_expire
from booking.core.breaker import Unavailable
from booking.core.errors import ApplicationError
from booking.listings.models import Listing
from booking.outbox.models import Message
from booking.outbox.services import deliver
from booking.payments import chapa as api
from booking.payments import services
from booking.payments.models import MOVES, Payment, PaymentStatus
from booking.payments.services import payment_settle, payments_settle
from tests.chapa import SECRET_KEY, Chapa, event, signature
from tests.helpers import at_once, client_of, make_user, post_raw, stay
from tests.test_bad_input import assert_refused

URL, WEBHOOK = "/api/v1/bookings/", "/api/v1/payments/chapa/webhook/"
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held(chapa: Chapa, guest: User, birr: Listing) -> Booking:
    """A booking of two nights that waits for 161.00 birr."""
    assert client_of(guest).post(URL, stay(birr)).json()["status"] == "pending"
    return Booking.objects.get()


def pay(booking: Booking) -> Any:
    """What the guest is answered who wants to pay."""
    return client_of(booking.guest).post(f"{URL}{booking.pk}/pay/")


def opened(booking: Booking) -> Payment:
    """An open payment of the booking."""
    assert pay(booking).status_code == 200
    return booking.payments.get(status=PaymentStatus.OPEN)


def tell(reference: Any, **headers: str) -> Any:
    """The answer to a signed webhook."""
    return tell_raw(event(reference), **headers)


def tell_raw(body: bytes, **headers: str) -> Any:
    """The answer to a webhook of these bytes, signed unless `headers` say otherwise."""
    given = {"HTTP_X_CHAPA_SIGNATURE": signature(body)} | headers
    client = client_of()
    client.credentials(**given)
    return post_raw(client, WEBHOOK, body)


def states(booking: Booking) -> tuple[str, list[str]]:
    """Where the booking and its payments stand."""
    booking.refresh_from_db()
    return booking.status, list(booking.payments.order_by("pk").values_list("status", flat=True))


def trail(subject: str) -> list[str]:
    """Where a subject went, by the audit trail."""
    return list(AuditEntry.objects.filter(subject=subject).order_by("pk").values_list("after", flat=True))


def work() -> list[str]:
    """What becomes of all refunds that are due in the outbox: done, dead, or waiting."""
    refunds = Message.objects.filter(kind="payment.refund").order_by("pk")
    for message in refunds:
        deliver(message=message.pk)
    return ["done" if each.done_at else "dead" if each.dead_at else "waiting" for each in refunds.all()]


# --- Opening ------------------------------------------------------------------------------------------


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


# --- Trust --------------------------------------------------------------------------------------------


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


# --- Being told ---------------------------------------------------------------------------------------


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


# --- What may come of it --------------------------------------------------------------------------------


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


@pytest.fixture
def paid(held: Booking, chapa: Chapa) -> Booking:
    """A booking that is confirmed and paid."""
    payment = opened(held)
    chapa.press(payment.checkout_url)
    tell(payment.reference)
    assert states(held) == ("confirmed", ["paid"])
    return held


@pytest.fixture
def cancelled(paid: Booking, chapa: Chapa) -> Booking:
    """A booking that was paid, and cancelled while the provider was down."""
    chapa.control("down")
    answer = client_of(paid.guest).post(f"{URL}{paid.pk}/cancel/")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    return paid


def work_again() -> list[str]:
    """As `work`, once all waiting messages are due again."""
    Message.objects.update(due_at=timezone.now())
    api.CHAPA.failure = None
    return work()


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


# --- The clock ----------------------------------------------------------------------------------------


def age(**by: int) -> None:
    """Makes every payment older, and not asked after for as long."""
    ago = timezone.now() - timedelta(**by)
    Payment.objects.update(created_at=ago, updated_at=ago)


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


def test_a_refund_that_is_due_and_in_no_outbox_is_posted_again(cancelled: Booking) -> None:
    Message.objects.all().delete()
    age(minutes=2)
    assert [payments_settle(), payments_settle()] == [(0, 1), (0, 0)]
    assert Message.objects.get().payload == {"reference": Payment.objects.get().reference}
    assert Booking.objects.get().status == Status.CANCELLED
