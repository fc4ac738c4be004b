"""The sandbox's payment provider: what it tells a merchant, and what goes wrong with it on demand."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time

import pytest

from lab.outside.payments.server import WEBHOOK_SECRET
from lab.outside.payments.webhooks import Settings
from tests.fleet.outside import Payments
from tests.unit.sandbox.merchant import Merchant, begun, refund, soon, verify

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
