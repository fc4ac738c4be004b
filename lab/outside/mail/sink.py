"""The server: aiosmtpd does the protocol, here is what it answers and where messages go."""

from __future__ import annotations

import argparse
import asyncio
import json
import mailbox
import signal
import ssl
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

BEHAVIOUR = "behaviour.json"
NAME = "mail.test"
OK = "250 2.0.0 Accepted"
MESSAGES = {4: "4.3.0 Try again later", 5: "5.7.1 Not accepted"}


@dataclass(frozen=True)
class Behaviour:
    """What goes wrong; see the package. *times* None: until the file is taken away."""

    kind: str
    code: int = 451
    at: str = "rcpt"
    seconds: float = 0.0
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("refuse", "slow", "lose"):
            raise ValueError(f"kind {self.kind!r} must be refuse, slow or lose")
        if self.at not in ("rcpt", "data") or not 400 <= self.code <= 599:
            raise ValueError(f"at {self.at!r} must be rcpt or data, code {self.code!r} from 400 to 599")
        if self.seconds < 0 or (self.times is not None and self.times < 1):
            raise ValueError("seconds must not be negative, times must be 1 or more")

    @property
    def refusal(self) -> str:
        """The line that refuses."""
        return f"{self.code} {MESSAGES[self.code // 100]}"


class Sink:
    """Keeps what comes in the Maildir *folder*."""

    def __init__(self, folder: Path) -> None:
        self._behaviour = folder / BEHAVIOUR
        for name in ("tmp", "new", "cur"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._box = mailbox.Maildir(folder)

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]  # noqa: ARG002 - as above
    ) -> str:
        """Anybody is a recipient, unless told otherwise."""
        try:
            if wrong := self._next("refuse", "rcpt"):
                return wrong.refusal
        except ValueError as error:
            return f"451 4.3.5 {error}"
        envelope.rcpt_tos.append(address)
        return OK

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        """Keep the message, unless told otherwise."""
        try:
            if wrong := self._next("refuse", "data"):
                return wrong.refusal
            if wrong := self._next("slow"):
                await asyncio.sleep(wrong.seconds)
            lost = self._next("lose")
        except ValueError as error:
            return f"451 4.3.5 {error}"
        self._box.add(stamped(session, envelope))
        if lost and isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
        return OK

    def _next(self, kind: str, at: str = "") -> Behaviour | None:
        """What goes wrong now, if it is of this kind; counts it. ValueError: the file cannot be understood."""
        try:
            text = self._behaviour.read_text()
        except FileNotFoundError:
            return None
        try:
            found = Behaviour(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{BEHAVIOUR} cannot be understood: {' '.join(str(error).split())}") from error
        if found.kind != kind or (at and found.at != at):
            return None
        if found.times == 1:
            self._behaviour.unlink()
        elif found.times:
            partial = self._behaviour.with_suffix(".partial")
            partial.write_text(json.dumps(asdict(found) | {"times": found.times - 1}))
            partial.rename(self._behaviour)
        return found


def stamped(session: Session, envelope: Envelope) -> bytes:
    """The message as it came, under the envelope that it came in."""
    login = session.auth_data.login if isinstance(session.auth_data, LoginPassword) else b""
    lines = [f"X-Envelope-From: {envelope.mail_from or ''}", f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}"]
    lines += [f"X-Envelope-Login: {login.decode(errors='replace')}"] if login else []
    content = envelope.original_content or b""
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + content


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:  # noqa: ARG001 - aiosmtpd's own form
    """Any user and password are right."""
    return AuthResult(success=True, auth_data=data)


async def serve(sink: Sink, host: str, port: int, tls: ssl.SSLContext | None, *, auth_required: bool) -> None:
    """Listen until told to end; prints the port."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(
            sink, hostname=NAME, ident="ESMTP", tls_context=tls, require_starttls=tls is not None,
            auth_require_tls=tls is not None, auth_required=auth_required, authenticator=authenticate,
            enable_SMTPUTF8=True, loop=loop,
        )

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(session, host=host or None, port=port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="mail", description="A mail server that keeps everything for tests.")
    parser.add_argument("--mailbox", type=Path, required=True, help="a Maildir; made where it is missing")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; empty: every one, of both families")
    parser.add_argument("--port", type=int, default=587, help="0 takes a free one; it is the first line printed")
    parser.add_argument("--plain", action="store_true", help="no STARTTLS")
    parser.add_argument("--certificate", help="PEM file; needed for STARTTLS, with --key")
    parser.add_argument("--key", help="PEM file")
    parser.add_argument("--auth-required", action="store_true", help="accept mail after a login alone")
    options = parser.parse_args(arguments)
    tls = None
    if not options.plain:
        if not (options.certificate and options.key):
            parser.error("STARTTLS needs --certificate and --key; --plain goes without")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    sink = Sink(options.mailbox)
    asyncio.run(serve(sink, options.host, options.port, tls, auth_required=options.auth_required))
    return 0
