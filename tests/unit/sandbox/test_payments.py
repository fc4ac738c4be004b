"""The stand-in for Chapa: what its documentation promises, and what its pages do with text."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest

from lab import inventory
from lab.outside.payments.api import SECRET_KEY
from lab.outside.payments.server import WEBHOOK_SECRET
from tests.fleet.outside import Payments
from tests.unit.sandbox.merchant import (
    FIELDS,
    RETURN,
    STAMP,
    Merchant,
    api,
    begun,
    initialize,
    refund,
    refused,
    soon,
    verify,
)


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
