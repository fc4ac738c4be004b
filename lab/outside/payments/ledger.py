"""Transactions and refunds: what Chapa knows, and what it refuses. Knows nothing of HTTP and sends nothing."""

from __future__ import annotations

import re
import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

Fields = Mapping[str, Any]

CURRENCIES = ("ETB", "USD")
CHARGE = Decimal("0.035")  # of the amount, as in the sample of the page on responses
TITLE_LENGTH = 16
LARGEST = 10**12
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PHONE = re.compile(r"0[79]\d{8}")

USED = "Transaction reference has been used before"
UNKNOWN = "Invalid transaction or Transaction not found"
UNPAID = "Payment not paid yet"
REFUND_AMOUNT = "Refund amount cannot exceed the full transaction amount or be less than 0"


class Refused(Exception):  # noqa: N818 - what Chapa does with such a request, not a defect
    """Chapa's answer to a request that it does not carry out: HTTP code, message (text, or fields and rules)."""

    def __init__(self, code: int, message: str | dict[str, list[str]], status: str | None = "failed") -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Refund:
    """Money given back. *reference* is the merchant's own, *ref_id* Chapa's."""

    number: int
    ref_id: str
    amount: Decimal
    reason: str | None
    reference: str
    meta: Any
    created_at: str


@dataclass
class Transaction:
    """One payment, from its initialisation on. *status*: pending, success, failed or refunded."""

    tx_ref: str
    amount: Decimal
    currency: str
    fields: dict[str, Any]
    checkout: str
    created_at: str
    updated_at: str
    status: str = "pending"
    reference: str | None = None
    refund: Refund | None = field(default=None)

    @property
    def charge(self) -> Decimal:
        """What Chapa keeps."""
        return (self.amount * CHARGE).quantize(Decimal("0.01"))

    @property
    def customization(self) -> dict[str, Any]:
        """Title, description and logo; None where the merchant gave none."""
        given = self.fields.get("customization") or {}
        return {name: given.get(name) for name in ("title", "description", "logo")}

    def text(self, name: str) -> str:
        """One of the merchant's fields as text; empty where it gave none."""
        return str(self.fields.get(name) or "")

    def details(self) -> dict[str, Any]:
        """The `data` of verify."""
        return {
            "first_name": self.text("first_name"), "last_name": self.text("last_name"), "email": self.text("email"),
            "currency": self.currency, "amount": number(self.amount), "charge": number(self.charge), "mode": "test",
            "method": "test", "type": "API", "status": self.status, "reference": self.reference,
            "tx_ref": self.tx_ref, "customization": self.customization, "meta": self.fields.get("meta"),
            "created_at": self.created_at, "updated_at": self.updated_at,
        }

    def refunded(self) -> dict[str, Any]:
        """The `data` of a refund that was asked for."""
        assert self.refund is not None
        return {
            "id": self.refund.number, "chapa_reference": self.reference, "bank_reference": f"BANK{self.reference}",
            "amount": f"{self.refund.amount:.2f}", "ref": self.refund.ref_id, "ref_id": self.refund.ref_id,
            "currency": self.currency, "status": "Refund Initiated", "reason": self.refund.reason,
            "merchant_reference": self.refund.reference, "meta": self.refund.meta,
            "created_at": self.refund.created_at, "updated_at": self.refund.created_at,
        }


class Ledger:
    """All transactions. Every method may be called from any thread; each raises Refused where Chapa would refuse."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transactions: dict[str, Transaction] = {}

    def initialize(self, fields: Fields) -> Transaction:
        """Begin a payment."""
        amount = checked(fields)
        tx_ref, now = str(fields["tx_ref"]), stamp()
        with self._lock:
            if tx_ref in self._transactions:
                raise Refused(400, USED)
            made = Transaction(tx_ref, amount, str(fields["currency"]), dict(fields), token(43), now, now)
            self._transactions[tx_ref] = made
            return made

    def find(self, reference: str) -> Transaction:
        """A transaction by the merchant's reference or by Chapa's."""
        return self._first(lambda each: reference in (each.tx_ref, each.reference))

    def at_checkout(self, checkout: str) -> Transaction:
        """A transaction by the id in its checkout page's address."""
        return self._first(lambda each: each.checkout == checkout)

    def settle(self, checkout: str, status: str) -> tuple[Transaction, bool]:
        """The customer has paid ("success") or not ("failed"); whether that changed anything. A payment is settled
        once: a second click finds it so."""
        found = self.at_checkout(checkout)
        with self._lock:
            if found.status != "pending":
                return found, False
            found.status, found.reference, found.updated_at = status, f"AP{token(10)}", stamp()
            return found, True

    def refund(self, reference: str, fields: Fields) -> Transaction:
        """Give a payment back, wholly or in part, once."""
        found = self.find(reference)
        own = str(fields.get("reference") or "")
        with self._lock:
            given_back = [each.refund for each in self._transactions.values() if each.refund]
            if found.status not in ("success", "refunded"):
                raise Refused(400, UNPAID)
            amount = found.amount if fields.get("amount") in (None, "") else decimal(fields["amount"])
            if found.refund or amount is None or not 0 < amount <= found.amount:
                raise Refused(400, REFUND_AMOUNT)
            if own and own in {each.reference for each in given_back}:
                raise Refused(400, {"reference": ["validation.unique"]})
            found.refund = Refund(
                len(given_back) + 1, f"REF-{token(11)}", amount, fields.get("reason") or None, own or token(12).upper(),
                fields.get("meta"), stamp(),
            )
            found.status, found.updated_at = "refunded", found.refund.created_at
            return found

    def find_refund(self, ref_id: str) -> Transaction:
        """The transaction that a refund gave back."""
        return self._first(lambda each: each.refund is not None and each.refund.ref_id == ref_id)

    def all(self) -> list[Transaction]:
        """Every transaction, in the order of their initialisation."""
        with self._lock:
            return list(self._transactions.values())

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._transactions.clear()

    def _first(self, wanted: Callable[[Transaction], bool]) -> Transaction:
        for each in self.all():
            if wanted(each):
                return each
        raise Refused(404, UNKNOWN)


def checked(fields: Fields) -> Decimal:
    """The amount of a request to begin a payment. Refused: a field is missing or wrong."""
    missing = {
        name: ["validation.required"] for name in ("amount", "currency", "tx_ref") if fields.get(name) in (None, "")
    }
    if missing:
        raise Refused(400, missing)
    if fields["currency"] not in CURRENCIES:
        raise Refused(400, f"Invalid currency, {fields['currency']} is not supported")
    amount = decimal(fields["amount"])
    customization = fields.get("customization") or {}
    title = customization.get("title") if isinstance(customization, Mapping) else None
    wrong = {
        "amount": "validation.numeric" if amount is None else "validation.min.numeric" if amount <= 0 else "",
        "email": _unless(EMAIL.fullmatch, fields.get("email"), "validation.email"),
        "phone_number": _unless(PHONE.fullmatch, fields.get("phone_number"), "validation.regex"),
        "callback_url": _unless(is_url, fields.get("callback_url"), "validation.url"),
        "return_url": _unless(is_url, fields.get("return_url"), "validation.url"),
        "customization": "" if isinstance(customization, Mapping) else "validation.array",
        "customization.title": "validation.max.string" if len(str(title or "")) > TITLE_LENGTH else "",
    }
    if rules := {name: [rule] for name, rule in wrong.items() if rule}:
        raise Refused(400, rules)
    assert amount is not None
    return amount


def decimal(value: object) -> Decimal | None:
    """A number given as such or as text; None where it is neither, or too large for money."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < LARGEST else None


def number(value: Decimal) -> int | float:
    """As Chapa writes amounts in JSON: 100, 3.5."""
    return int(value) if value == value.to_integral_value() else float(value)


def is_url(text: str) -> bool:
    """Whether *text* can be called: http or https with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def token(length: int) -> str:
    """A random word like those in Chapa's samples."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(length))


def stamp() -> str:
    """Now, as in Chapa's samples: 2023-02-02T07:05:23.000000Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _unless(accepts: Callable[[str], object], value: object, rule: str) -> str:
    """*rule*, where a value is given that is not accepted; else nothing."""
    return "" if value in (None, "") or accepts(str(value)) else rule
