"""The endpoints: which request is what, who may ask, and the answers; and the control interface beside them."""

from __future__ import annotations

import hmac
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from . import pages
from .ledger import Ledger, Refused, Transaction, stamp
from .trouble import Failure, Trouble
from .webhooks import Sender

SECRET_KEY = "CHASECK_TEST-sandbox-stand-in"  # noqa: S105 - of a stand-in, which guards nothing
HEADERS = "Incorrect header settings Please check if content-type is present and set to application/json"


@dataclass
class Request:
    """What was asked. *reference* is the last part of the path that names something."""

    method: str
    path: str
    reference: str
    headers: dict[str, str]
    content: bytes
    base: str

    def json(self) -> dict[str, Any]:
        """The body's object; empty where it is none."""
        try:
            found = json.loads(self.content or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def form(self) -> dict[str, Any]:
        """The body's fields; `meta[name]=value` becomes an object."""
        found: dict[str, Any] = {}
        for name, value in parse_qsl(self.content.decode(errors="replace"), keep_blank_values=True):
            if inner := re.fullmatch(r"(\w+)\[(\w+)\]", name):
                found.setdefault(inner[1], {})[inner[2]] = value
            else:
                found[name] = value
        return found

    @property
    def is_json(self) -> bool:
        """Whether the sender says that it is JSON."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


@dataclass
class Answer:
    """What is answered: JSON, or a page."""

    status: int
    content: Any
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self) -> tuple[bytes, dict[str, str]]:
        """Body and headers."""
        if isinstance(self.content, str):
            page = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": pages.POLICY}
            return self.content.encode(), page | self.headers
        return json.dumps(self.content).encode(), {"Content-Type": "application/json"} | self.headers


class Chapa:
    """The stand-in: state, and one method for each endpoint."""

    def __init__(self, sender: Sender, secret_key: str = SECRET_KEY) -> None:
        self.ledger, self.trouble, self.sender = Ledger(), Trouble(), sender
        self._key, self._lock = secret_key, threading.Lock()
        self._calls: list[dict[str, Any]] = []
        one = r"([^/]+)"
        self._routes: list[tuple[str, re.Pattern[str], str, Callable[[Request], Answer]]] = [
            (method, re.compile(path), name, does) for method, path, name, does in (
                ("POST", "/v1/transaction/initialize()", "initialize", self.initialize),
                ("GET", f"/v1/transaction/verify/{one}", "verify", self.verify),
                ("POST", f"/v1/refund/{one}", "refund", self.refund),
                ("GET", f"/v1/refund/{one}/verify", "verify-refund", self.verify_refund),
                ("GET", f"/checkout/payment/{one}", "checkout", self.checkout),
                ("POST", f"/checkout/payment/{one}", "pay", self.pay),
                ("GET", "/control/(transactions|calls|webhooks)", "", self.show),
                ("POST", "/control/(fail|down|up|webhooks|resend|reset)", "", self.control),
            )
        ]

    def route(self, method: str, path: str) -> tuple[str, str, Callable[[Request], Answer]] | None:
        """The endpoint's name (empty: control), what the path names, and what answers; None: there is no such."""
        for wanted, pattern, name, does in self._routes:
            if wanted == method and (found := pattern.fullmatch(path)):
                return name, unquote(found[1]), does
        return None

    def answer(self, request: Request, does: Callable[[Request], Answer]) -> Answer:
        """Carry out one request; what is refused is answered as Chapa would."""
        try:
            return does(request)
        except Refused as refused:
            return Answer(refused.code, said(refused.message, refused.status, None))

    def record(self, endpoint: str, request: Request) -> dict[str, Any]:
        """Keep a call for those who ask; its status is filled in when it is answered."""
        call = {
            "at": stamp(), "endpoint": endpoint, "method": request.method, "path": request.path,
            "body": request.content.decode(errors="replace"), "status": None,
        }
        with self._lock:
            self._calls.append(call)
        return call

    def initialize(self, request: Request) -> Answer:
        """POST /v1/transaction/initialize."""
        self._authorize(request)
        if not request.is_json:
            raise Refused(400, HEADERS)
        made = self.ledger.initialize(request.json())
        return Answer(200, said("Hosted Link", "success", {
            "checkout_url": f"{request.base}/checkout/payment/{made.checkout}",
        }))

    def verify(self, request: Request) -> Answer:
        """GET /v1/transaction/verify/<tx_ref>."""
        self._authorize(request)
        found = self.ledger.find(request.reference)
        return Answer(200, said("Payment details", found.status, found.details()))

    def refund(self, request: Request) -> Answer:
        """POST /v1/refund/<tx_ref or Chapa's reference>."""
        self._authorize(request)
        found = self.ledger.refund(request.reference, request.json() if request.is_json else request.form())
        self.sender.tell(found, "refunded")
        message = "Refund initiated successfully. Processing time: 1-3 business days"
        return Answer(200, said(message, "success", found.refunded()))

    def verify_refund(self, request: Request) -> Answer:
        """GET /v1/refund/<ref_id>/verify."""
        self._authorize(request)
        found = self.ledger.find_refund(request.reference)
        return Answer(200, said("Refund verified successfully", "success", found.refunded() | {"status": "refunded"}))

    def checkout(self, request: Request) -> Answer:
        """GET /checkout/payment/<id>: the page of a customer."""
        try:
            return Answer(200, pages.checkout(self.ledger.at_checkout(request.reference)))
        except Refused:
            return Answer(404, pages.page("There is no such payment", ["<p>The link may be wrong or too old.</p>"]))

    def pay(self, request: Request) -> Answer:
        """POST /checkout/payment/<id>: a button was pressed."""
        outcome = request.form().get("outcome")
        if outcome not in ("success", "failed"):
            return Answer(400, pages.page("Pay or cancel", ["<p>The form was sent without either.</p>"]))
        try:
            found, changed = self.ledger.settle(request.reference, outcome)
        except Refused:
            return self.checkout(request)
        if changed:
            self.sender.tell(found, outcome)
        target = found.text("return_url")
        if found.status == "success" and target:
            return Answer(303, pages.checkout(found), {"Location": target})
        return Answer(200, pages.checkout(found))

    def show(self, request: Request) -> Answer:
        """GET of the control interface."""
        if request.reference == "transactions":
            return Answer(200, [self._inside(each) for each in self.ledger.all()])
        if request.reference == "calls":
            with self._lock:
                return Answer(200, [dict(call) for call in self._calls])
        return Answer(200, vars(self.sender.settings) | {"deliveries": self.sender.log()})

    def control(self, request: Request) -> Answer:
        """POST of the control interface; 400 says what is wrong with the body."""
        fields, verb = request.json(), request.reference
        try:
            if verb == "fail":
                self.trouble.add(Failure(**fields))
            elif verb in ("down", "up"):
                self.trouble.down = verb == "down"
            elif verb == "webhooks":
                self.sender.change(fields)
            elif verb == "resend":
                if not self.sender.resend(str(fields.get("tx_ref"))):
                    raise ValueError(f"nothing has happened yet to tx_ref {fields.get('tx_ref')!r}")
            else:
                self.reset()
        except (TypeError, ValueError) as error:
            return Answer(400, {"error": str(error)})
        return Answer(200, {})

    def reset(self) -> None:
        """Forget everything."""
        self.trouble.forget()
        self.sender.forget()
        self.ledger.forget()
        with self._lock:
            self._calls.clear()

    def _authorize(self, request: Request) -> None:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if not key:
            raise Refused(401, "Authorization required")
        if kind.lower() != "bearer" or not hmac.compare_digest(key.strip().encode(), self._key.encode()):
            raise Refused(401, "Invalid API Key or User doesn't exist")

    @staticmethod
    def _inside(transaction: Transaction) -> dict[str, Any]:
        refund = transaction.refunded() if transaction.refund else None
        return transaction.details() | {"checkout": transaction.checkout, "refund": refund}


def said(message: str | dict[str, list[str]], status: str | None, data: Any) -> dict[str, Any]:
    """The form of every answer of Chapa's."""
    return {"message": message, "status": status, "data": data}
