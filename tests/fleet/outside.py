"""Clients of the stand-ins at `outside`: the payment provider's control interface, a customer at its checkout page, and
the mailbox. They work on a sandbox and on a stand-in that a test started itself."""

from __future__ import annotations

import json
import re
import shutil
import ssl
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import httpx

from lab.inventory import CHAPA_HOST
from lab.state import Lab

Endpoint = Literal["initialize", "verify", "refund", "verify-refund", "checkout", "pay", "any"]
Kind = Literal["500", "drop", "hang", "lost", "unpaid"]
Mode = Literal["on", "off", "twice", "late", "forged", "refund-first", "failed-after"]

TIMEOUT_SECONDS = 10
PAYMENTS_PORT = 8443
MAIL_FOLDER = "var/lib/outside/mail"
# What orders the names in a Maildir: seconds, microseconds, process and count (https://cr.yp.to/proto/maildir.html).
NUMBERS = re.compile(r"\d+(?=[.MPQ])|(?<=Q)\d+")


class Payments:
    """The stand-in of Chapa. *url* is where it answers; *address*, in its name's place, needs no resolver; *authority*
    is the file that verifies its TLS."""

    def __init__(self, url: str, *, address: str = "", authority: str | Path = "") -> None:
        self.url = url
        self._name = urlsplit(url).hostname or ""
        self._address = address
        # Nobody but that authority is trusted.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as the hosts' Python does of itself
        if authority:
            context.load_verify_locations(authority)
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, verify=context, trust_env=False)

    @classmethod
    def of(cls, lab: Lab) -> Payments:
        """The one of a sandbox, asked at its own address."""
        return cls(f"https://{CHAPA_HOST}:{PAYMENTS_PORT}", address=lab.topology.outside.ipv4,
                   authority=lab.directory / "outside/ca.pem")

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """One request, as its own clients make it; *url* may be relative. Redirects are not followed."""
        whole = httpx.URL(urljoin(self.url, url))
        headers = dict(options.pop("headers", {}))
        if self._address and whole.host == self._name:
            headers["Host"] = whole.netloc.decode()
            whole = whole.copy_with(host=self._address)
        return self._http.request(method, whole, headers=headers, extensions={"sni_hostname": self._name}, **options)

    def fail_next(self, endpoint: Endpoint, kind: Kind, times: int = 1, *, seconds: float = 30) -> None:
        """Let the next calls of an endpoint go wrong; `lab.outside.payments` says how."""
        self._control("fail", {"endpoint": endpoint, "kind": kind, "times": times, "seconds": seconds})

    def down(self) -> None:
        """Drop every call until `up`."""
        self._control("down")

    def up(self) -> None:
        """End `down`."""
        self._control("up")

    def webhooks(self, mode: Mode | None = None, **settings: str | float) -> None:
        """Change how webhooks are sent; `lab.outside.payments` says what there is."""
        self._control("webhooks", settings | ({"mode": mode} if mode else {}))

    def resend(self, tx_ref: str) -> None:
        """Send a transaction's latest event again."""
        self._control("resend", {"tx_ref": tx_ref})

    def reset(self) -> None:
        """Let it forget everything."""
        self._control("reset")

    def transactions(self) -> list[dict[str, Any]]:
        """Every transaction, in the order of their initialisation."""
        return list(self._show("transactions"))

    def transaction(self, tx_ref: str) -> dict[str, Any]:
        """One transaction. KeyError: there is none."""
        found = {each["tx_ref"]: each for each in self.transactions()}
        return dict(found[tx_ref])

    def calls(self, endpoint: Endpoint = "any") -> list[dict[str, Any]]:
        """Every call that it received, or those of one endpoint, oldest first."""
        return [each for each in self._show("calls") if endpoint in ("any", each["endpoint"])]

    def deliveries(self, event: str = "") -> list[dict[str, Any]]:
        """Every webhook and callback that was tried, or those of one event, oldest first."""
        return [each for each in self._show("webhooks")["deliveries"] if event in ("", each["event"])]

    def pay(self, checkout_url: str) -> str:
        """Pay as a customer whose browser runs no script; where that leads (empty: nowhere)."""
        return str(self.press(checkout_url, "Pay").headers.get("Location", ""))

    def cancel(self, checkout_url: str) -> None:
        """Cancel as such a customer."""
        self.press(checkout_url, "Cancel")

    def press(self, checkout_url: str, label: str) -> httpx.Response:
        """Open the page, press its button *label*. AssertionError: there is no page, or no such button."""
        page = self.request("GET", checkout_url)
        assert page.status_code == 200, f"{checkout_url} answered {page.status_code}"
        form = Form.of(page.text)
        assert label in form.buttons, f"{checkout_url} has no button {label!r}, but {sorted(form.buttons)}"
        return self.request(form.method, urljoin(checkout_url, form.action), data=dict([form.buttons[label]]))

    def _control(self, verb: str, fields: dict[str, Any] | None = None) -> None:
        answer = self.request("POST", f"/control/{verb}", json=fields or {})
        assert answer.status_code == 200, f"{verb} {fields}: {answer.status_code} {answer.text}"

    def _show(self, what: str) -> Any:
        answer = self.request("GET", f"/control/{what}")
        assert answer.status_code == 200, f"{what}: {answer.status_code} {answer.text}"
        return answer.json()


class Form(HTMLParser):
    """The one form of a page: where it goes, and what each button sends, by its label."""

    def __init__(self) -> None:
        super().__init__()
        self.method, self.action = "", ""
        self.buttons: dict[str, tuple[str, str]] = {}
        self._pressed: tuple[str, str] | None = None

    @classmethod
    def of(cls, page: str) -> Form:
        """Read a page."""
        form = cls()
        form.feed(page)
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A form or a button begins."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.method, self.action = given.get("method", "get").upper(), given.get("action", "")
        elif tag == "button":
            self._pressed = given.get("name", ""), given.get("value", "")

    def handle_data(self, data: str) -> None:
        """A button's label."""
        if self._pressed:
            self.buttons[data.strip()] = self._pressed
            self._pressed = None


@dataclass(frozen=True)
class Mail:
    """A message as the mail server got it: the envelope, and what was in it. *login*: empty without one."""

    sender: str
    recipients: tuple[str, ...]
    login: str
    message: EmailMessage

    @property
    def subject(self) -> str:
        """Its subject."""
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """Its plain text, lines ended by \\n; empty where it has none."""
        part = self.message.get_body(("plain",))
        return str(part.get_content()).replace("\r\n", "\n") if part else ""


class Mailbox:
    """The mail server's Maildir at *folder*, read as files: no network, and none of the server's time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, lab: Lab) -> Mailbox:
        """The one of a sandbox."""
        return cls(lab.host_root(lab.topology.outside) / MAIL_FOLDER)

    def messages(self) -> list[Mail]:
        """Everything that came, oldest first; what was sent twice is there twice."""
        files = sorted((self.folder / "new").iterdir(), key=lambda path: [int(n) for n in NUMBERS.findall(path.name)])
        return [_parsed(path.read_bytes()) for path in files]

    def by_recipient(self, address: str) -> list[Mail]:
        """What came for *address*, oldest first."""
        return [mail for mail in self.messages() if address in mail.recipients]

    def refuse(self, code: int = 451, *, at: Literal["rcpt", "data"] = "rcpt", times: int | None = None) -> None:
        """Answer with *code* (4xx: try again, 5xx: never), the next *times* or until `accept`."""
        self._behave({"kind": "refuse", "code": code, "at": at, "times": times})

    def slow(self, seconds: float, *, times: int | None = None) -> None:
        """Answer so much later."""
        self._behave({"kind": "slow", "seconds": seconds, "times": times})

    def lose(self, *, times: int | None = None) -> None:
        """Keep messages, but close the connection before the answer."""
        self._behave({"kind": "lose", "times": times})

    def accept(self) -> None:
        """All is well again."""
        self._file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Throw away what came, and all is well again."""
        self.accept()
        for path in (self.folder / "new").iterdir():
            path.unlink()

    @property
    def _file(self) -> Path:
        return self.folder / "behaviour.json"

    def _behave(self, behaviour: dict[str, Any]) -> None:
        partial = self._file.with_suffix(".new")
        partial.write_text(json.dumps(behaviour))
        owner = self.folder.stat()
        shutil.chown(partial, owner.st_uid, owner.st_gid)
        partial.rename(self._file)


def _parsed(content: bytes) -> Mail:
    message = BytesParser(policy=policy.default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    recipients = tuple(address.strip() for address in str(message["X-Envelope-To"]).split(","))
    return Mail(str(message["X-Envelope-From"]), recipients, str(message["X-Envelope-Login"] or ""), message)
