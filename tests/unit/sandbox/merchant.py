"""A merchant of the sandbox's payment provider: what it asks, and what it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

from lab.outside.payments.api import SECRET_KEY
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
