"""The wire: HTTP and TLS, with the failures on demand between a request and its answer."""

from __future__ import annotations

import argparse
import socket
import ssl
import sys
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from .api import SECRET_KEY, Answer, Chapa, Request, said
from .ledger import UNPAID, is_url
from .webhooks import Sender, Settings

WEBHOOK_SECRET = "sandbox-webhook-secret"  # noqa: S105 - of a stand-in, which guards nothing
LARGEST = 1 << 20  # bytes of a request's body
IDLE_SECONDS = 60


class Handler(BaseHTTPRequestHandler):
    """One connection. Failures on demand come between the request and its answer."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: Server

    def do_GET(self) -> None:
        """Answer, or fail as asked."""
        self._serve()

    def do_POST(self) -> None:
        """As do_GET."""
        self._serve()

    def _serve(self) -> None:
        length = self.headers.get("Content-Length") or "0"
        if not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True
            self._send(Answer(413, said("The request is too large", "failed", None)))
            return
        chapa, path = self.server.chapa, urlsplit(self.path).path
        host = self.headers.get("Host") or "{}:{}".format(*self.server.server_address[:2])
        route = chapa.route(self.command, path)
        name, reference, does = route or ("unknown", "", lambda _: Answer(404, said("Not found", "failed", None)))
        request = Request(
            self.command, path, reference, {key.lower(): value for key, value in self.headers.items()},
            self.rfile.read(int(length)), f"{self.server.scheme}://{host}",
        )
        if not name:
            self._send(chapa.answer(request, does))
            return
        call = chapa.record(name, request)
        failure = chapa.trouble.next(name)
        kind = failure.kind if failure else ""
        if kind == "drop":
            self._drop()
            return
        if kind == "500":
            answer = Answer(500, said("Server Error", "failed", None))
        elif kind == "unpaid":
            answer = Answer(404, said(UNPAID, None, None))
        else:
            answer = chapa.answer(request, does)
        if failure and kind == "hang":
            chapa.trouble.hang(failure.seconds)
        if kind == "lost":
            self._drop()
            return
        call["status"] = answer.status
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        content, headers = answer.encode()
        self.send_response(answer.status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Cache-Control": "no-store"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _drop(self) -> None:
        """Close the connection without a word."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 - the base's own form
        """One line to the journal, without the query."""
        self.log_message("%s %s %s", self.command, urlsplit(self.path).path, str(code))


class Server(ThreadingHTTPServer):
    """Listens. *host* may be an address of either family; "::" takes both."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, chapa: Chapa, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.chapa, self.scheme = chapa, "https" if tls else "http"
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)
        if tls:
            # The handshake is the connection's own affair: one that never comes must not keep all others waiting.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def server_bind(self) -> None:
        """Bind, for both families where the address allows it."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is its own affair; anything else is a defect and is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def url(text: str) -> str:
    """An argument that is a URL, or empty."""
    if text and not is_url(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an http or https address")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="payments", description="A stand-in for Chapa's payment API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; :: takes both families")
    parser.add_argument("--port", type=int, default=8443, help="0 takes a free one; it is the first line printed")
    parser.add_argument("--plain", action="store_true", help="no TLS")
    parser.add_argument("--certificate", help="PEM file; needed for TLS, with --key")
    parser.add_argument("--key", help="PEM file")
    parser.add_argument("--secret-key", default=SECRET_KEY, help="the merchant's Bearer key")
    parser.add_argument("--webhook-url", type=url, default="", help="the merchant's webhook; none by default")
    parser.add_argument("--webhook-secret", default=WEBHOOK_SECRET, help="what webhooks are signed with")
    parser.add_argument("--retry-seconds", type=float, default=600.0, help="between attempts of a webhook")
    parser.add_argument("--trust", help="PEM file that verifies the merchant's TLS")
    options = parser.parse_args(arguments)
    tls = None
    if not options.plain:
        if not (options.certificate and options.key):
            parser.error("TLS needs --certificate and --key; --plain goes without")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    settings = Settings(url=options.webhook_url, retry_seconds=options.retry_seconds)
    chapa = Chapa(Sender(options.webhook_secret, settings, options.trust), options.secret_key)
    server = Server(chapa, options.host, options.port, tls)
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 130
    return 0
