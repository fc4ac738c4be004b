"""Clients that mean harm, or know no better."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamReset

from tests.fleet.edges import ANSWER_SECONDS, Door

HARMS = 20  # connections a second


@contextmanager
def slow_clients(door: Door, count: int) -> Iterator[list[ssl.SSLSocket]]:
    """Connections that have begun a request and never end it (slowloris)."""
    context, held = door.context("http/1.1"), []
    try:
        for _ in range(count):
            connection = door.connect(context=context)
            connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {door.domain}\r\nX-".encode())
            held.append(connection)
        yield held
    finally:
        for connection in held:
            connection.close()


@contextmanager
def harming(door: Door, data: bytes) -> Iterator[list[ssl.SSLSocket]]:
    """Clients that say the same again and again, each time over a new connection, HARMS times a second in all; and are
    answered, or it is an error."""
    stop, said = threading.Event(), list[bytes]()

    def harm() -> None:
        while not stop.wait(2 / HARMS):
            with suppress(OSError):
                said.append(door.say(data)[:12])

    threads = [threading.Thread(target=harm, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield []
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=2 * ANSWER_SECONDS)
    assert len(said) > HARMS / 2, "hardly any harm was done"


def is_open(connection: ssl.SSLSocket) -> bool:
    """Whether the other side has neither answered nor closed."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False
    return False


def ask2(door: Door, headers: dict[str, str], body: bytes) -> int:
    """One request by HTTP/2 as it is, however little it is one; the answer's status, or 0 where it broke off."""
    config = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    protocol = H2Connection(config)
    whole = {":method": "GET", ":scheme": "https", ":authority": door.domain, ":path": "/"} | headers
    with door.connect("h2") as connection:
        protocol.initiate_connection()
        protocol.send_headers(1, list(whole.items()))
        protocol.send_data(1, body, end_stream=True)
        connection.sendall(protocol.data_to_send())
        while True:
            try:
                data = connection.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                return 0
            if not data:
                return 0
            for event in protocol.receive_data(data):
                if isinstance(event, ResponseReceived):
                    return int(dict(event.headers)[b":status"])
                if isinstance(event, StreamReset | ConnectionTerminated):
                    return 0
            connection.sendall(protocol.data_to_send())
