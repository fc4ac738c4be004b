"""Chapa's API, version 1, by https://developer.chapa.co as published in November 2026.

No function that asks may be called within a transaction: each waits for the other side. Each raises
Refused, or ApplicationError 503 provider_unavailable.
"""

import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.urls import reverse

from booking.core.breaker import Breaker, Unavailable
from booking.core.errors import ApplicationError
from booking.core.outgoing import outgoing
from booking.payments.models import Payment

logger = logging.getLogger("booking.payments")

CURRENCIES = frozenset({"ETB", "USD"})
CONNECT_SECONDS, READ_SECONDS = 2, 5
CHAPA = Breaker(seconds=5)


class Refused(ApplicationError):
    """Chapa understood and does not do it; `answer` is its own: a text, or rules by field."""

    def __init__(self, answer: Any) -> None:
        super().__init__(code="payment_refused", message="The payment provider refuses this payment.")
        self.answer = answer


@dataclass(frozen=True)
class Verdict:
    """What Chapa says of a transaction; `state` is pending, success, failed, or refunded."""

    state: str
    amount: Decimal = Decimal(0)
    currency: str = ""
    reference: str = ""  # Chapa's own


def payable(currency: str) -> bool:
    """Whether a stay in `currency` (ISO 4217) can be paid online."""
    return bool(settings.CHAPA_SECRET_KEY) and currency in CURRENCIES


def signed(body: bytes, signature: str) -> bool:
    """Whether a webhook with this body and x-chapa-signature (HMAC-SHA256, in hex) is Chapa's."""
    secret = settings.CHAPA_WEBHOOK_SECRET.encode()
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return bool(secret) and hmac.compare_digest(expected.encode(), signature.encode())


def initialize(payment: Payment) -> str:
    """The address where the guest pays."""
    guest = payment.booking.guest
    body = {
        "amount": str(payment.amount),
        "currency": payment.currency,
        "email": guest.email,
        "first_name": guest.name,
        "tx_ref": payment.reference,
        "callback_url": f"{settings.PUBLIC_URL}{reverse('chapa-webhook')}",
        "return_url": f"{settings.PUBLIC_URL}{reverse('stay', args=[payment.booking_id])}?paid",
    }
    answer = ask("POST", "/transaction/initialize", body)
    with answered():
        address = str(answer["data"]["checkout_url"])
        URLValidator(schemes=("http", "https"))(address)
        return address


def verify(reference: str) -> Verdict:
    """What has become of our transaction `reference`; pending for one that Chapa does not know (yet)."""
    try:
        answer = ask("GET", f"/transaction/verify/{reference}")
    except Refused:
        return Verdict("pending")
    with answered():
        data = answer["data"]
        known = (state for state in ("success", "failed", "refunded") if state in data["status"])
        amount = Decimal(data["amount"])
        return Verdict(next(known, "pending"), amount, str(data["currency"]), str(data["reference"] or ""))


def refund(payment: Payment) -> None:
    """Has the whole of a payment given back, once however often it is called."""
    if verify(payment.reference).state == "refunded":
        return
    body = {"amount": str(payment.amount), "reason": "cancelled", "reference": f"refund-{payment.reference}"}
    try:
        ask("POST", f"/refund/{payment.reference}", body)
    except Refused as refusal:
        # The reference of a refund must be new: a complaint about it says that Chapa has this refund already.
        if not (isinstance(refusal.answer, dict) and "reference" in refusal.answer):
            raise


@contextmanager
def answered() -> Iterator[None]:
    """Raises ApplicationError 503 provider_unavailable for no answer, and for one that makes no sense."""
    try:
        yield
    except (Unavailable, ValueError, LookupError, TypeError, ArithmeticError, ValidationError) as error:
        logger.warning("Chapa does not answer", extra={"error": repr(error.__cause__ or error)})
        raise ApplicationError(
            code="provider_unavailable",
            message="The payment provider does not answer; try again.",
            http_status=503,
            retry_after=10,
        ) from error


def ask(method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """Chapa's answer. Raises Refused, ApplicationError 503 provider_unavailable (our key refused included).

    What was not sent is sent again; a GET also where the connection ended before its answer.
    """
    import httpx
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

    unsent = (httpx.ConnectError, httpx.ConnectTimeout)
    cut = (*unsent, httpx.RemoteProtocolError, httpx.ReadError) if method == "GET" else unsent
    retrying = Retrying(
        retry=retry_if_exception_type(cut),
        stop=stop_after_attempt(2),
        wait=wait_random_exponential(multiplier=0.1, max=0.5),
        reraise=True,
    )
    with (
        answered(),
        CHAPA.guard(httpx.TransportError),
        httpx.Client(
            headers={"Authorization": f"Bearer {settings.CHAPA_SECRET_KEY}"},
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            verify=outgoing(),
        ) as client,
    ):
        answer = retrying(client.request, method, f"{settings.CHAPA_URL}{path}", json=body)
    with answered():
        found: dict[str, Any] = json.loads(answer.content, parse_float=Decimal)
        refusal = found["message"]
        if answer.status_code not in (200, 400, 404, 422):
            raise Unavailable(f"{answer.status_code} {refusal}")
    if answer.status_code != 200:
        logger.warning("Chapa refuses", extra={"path": path, "answer": refusal})
        raise Refused(refusal)
    return found
