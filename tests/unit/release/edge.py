"""A load balancer on this machine, with TLS: answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.release.settings import Settings
from deploy.release.verify import tag

from .fleet import SETTINGS


@dataclass(frozen=True)
class Reply:
    """What a request gets: status, release and host; "" for an answer without. seconds: how long it takes. cut: its
    connection ends instead."""

    release: str = ""
    host: str = ""
    status: int = 200
    seconds: float = 0.0
    cut: bool = False


class Balancer:
    """answer: from the number of a request to its reply."""

    def __init__(self, port: int, settings: Settings) -> None:
        self.port, self.settings = port, settings
        self.answer: Callable[[int], Reply] = lambda number: Reply()
        self.requests: list[tuple[str, str, tuple[str, int]]] = []  # path, agent, the connection's other end
        self.over = threading.Event()


def certificate(folder: Path) -> Path:
    """A self-signed certificate for booking.example, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SETTINGS.domain)])
    now = datetime.now(UTC)
    names = [x509.DNSName(SETTINGS.domain), x509.IPAddress(ipaddress.ip_address("192.0.2.9"))]
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1)).add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "site.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    return path


@contextmanager
def balancer(folder: Path) -> Iterator[Balancer]:
    """A running balancer, and the settings that trust it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number = len(edge.requests)
            edge.requests.append((self.path, self.headers["User-Agent"], self.client_address))
            reply = edge.answer(number)
            if reply.seconds:
                edge.over.wait(reply.seconds)
            if reply.cut:
                self.close_connection = True
                return
            self.send_response(reply.status)
            if reply.release:
                self.send_header("X-Release-Id", reply.release)
            if reply.host:
                self.send_header("X-Served-By", tag(reply.host))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 128

        def handle_error(self, *_: Any) -> None:
            pass  # a client that went away

    pem = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = Server(("127.0.0.1", 0), Handler)
    # the handshake belongs to the connection's own thread: one that hangs must not hold up the others
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    edge = Balancer(server.server_port, replace(SETTINGS, ca_file=str(pem), verify_seconds=10))
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield edge
    finally:
        edge.over.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.005)
