"""The sandbox's payment provider: calls that go wrong on demand, and how it is run."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab import outside
from lab.outside.payments.api import Chapa
from lab.outside.payments.ledger import Ledger, Transaction
from lab.outside.payments.server import WEBHOOK_SECRET, Server
from lab.outside.payments.webhooks import Sender, Settings
from tests.fleet.outside import Payments
from tests.unit.sandbox.merchant import (
    FIELDS,
    RETURN,
    ROOT,
    Merchant,
    api,
    begun,
    initialize,
    refund,
    serving,
    soon,
    verify,
)

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
