"""Events to the merchant: their bodies, their signatures, and a thread that delivers them, or fails to, as asked."""

from __future__ import annotations

import hashlib
import heapq
import hmac
import itertools
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from .ledger import Transaction, is_url, stamp

TIMEOUT_SECONDS = 10.0
MODES = ("on", "off", "twice", "late", "forged", "refund-first", "failed-after")
SUCCESS, FAILED, REFUNDED = "charge.success", "charge.failed/cancelled", "charge.refunded"
EVENTS = {"success": SUCCESS, "failed": FAILED, "refunded": REFUNDED}
STATUSES = {SUCCESS: "success", FAILED: "failed/cancelled", REFUNDED: "refunded"}


@dataclass(frozen=True)
class Settings:
    """How events are delivered. *url*: set in Chapa's dashboard, empty for none; *retry_seconds* and *attempts* are
    Chapa's own by default."""

    url: str = ""
    mode: str = "on"
    late_seconds: float = 5.0
    retry_seconds: float = 600.0
    attempts: int = 10


def body(event: str, transaction: Transaction) -> bytes:
    """The JSON of an event, as the page on webhooks shows it. A refund's amount and meta are the refund's own."""
    back = transaction.refund if event == REFUNDED else None
    return json.dumps({
        "event": event, "first_name": transaction.text("first_name"), "last_name": transaction.text("last_name"),
        "email": transaction.text("email") or None, "mobile": transaction.text("phone_number") or None,
        "currency": transaction.currency, "amount": f"{back.amount if back else transaction.amount:.2f}",
        "charge": f"{transaction.charge:.2f}", "status": STATUSES[event], "mode": "test",
        "reference": transaction.reference, "created_at": transaction.created_at,
        "updated_at": transaction.updated_at, "type": "API", "tx_ref": transaction.tx_ref, "payment_method": "test",
        "customization": transaction.customization, "meta": back.meta if back else transaction.fields.get("meta"),
    }).encode()


def signatures(content: bytes, secret: str) -> dict[str, str]:
    """Both headers: of the body, and of the secret itself, each by HMAC-SHA256 with the secret, in hex."""
    def sign(what: bytes) -> str:
        return hmac.new(secret.encode(), what, hashlib.sha256).hexdigest()

    return {"x-chapa-signature": sign(content), "chapa-signature": sign(secret.encode())}


@dataclass(order=True)
class Delivery:
    """One attempt to come. A callback is a GET of the merchant's own URL, tried once."""

    due: float
    number: int
    event: str = field(compare=False)
    tx_ref: str = field(compare=False)
    content: bytes | None = field(compare=False)
    url: str = field(compare=False)
    secret: str = field(compare=False)
    attempt: int = field(compare=False, default=1)


class Sender:
    """Delivers events in a thread of its own, in the order in which they are due.

    *trust*: a file of certificates that the merchant's TLS is verified by, read anew each time; the machine's own
    where there is none.
    """

    def __init__(self, secret: str, settings: Settings, trust: str | None = None) -> None:
        self.settings = self._initial = settings
        self._secret, self._trust = secret, trust
        self._wake = threading.Condition()
        self._queue: list[Delivery] = []
        self._numbers = itertools.count()
        self._held: dict[str, bytes] = {}
        self._latest: dict[str, tuple[str, bytes]] = {}
        self._log: list[dict[str, Any]] = []
        self._generation = 0
        threading.Thread(target=self._run, daemon=True, name="webhooks").start()

    def tell(self, transaction: Transaction, status: str) -> None:
        """*transaction* has come to *status*: tell the merchant, as the mode says."""
        event, mode = EVENTS[status], self.settings.mode
        content = body(event, transaction)
        with self._wake:
            self._latest[transaction.tx_ref] = event, content
            if mode == "off":
                return
            delay = self.settings.late_seconds if mode == "late" else 0.0
            callback = transaction.text("callback_url")
            if event == SUCCESS and callback:
                query = {"trx_ref": transaction.tx_ref, "ref_id": transaction.reference, "status": "success"}
                url = f"{callback}{'&' if '?' in callback else '?'}{urlencode(query)}"
                self._add("callback", transaction.tx_ref, None, delay, url)
            if mode == "refund-first" and event == SUCCESS:
                self._held[transaction.tx_ref] = content
                return
            for _ in range(2 if mode == "twice" else 1):
                self._add(event, transaction.tx_ref, content, delay, forged=mode == "forged")
            if mode == "failed-after" and event == SUCCESS:
                self._add(FAILED, transaction.tx_ref, body(FAILED, transaction), delay)
            if event == REFUNDED and (held := self._held.pop(transaction.tx_ref, None)):
                self._add(SUCCESS, transaction.tx_ref, held, delay)

    def resend(self, tx_ref: str) -> bool:
        """Deliver the latest event of a transaction once more; False where nothing has happened to it yet."""
        with self._wake:
            if tx_ref not in self._latest:
                return False
            event, content = self._latest[tx_ref]
            self._add(event, tx_ref, content, 0.0)
            return True

    def change(self, changes: dict[str, Any]) -> None:
        """Change settings. ValueError: there is no such setting, mode, or URL."""
        kinds = {name: type(value) for name, value in vars(self._initial).items()}
        for name, value in changes.items():
            number = kinds.get(name) in (int, float) and isinstance(value, int | float) and value >= 0
            if name not in kinds or not (number or (kinds[name] is str and isinstance(value, str))):
                raise ValueError(f"{name}={value!r} is no setting; settings are: {', '.join(kinds)}")
        changed = replace(self.settings, **changes)
        if changed.mode not in MODES or (changed.url and not is_url(changed.url)):
            raise ValueError(f"mode must be one of {', '.join(MODES)}, url an http or https address, or empty")
        with self._wake:
            self.settings = changed

    def log(self) -> list[dict[str, Any]]:
        """Every attempt that was made, oldest first."""
        with self._wake:
            return list(self._log)

    def forget(self) -> None:
        """Begin anew; what was to be delivered is not."""
        with self._wake:
            self._generation += 1
            self.settings = self._initial
            for each in (self._queue, self._held, self._latest, self._log):
                each.clear()

    def _add(self, event: str, tx_ref: str, content: bytes | None, delay: float, url: str = "", *,
             forged: bool = False) -> None:
        if url := url or self.settings.url:
            secret = f"not {self._secret}" if forged else self._secret
            due = time.monotonic() + delay
            heapq.heappush(self._queue, Delivery(due, next(self._numbers), event, tx_ref, content, url, secret))
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue or self._queue[0].due > time.monotonic():
                    self._wake.wait(self._queue[0].due - time.monotonic() if self._queue else None)
                delivery, generation = heapq.heappop(self._queue), self._generation
            at = stamp()
            status, error = self._send(delivery)
            with self._wake:
                if generation != self._generation:
                    continue
                self._log.append({
                    "at": at, "event": delivery.event, "tx_ref": delivery.tx_ref, "attempt": delivery.attempt,
                    "status": status, "error": error,
                })
                if delivery.content and status != 200 and delivery.attempt < self.settings.attempts:
                    due = time.monotonic() + self.settings.retry_seconds
                    heapq.heappush(self._queue, replace(delivery, due=due, attempt=delivery.attempt + 1))

    def _send(self, delivery: Delivery) -> tuple[int | None, str]:
        """The status of the merchant's answer, or None and why there is none."""
        headers = {"User-Agent": "Chapa"}
        if delivery.content:
            headers |= {"Content-Type": "application/json", **signatures(delivery.content, delivery.secret)}
        request = urllib.request.Request(delivery.url, data=delivery.content, headers=headers)  # noqa: S310 - http(s) alone, by `is_url`
        try:
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), Unmoved(),
                urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self._trust)),
            )
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return int(answer.status), ""
        except urllib.error.HTTPError as error:
            return error.code, ""
        except (OSError, ValueError) as error:
            return None, str(error)


class Unmoved(urllib.request.HTTPRedirectHandler):
    """An answer that sends elsewhere is no acknowledgement, and the elsewhere is not asked."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow nothing."""
