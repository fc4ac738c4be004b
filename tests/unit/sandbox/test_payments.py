"""The stand-in for Chapa: what its documentation promises, each failure on demand, and what its pages do with text."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from lab import inventory, outside
from lab.outside.payments.api import SECRET_KEY, Chapa
from lab.outside.payments.ledger import Ledger, Transaction
from lab.outside.payments.server import WEBHOOK_SECRET, Server
from lab.outside.payments.webhooks import Sender, Settings
from tests.fleet.outside import Payments

ROOT = Path(__file__).resolve().parents[3]
RETURN = "https://booking.test/payments/return?booking=7"
FIELDS = {
    "amount": "100", "currency": "ETB", "email": "abebech_bekele@gmail.com", "first_name": "Bilen",
    "last_name": "Gizachew", "phone_number": "0912345678", "tx_ref": "stay-1", "return_url": RETURN,
    "customization": {"title": "A stay", "description": "Two nights in Lalibela"}, "meta": {"booking": 7},
}
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


Listening = TypeVar("Listening", bound=ThreadingHTTPServer)


class Merchant(ThreadingHTTPServer):
    """Who is told: keeps what came, and answers with the next of *statuses*, then with 200."""

    daemon_threads = True

    def __init__(self) -> None:
        self.came: list[tuple[str, str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        super().__init__(("127.0.0.1", 0), Told)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def events(self) -> list[str]:
        return [json.loads(body)["event"] for method, _, _, body in self.came if method == "POST"]


class Told(BaseHTTPRequestHandler):
    server: Merchant

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.came.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(server: Listening) -> Iterator[Listening]:
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    with serving(Merchant()) as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    settings = Settings(retry_seconds=0.05, late_seconds=0.3)
    with serving(Server(Chapa(Sender(WEBHOOK_SECRET, settings)), "127.0.0.1", 0)) as found:
        yield found


@pytest.fixture
def payments(server: Server, merchant: Merchant) -> Iterator[Payments]:
    client = Payments(f"http://127.0.0.1:{server.server_address[1]}")
    client.reset()
    client.webhooks(url=f"{merchant.url}/webhook/")
    yield client
    client.reset()


def api(payments: Payments, method: str, path: str, *, key: str = SECRET_KEY, **options: Any) -> httpx.Response:
    return payments.request(method, path, headers={"Authorization": f"Bearer {key}"}, **options)


def initialize(payments: Payments, **changes: Any) -> httpx.Response:
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return api(payments, "POST", "/v1/transaction/initialize", json=fields)


def begun(payments: Payments, **changes: Any) -> str:
    """The address of the checkout page of a new payment."""
    answer = initialize(payments, **changes)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["checkout_url"])


def verify(payments: Payments, tx_ref: str = "stay-1") -> httpx.Response:
    return api(payments, "GET", f"/v1/transaction/verify/{tx_ref}")


def refund(payments: Payments, whose: str = "stay-1", **fields: Any) -> httpx.Response:
    return api(payments, "POST", f"/v1/refund/{whose}", json=fields)


def refused(answer: httpx.Response) -> tuple[int, Any]:
    """The code and message of a refusal in Chapa's form."""
    said = answer.json()
    assert (said["status"], said["data"]) == ("failed", None)
    return answer.status_code, said["message"]


def soon(check: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_names_that_both_sides_agree_on_are_those_of_the_inventory() -> None:
    assert (SECRET_KEY, WEBHOOK_SECRET) == (inventory.CHAPA_SECRET_KEY, inventory.CHAPA_WEBHOOK_SECRET)


# --- initialize


def test_payment_begins_with_a_link_to_a_page(payments: Payments) -> None:
    answer = initialize(payments)
    said = answer.json()
    assert (answer.status_code, said["message"], said["status"]) == (200, "Hosted Link", "success")
    assert list(said["data"]) == ["checkout_url"]
    assert said["data"]["checkout_url"].startswith(f"{payments.url}/checkout/payment/")


@pytest.mark.parametrize(("headers", "message"), [
    ({}, "Authorization required"),
    ({"Authorization": "Bearer wrong"}, "Invalid API Key or User doesn't exist"),
    ({"Authorization": f"Basic {SECRET_KEY}"}, "Invalid API Key or User doesn't exist"),
])
@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/v1/transaction/initialize"), ("GET", "/v1/transaction/verify/stay-1"), ("POST", "/v1/refund/stay-1"),
    ("GET", "/v1/refund/REF-1/verify"),
])
def test_nobody_asks_without_the_key(
    payments: Payments, method: str, path: str, headers: dict[str, str], message: str
) -> None:
    begun(payments)
    answer = payments.request(method, path, headers=headers, **({"json": FIELDS} if method == "POST" else {}))
    assert refused(answer) == (401, message)


@pytest.mark.parametrize("name", ["amount", "currency", "tx_ref"])
def test_required_field_that_is_missing_is_named(payments: Payments, name: str) -> None:
    assert refused(initialize(payments, **{name: None})) == (400, {name: ["validation.required"]})


def test_all_missing_fields_are_named_at_once(payments: Payments) -> None:
    code, message = refused(api(payments, "POST", "/v1/transaction/initialize", json={}))
    assert (code, sorted(message)) == (400, ["amount", "currency", "tx_ref"])


def test_body_that_is_no_json_lacks_everything(payments: Payments) -> None:
    answer = payments.request("POST", "/v1/transaction/initialize", content=b"{", headers={
        "Authorization": f"Bearer {SECRET_KEY}", "Content-Type": "application/json",
    })
    assert refused(answer)[0] == 400


def test_only_json_begins_a_payment(payments: Payments) -> None:
    answer = api(payments, "POST", "/v1/transaction/initialize", data={"amount": "100"})
    code, message = refused(answer)
    assert code == 400
    assert "application/json" in message


@pytest.mark.parametrize(("field", "value", "rule"), [
    ("amount", "ten", "validation.numeric"), ("amount", "NaN", "validation.numeric"),
    ("amount", True, "validation.numeric"), ("amount", "1e300", "validation.numeric"),
    ("amount", 0, "validation.min.numeric"), ("amount", "-1", "validation.min.numeric"),
    ("email", "nobody", "validation.email"), ("phone_number", "+251912345678", "validation.regex"),
    ("callback_url", "booking.test/x", "validation.url"), ("return_url", "javascript:alert(1)", "validation.url"),
    ("return_url", "https://[", "validation.url"), ("return_url", "https://x/\r\nSet-Cookie: a=b", "validation.url"),
    ("customization", "A stay", "validation.array"),
])
def test_field_that_is_wrong_is_named_with_its_rule(payments: Payments, field: str, value: Any, rule: str) -> None:
    assert refused(initialize(payments, **{field: value})) == (400, {field: [rule]})


def test_title_has_at_most_16_characters(payments: Payments) -> None:
    assert initialize(payments, customization={"title": "x" * 16}).status_code == 200
    answer = initialize(payments, tx_ref="stay-2", customization={"title": "x" * 17})
    assert refused(answer) == (400, {"customization.title": ["validation.max.string"]})


@pytest.mark.parametrize("currency", ["ETB", "USD"])
def test_birr_and_dollars_are_taken(payments: Payments, currency: str) -> None:
    assert initialize(payments, currency=currency).status_code == 200


def test_other_currency_is_refused(payments: Payments) -> None:
    assert refused(initialize(payments, currency="EUR")) == (400, "Invalid currency, EUR is not supported")


def test_reference_is_taken_once(payments: Payments) -> None:
    begun(payments)
    assert refused(initialize(payments)) == (400, "Transaction reference has been used before")


def test_what_is_refused_uses_no_reference(payments: Payments) -> None:
    initialize(payments, email="nobody")
    assert initialize(payments).status_code == 200


def test_two_that_ask_at_once_with_one_reference_begin_one_payment(payments: Payments) -> None:
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(initialize(payments).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, *[400] * 7]


# --- the page


def test_page_says_who_asks_for_how_much_and_needs_no_script(payments: Payments) -> None:
    page = payments.request("GET", begun(payments, amount="1234.5"))
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for text in ("A stay", "Two nights in Lalibela", "1,234.50 ETB", "Bilen Gizachew", '<html lang="en">', "<title>"):
        assert text in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_text_of_a_merchant_or_customer_is_never_markup(payments: Payments) -> None:
    evil = '<script>"x"</script>'
    checkout = begun(
        payments, first_name=evil, last_name="</title><b>", return_url='https://booking.test/"><script>',
        customization={"title": "<i>&'\"", "description": evil},
    )
    pending = payments.request("GET", checkout).text
    payments.pay(checkout)
    for page in (pending, payments.request("GET", checkout).text):
        assert "<script" not in page
        assert "<i>" not in page
        assert "<b>" not in page
        assert "&lt;script&gt;&quot;x&quot;" in page


def test_unknown_page_is_none(payments: Payments) -> None:
    assert payments.request("GET", "/checkout/payment/nothing").status_code == 404
    assert payments.request("POST", "/checkout/payment/nothing", data={"outcome": "success"}).status_code == 404


def test_paying_leads_back_to_the_merchant(payments: Payments) -> None:
    checkout = begun(payments)
    answer = payments.press(checkout, "Pay")
    assert (answer.status_code, answer.headers["Location"]) == (303, RETURN)
    assert verify(payments).json()["data"]["status"] == "success"


def test_paying_without_a_way_back_says_that_it_is_done(payments: Payments) -> None:
    answer = payments.press(begun(payments, return_url=None), "Pay")
    assert (answer.status_code, "has been made" in answer.text) == (200, True)


def test_cancelling_charges_nothing_and_links_back(payments: Payments) -> None:
    answer = payments.press(begun(payments), "Cancel")
    assert answer.status_code == 200
    assert "Nothing was charged" in answer.text
    assert f'href="{RETURN}"' in answer.text
    assert verify(payments).json()["data"]["status"] == "failed"


def test_second_click_pays_nothing_twice(payments: Payments, merchant: Merchant) -> None:
    checkout = begun(payments)
    payments.pay(checkout)
    again = payments.request("POST", checkout, data={"outcome": "success"})
    assert again.headers["Location"] == RETURN
    too_late = payments.request("POST", checkout, data={"outcome": "failed"})
    assert too_late.status_code == 303
    soon(lambda: merchant.events)
    time.sleep(0.2)
    assert merchant.events == ["charge.success"]


def test_form_without_an_answer_settles_nothing(payments: Payments) -> None:
    checkout = begun(payments)
    assert payments.request("POST", checkout, data={"outcome": "refunded"}).status_code == 400
    assert verify(payments).json()["data"]["status"] == "pending"


# --- verify


def test_details_have_every_documented_field(payments: Payments) -> None:
    payments.pay(begun(payments))
    said = verify(payments).json()
    data = said["data"]
    assert (said["message"], said["status"]) == ("Payment details", "success")
    assert data.pop("reference").startswith("AP")
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(STAMP, data.pop(name))
    assert data == {
        "first_name": "Bilen", "last_name": "Gizachew", "email": "abebech_bekele@gmail.com", "currency": "ETB",
        "amount": 100, "charge": 3.5, "mode": "test", "method": "test", "type": "API", "status": "success",
        "tx_ref": "stay-1", "meta": {"booking": 7},
        "customization": {"title": "A stay", "description": "Two nights in Lalibela", "logo": None},
    }


def test_payment_that_nobody_has_made_is_pending(payments: Payments) -> None:
    begun(payments)
    data = verify(payments).json()["data"]
    assert (data["status"], data["reference"]) == ("pending", None)


def test_unknown_transaction_is_not_found(payments: Payments) -> None:
    assert refused(verify(payments, "nothing")) == (404, "Invalid transaction or Transaction not found")


def test_reference_with_special_characters_is_found(payments: Payments) -> None:
    begun(payments, tx_ref="stay 1/ä")
    assert verify(payments, "stay%201%2F%C3%A4").json()["data"]["tx_ref"] == "stay 1/ä"


# --- refund


def test_refund_is_answered_as_documented_and_shows_in_verify(payments: Payments) -> None:
    payments.pay(begun(payments))
    reference = payments.transaction("stay-1")["reference"]
    answer = refund(payments, reason="cancelled", reference="OTAS379IOSHJ", meta={"customer_id": 123})
    said = answer.json()
    assert (answer.status_code, said["status"]) == (200, "success")
    assert said["message"] == "Refund initiated successfully. Processing time: 1-3 business days"
    assert {name: said["data"][name] for name in (
        "chapa_reference", "amount", "currency", "status", "reason", "merchant_reference", "meta",
    )} == {
        "chapa_reference": reference, "amount": "100.00", "currency": "ETB", "status": "Refund Initiated",
        "reason": "cancelled", "merchant_reference": "OTAS379IOSHJ", "meta": {"customer_id": 123},
    }
    assert said["data"]["ref"] == said["data"]["ref_id"]
    assert verify(payments).json()["data"]["status"] == "refunded"
    checked = api(payments, "GET", f"/v1/refund/{said['data']['ref_id']}/verify").json()
    assert (checked["message"], checked["data"]["status"]) == ("Refund verified successfully", "refunded")


def test_refund_takes_chapas_reference_and_a_form(payments: Payments) -> None:
    payments.pay(begun(payments))
    reference = payments.transaction("stay-1")["reference"]
    answer = api(payments, "POST", f"/v1/refund/{reference}", data={"amount": "40.5", "meta[customer_id]": "123"})
    assert answer.json()["data"]["amount"] == "40.50"
    assert answer.json()["data"]["meta"] == {"customer_id": "123"}


def test_second_refund_is_refused(payments: Payments) -> None:
    payments.pay(begun(payments))
    assert refund(payments).status_code == 200
    code, message = refused(refund(payments))
    assert (code, message) == (400, "Refund amount cannot exceed the full transaction amount or be less than 0")


@pytest.mark.parametrize("amount", ["100.01", "0", "-1", "all", [1]])
def test_refund_of_more_or_less_than_there_is_is_refused(payments: Payments, amount: object) -> None:
    payments.pay(begun(payments))
    assert refused(refund(payments, amount=amount))[0] == 400
    assert verify(payments).json()["data"]["status"] == "success"


def test_refund_of_what_was_not_paid_is_refused(payments: Payments) -> None:
    checkout = begun(payments)
    assert refused(refund(payments)) == (400, "Payment not paid yet")
    payments.cancel(checkout)
    assert refused(refund(payments)) == (400, "Payment not paid yet")


def test_refund_of_nothing_known_is_not_found(payments: Payments) -> None:
    assert refused(refund(payments, "nothing"))[0] == 404
    assert refused(api(payments, "GET", "/v1/refund/nothing/verify"))[0] == 404


def test_reference_of_a_refund_is_taken_once(payments: Payments) -> None:
    payments.pay(begun(payments))
    payments.pay(begun(payments, tx_ref="stay-2"))
    assert refund(payments, reference="back-1").status_code == 200
    assert refused(refund(payments, "stay-2", reference="back-1")) == (400, {"reference": ["validation.unique"]})


# --- webhooks


def test_success_is_told_as_documented_and_signed_twice(payments: Payments, merchant: Merchant) -> None:
    payments.pay(begun(payments, amount="400"))
    soon(lambda: merchant.came)
    method, path, headers, body = merchant.came[0]
    assert (method, path, headers["content-type"]) == ("POST", "/webhook/", "application/json")
    secret = WEBHOOK_SECRET.encode()
    assert headers["x-chapa-signature"] == hmac.new(secret, body, hashlib.sha256).hexdigest()
    assert headers["chapa-signature"] == hmac.new(secret, secret, hashlib.sha256).hexdigest()
    told = json.loads(body)
    details = payments.transaction("stay-1")
    assert told == {
        "event": "charge.success", "first_name": "Bilen", "last_name": "Gizachew",
        "email": "abebech_bekele@gmail.com", "mobile": "0912345678", "currency": "ETB", "amount": "400.00",
        "charge": "14.00", "status": "success", "mode": "test", "reference": details["reference"],
        "created_at": details["created_at"], "updated_at": details["updated_at"], "type": "API", "tx_ref": "stay-1",
        "payment_method": "test", "customization": details["customization"], "meta": {"booking": 7},
    }


def test_cancelled_payment_and_refund_are_told(payments: Payments, merchant: Merchant) -> None:
    payments.cancel(begun(payments))
    soon(lambda: merchant.events == ["charge.failed/cancelled"])
    assert json.loads(merchant.came[0][3])["status"] == "failed/cancelled"
    payments.pay(begun(payments, tx_ref="stay-2"))
    refund(payments, "stay-2", amount="40", meta={"why": "ill"})
    soon(lambda: merchant.events == ["charge.failed/cancelled", "charge.success", "charge.refunded"])
    told = json.loads(merchant.came[2][3])
    assert (told["status"], told["amount"], told["meta"]) == ("refunded", "40.00", {"why": "ill"})


@pytest.mark.parametrize("status", [500, 404, 302, 204])
def test_anything_but_200_is_tried_again(payments: Payments, merchant: Merchant, status: int) -> None:
    merchant.statuses = [status, status]
    payments.pay(begun(payments))
    soon(lambda: len(payments.deliveries()) == 3)
    assert [(each["attempt"], each["status"]) for each in payments.deliveries()] == [(1, status), (2, status), (3, 200)]
    assert len({body for _, _, _, body in merchant.came}) == 1
    assert {path for _, path, _, _ in merchant.came} == {"/webhook/"}, "no redirect is followed"


def test_after_ten_attempts_it_is_given_up(payments: Payments, merchant: Merchant) -> None:
    merchant.statuses = [500] * 20
    payments.webhooks(retry_seconds=0)
    payments.pay(begun(payments))
    soon(lambda: len(payments.deliveries()) == 10)
    time.sleep(0.2)
    assert len(merchant.came) == 10


def test_merchant_that_cannot_be_reached_is_tried_again(payments: Payments, merchant: Merchant) -> None:
    payments.webhooks(url="http://127.0.0.1:9/", attempts=2)
    payments.pay(begun(payments))
    soon(lambda: len(payments.deliveries()) == 2)
    assert payments.deliveries()[0]["status"] is None
    assert "refused" in payments.deliveries()[0]["error"]


def test_merchant_that_answers_no_http_is_tried_again(payments: Payments) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        payments.webhooks(url=f"http://127.0.0.1:{listening.getsockname()[1]}/", attempts=2)
        payments.pay(begun(payments))
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-nonsense\r\n")
        soon(lambda: len(payments.deliveries()) == 2)
    assert payments.deliveries()[0]["status"] is None


def test_chapas_own_times_are_the_default() -> None:
    assert (Settings().retry_seconds, Settings().attempts) == (600, 10)


def test_callback_is_called_once_with_what_came_of_it(payments: Payments, merchant: Merchant) -> None:
    merchant.statuses = [500]
    payments.webhooks(url="")
    payments.pay(begun(payments, callback_url=f"{merchant.url}/callback?a=1"))
    soon(lambda: payments.deliveries("callback"))
    reference = payments.transaction("stay-1")["reference"]
    time.sleep(0.2)
    assert [(method, path) for method, path, _, _ in merchant.came] == [
        ("GET", f"/callback?a=1&trx_ref=stay-1&ref_id={reference}&status=success"),
    ]


# --- webhooks that go wrong, on demand


def test_webhooks_can_be_off(payments: Payments, merchant: Merchant) -> None:
    payments.webhooks("off")
    payments.pay(begun(payments, callback_url=f"{merchant.url}/callback"))
    time.sleep(0.2)
    assert merchant.came == []
    payments.webhooks("on")
    payments.resend("stay-1")
    soon(lambda: merchant.events == ["charge.success"])


def test_webhook_can_come_twice(payments: Payments, merchant: Merchant) -> None:
    payments.webhooks("twice")
    payments.pay(begun(payments))
    soon(lambda: merchant.events == ["charge.success"] * 2)
    assert merchant.came[0][3] == merchant.came[1][3]


def test_webhook_can_come_late(payments: Payments, merchant: Merchant) -> None:
    payments.webhooks("late", late_seconds=0.4)
    payments.pay(begun(payments))
    began = time.monotonic()
    soon(lambda: merchant.came)
    assert time.monotonic() - began > 0.3


def test_refund_can_be_told_before_the_success(payments: Payments, merchant: Merchant) -> None:
    payments.webhooks("refund-first")
    payments.pay(begun(payments))
    time.sleep(0.2)
    assert merchant.came == []
    refund(payments)
    soon(lambda: merchant.events == ["charge.refunded", "charge.success"])


def test_failure_of_an_earlier_attempt_can_come_after_the_success(payments: Payments, merchant: Merchant) -> None:
    payments.webhooks("failed-after")
    payments.pay(begun(payments))
    soon(lambda: merchant.events == ["charge.success", "charge.failed/cancelled"])
    assert verify(payments).json()["data"]["status"] == "success"


def test_signature_can_be_forged(payments: Payments, merchant: Merchant) -> None:
    payments.webhooks("forged")
    payments.pay(begun(payments))
    soon(lambda: merchant.came)
    _, _, headers, body = merchant.came[0]
    secret = WEBHOOK_SECRET.encode()
    assert headers["x-chapa-signature"] != hmac.new(secret, body, hashlib.sha256).hexdigest()
    assert headers["chapa-signature"] != hmac.new(secret, secret, hashlib.sha256).hexdigest()
    payments.resend("stay-1")
    soon(lambda: len(merchant.came) == 2)
    assert merchant.came[1][2]["x-chapa-signature"] == hmac.new(secret, body, hashlib.sha256).hexdigest()


def test_what_has_not_happened_cannot_be_sent_again(payments: Payments) -> None:
    begun(payments)
    with pytest.raises(AssertionError, match="nothing has happened yet to tx_ref 'stay-1'"):
        payments.resend("stay-1")


# --- calls that go wrong, on demand


@pytest.mark.parametrize("kind", ["500", "drop"])
def test_call_can_fail_with_nothing_done(payments: Payments, kind: Any) -> None:
    payments.fail_next("initialize", kind, times=2)
    for _ in range(2):
        if kind == "drop":
            with pytest.raises(httpx.RemoteProtocolError):
                initialize(payments)
        else:
            assert initialize(payments).status_code == 500
    assert payments.transactions() == []
    assert initialize(payments).status_code == 200


def test_call_can_be_done_and_its_answer_lost(payments: Payments) -> None:
    payments.fail_next("initialize", "lost")
    with pytest.raises(httpx.RemoteProtocolError):
        initialize(payments)
    assert [each["tx_ref"] for each in payments.transactions()] == ["stay-1"]
    assert payments.calls("initialize")[0]["status"] is None


def test_call_can_be_done_and_answered_late(payments: Payments) -> None:
    begun(payments)
    payments.fail_next("verify", "hang", seconds=0.4)
    began = time.monotonic()
    assert verify(payments).status_code == 200
    assert time.monotonic() - began >= 0.4
    began = time.monotonic()
    verify(payments)
    assert time.monotonic() - began < 0.4


def test_reset_lets_go_what_hangs(payments: Payments) -> None:
    begun(payments)
    payments.fail_next("verify", "hang", seconds=60)
    waiting = threading.Thread(target=verify, args=(payments,))
    waiting.start()
    soon(lambda: payments.calls("verify"))
    payments.reset()
    waiting.join(5)
    assert not waiting.is_alive()


def test_verify_may_not_have_heard_of_a_payment_yet(payments: Payments) -> None:
    payments.pay(begun(payments))
    payments.fail_next("verify", "unpaid")
    answer = verify(payments)
    assert answer.status_code == 404
    assert answer.json() == {"message": "Payment not paid yet", "status": None, "data": None}
    assert verify(payments).json()["data"]["status"] == "success"


def test_one_endpoint_fails_alone(payments: Payments) -> None:
    payments.fail_next("refund", "500")
    checkout = begun(payments)
    assert payments.pay(checkout) == RETURN
    assert refund(payments).status_code == 500
    payments.fail_next("any", "500")
    assert verify(payments).status_code == 500


def test_all_of_it_can_be_down(payments: Payments) -> None:
    checkout = begun(payments)
    payments.down()
    for url in (checkout, "/v1/transaction/verify/stay-1"):
        with pytest.raises(httpx.RemoteProtocolError):
            payments.request("GET", url)
    payments.up()
    assert verify(payments).status_code == 200


@pytest.mark.parametrize(("verb", "fields", "message"), [
    ("fail", {"endpoint": "nothing", "kind": "500"}, "must be any, or one of initialize"),
    ("fail", {"endpoint": "verify", "kind": "429"}, "must be one of 500"),
    ("fail", {"endpoint": "verify", "kind": "500", "times": 0}, "must be 1 or more"),
    ("fail", {"endpoint": "verify", "kind": "hang", "seconds": -1}, "must not be negative"),
    ("fail", {"kind": "500"}, "endpoint"),
    ("webhooks", {"mode": "sometimes"}, "mode must be one of on"),
    ("webhooks", {"url": "ftp://x"}, "url an http or https address"),
    ("webhooks", {"retries": 3}, "settings are: url"),
    ("webhooks", {"attempts": "many"}, "settings are: url"),
])
def test_control_that_makes_no_sense_is_told(
    payments: Payments, verb: str, fields: dict[str, object], message: str
) -> None:
    answer = payments.request("POST", f"/control/{verb}", json=fields)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_every_call_is_kept_and_forgotten_by_a_reset(payments: Payments) -> None:
    begun(payments)
    verify(payments)
    payments.request("GET", "/v1/banks")
    assert [(call["endpoint"], call["method"], call["status"]) for call in payments.calls()] == [
        ("initialize", "POST", 200), ("verify", "GET", 200), ("unknown", "GET", 404),
    ]
    assert json.loads(payments.calls("initialize")[0]["body"]) == FIELDS
    payments.reset()
    assert (payments.calls(), payments.transactions(), payments.deliveries()) == ([], [], [])


def test_request_that_is_too_large_is_refused(payments: Payments) -> None:
    answer = api(payments, "POST", "/v1/transaction/initialize", content=b" " * (2 << 20))
    assert answer.status_code == 413


def test_who_is_trusted_is_read_anew_for_every_webhook(tmp_path: Path) -> None:
    """The authority of a sandbox draws another root at every start."""
    theirs, trust = tmp_path / "theirs", tmp_path / "trust.pem"
    for folder in (theirs, tmp_path / "others"):
        folder.mkdir()
        outside.draw(folder)
    trust.write_text((tmp_path / "others/ca.pem").read_text())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(theirs / "server.pem", theirs / "server.key")
    merchant = Merchant()
    merchant.socket = context.wrap_socket(merchant.socket, server_side=True)
    with serving(merchant), at_home("chapa.test"):
        # The name that the certificate is for, at this machine's own address.
        settings = Settings(url=f"https://chapa.test:{merchant.server_address[1]}/", retry_seconds=0.05, attempts=100)
        sender = Sender(WEBHOOK_SECRET, settings, str(trust))
        sender.tell(paid(), "success")
        soon(lambda: len(sender.log()) > 1)
        assert "CERTIFICATE_VERIFY_FAILED" in sender.log()[0]["error"]
        trust.write_text((theirs / "ca.pem").read_text())
        soon(lambda: merchant.came)
        sender.forget()


def paid() -> Transaction:
    ledger = Ledger()
    return ledger.settle(ledger.initialize(FIELDS).checkout, "success")[0]


@contextmanager
def at_home(name: str) -> Iterator[None]:
    """*name* is this machine."""
    real = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real(
            "127.0.0.1" if host == name else host, *rest, **more
        ))
        yield


# --- how it is run


@pytest.mark.parametrize("command", [
    ("-m", "lab.outside.payments"), ("lab/outside/payments",), ("lab/outside/payments/__main__.py",),
])
def test_it_runs_as_a_module_and_by_its_path_and_says_its_port(command: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, *command, "--port", "0", "--plain"], cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as process:
        assert process.stdout is not None
        client = Payments(f"http://127.0.0.1:{int(process.stdout.readline())}")
        assert client.transactions() == []
        process.terminate()


def test_it_needs_nothing_beyond_the_standard_library() -> None:
    code = "import payments.server, sys; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT / "lab/outside", check=True, capture_output=True, text=True,
    )
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) <= {"payments", "__main__", "__mp_main__"}


def test_without_a_certificate_it_says_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "lab/outside/payments"], cwd=ROOT, check=False, capture_output=True, text=True,
    )
    assert (done.returncode, "--certificate and --key" in done.stderr) == (2, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_tls_is_by_the_sandboxs_authority_and_one_silent_client_keeps_nobody_waiting(tmp_path: Path, host: str) -> None:
    outside.draw(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with serving(Server(Chapa(Sender(WEBHOOK_SECRET, Settings())), host, 0, context)) as server:
        port = server.server_address[1]
        with socket.create_connection(("127.0.0.1", port)):
            client = Payments(f"https://chapa.test:{port}", address="127.0.0.1", authority=tmp_path / "ca.pem")
            assert begun(client).startswith(f"https://chapa.test:{port}/checkout/payment/")
        stranger = Payments(f"https://other.test:{port}", address="127.0.0.1", authority=tmp_path / "ca.pem")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.transactions()
