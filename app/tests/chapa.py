"""The payment provider's stand-in, as the sandbox has it, started by its path in a process of its own."""

import hashlib
import hmac
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.postgres import die_with_parent

PROGRAM = Path(__file__).resolve().parents[2] / "lab/outside/payments"
SECRET_KEY, WEBHOOK_SECRET = "a key of the tests", "a secret of the tests"


class Chapa:
    """A stand-in that runs; `url` is where. With a certificate, which is its own authority, it speaks TLS."""

    def __init__(self, certificate: Path | None = None, key: Path | None = None) -> None:
        tls = ("--certificate", str(certificate), "--key", str(key)) if certificate else ("--plain",)
        self.server = subprocess.Popen(
            [
                *(sys.executable, str(PROGRAM), "--port", "0"),
                *("--secret-key", SECRET_KEY, "--webhook-secret", WEBHOOK_SECRET, "--retry-seconds", "0.1"),
                *tls,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        assert self.server.stdout
        port = int(self.server.stdout.readline())
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        trust = ssl.create_default_context(cafile=certificate)
        self.http = httpx.Client(base_url=self.url, timeout=10, verify=trust, trust_env=False)

    def stop(self) -> None:
        """Ends it."""
        self.http.close()
        self.server.kill()
        self.server.communicate()

    def control(self, verb: str, **fields: Any) -> None:
        """One of its control interface's verbs; lab/outside/payments says which there are."""
        assert self.http.post(f"/control/{verb}", json=fields).status_code == 200

    def fail(self, endpoint: str, kind: str, times: int = 1, seconds: float = 30) -> None:
        """Lets the next calls go wrong."""
        self.control("fail", endpoint=endpoint, kind=kind, times=times, seconds=seconds)

    def calls(self, endpoint: str) -> list[dict[str, Any]]:
        """What it was asked, oldest first."""
        calls: list[dict[str, Any]] = self.http.get("/control/calls").json()
        return [call for call in calls if call["endpoint"] == endpoint]

    def transactions(self) -> dict[str, dict[str, Any]]:
        """What it knows, by our reference."""
        return {each["tx_ref"]: each for each in self.http.get("/control/transactions").json()}

    def press(self, checkout_url: str, outcome: str = "success") -> None:
        """What a guest does at the checkout: "success" pays, "failed" does not."""
        assert self.http.post(checkout_url, data={"outcome": outcome}).status_code in (200, 303)


def event(reference: Any, **fields: Any) -> bytes:
    """A webhook's body."""
    return json.dumps({"event": "charge.success", "status": "success", "tx_ref": reference} | fields).encode()


def signature(body: bytes, secret: str = WEBHOOK_SECRET) -> str:
    """The x-chapa-signature of a body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
