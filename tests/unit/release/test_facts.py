"""What a host and a balancer are asked before a deploy: the clock, and the certificate."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.release import facts

from .asked import WANTED, Remote


@pytest.mark.parametrize(("clock", "least", "most"), [(0.0, 0.0, 0.0), (60.0, 59.0, 60.0), (-60.0, -60.0, -59.0)])
def test_a_clocks_difference_does_not_hold_the_round_trip(clock: float, least: float, most: float) -> None:
    loose: Any = facts.ask_host
    assert least <= loose(Remote("web1", clock=clock), 0, 0, locked=True).ahead <= most


@contextlib.contextmanager
def _server(folder: Path, days: int, name: str = "booking.example") -> Iterator[int]:
    """A TLS server on 127.0.0.1 whose own certificate ends in so many days; gives its port."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", str(days), "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                        secure.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_the_handshake_counts_the_days_of_a_certificate_that_is_valid(tmp_path: Path) -> None:
    wanted = dataclasses.replace(WANTED, ca_file=str(tmp_path / "ca.pem"))
    with _server(tmp_path, 10) as port:
        assert 9.9 < facts.handshake("127.0.0.1", port, "lb1", wanted).days <= 10
        assert "signed" in facts.handshake("127.0.0.1", port, "lb1", WANTED).invalid, "of an authority nobody knows"


def test_the_handshake_refuses_another_name_and_a_closed_port(tmp_path: Path) -> None:
    wanted = dataclasses.replace(WANTED, ca_file=str(tmp_path / "ca.pem"))
    with _server(tmp_path, 10, "other.example") as port:
        assert "mismatch" in facts.handshake("127.0.0.1", port, "lb1", wanted).invalid
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    closed = facts.handshake("127.0.0.1", port, "lb1", wanted)
    assert (closed.days, closed.invalid) == (0.0, "")
    assert f"port {port}" in closed.error
