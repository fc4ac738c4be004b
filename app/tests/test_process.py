"""The service as it runs: gunicorn on a socket, preloaded, in front of a database that comes and goes."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.helpers import RELEASE, at_once
from tests.postgres import USER, Cluster

WORKERS = THREADS = 2
GUNICORN = ("-m", "gunicorn", "--preload", "--config", "config/gunicorn.py", "--worker-tmp-dir", "/dev/shm")
GRACEFUL_SECONDS = 5
START_SECONDS = 20


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("booking.example", timeout=10)
        self.path = path

    def connect(self) -> None:
        """Connects to the socket instead of the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Server:
    """A gunicorn of two workers with its socket and its log in `directory`."""

    def __init__(self, directory: Path, application: str = "config.wsgi:application", **environ: str) -> None:
        self.socket, self.log = directory / "web.sock", directory / "log"
        options = [f"--workers={WORKERS}", f"--threads={THREADS}", f"--bind=unix:{self.socket}"]
        # A worker that is told to end in the moment of its fork does not hear it: gunicorn ends it after
        # this time, which has to be well within what `stop` waits.
        options.append(f"--graceful-timeout={GRACEFUL_SECONDS}")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *GUNICORN, *options, application],
                cwd=settings.BASE_DIR,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environ},
                stdout=log,
                stderr=log,
            )

    def get(self, path: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body of a GET, over a connection of its own."""
        web = Connection(self.socket)
        try:
            web.request("GET", path)
            answer = web.getresponse()
            return answer.status, dict(answer.getheaders()), json.loads(answer.read())
        finally:
            web.close()

    def answer(self, path: str) -> tuple[int, dict[str, str], Any]:
        """As `get`, once the server answers at all."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.get(path)
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"gunicorn does not answer:\n{self.log.read_text()}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Ends it as systemd would."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=START_SECONDS)


@pytest.fixture
def serve(cluster: Cluster) -> Iterator[Callable[..., Server]]:
    """Starts servers; they end with the test."""
    directory = Path(tempfile.mkdtemp(prefix="booking-web-", dir="/tmp"))
    servers: list[Server] = []

    def start(*arguments: str, **environ: str) -> Server:
        servers.append(Server(directory, *arguments, **environ))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
    shutil.rmtree(directory)


@pytest.mark.django_db(transaction=True)
def test_it_serves_and_turns_red_and_green_with_the_database_without_a_restart(
    serve: Callable[..., Server], cluster: Cluster
) -> None:
    server = serve(
        BOOKING_DATABASE_HOST=str(cluster.directory), BOOKING_DATABASE_NAME=connection.settings_dict["NAME"]
    )
    status, headers, body = server.answer("/readyz")
    assert (status, body["status"], headers["X-Release-Id"]) == (200, "degraded", RELEASE)
    assert [server.get("/api/v1/listings/")[0] for _ in range(10)] == 10 * [200]
    connection.close()
    cluster.stop()
    try:
        down = [server.get("/readyz")[0] for _ in range(6)]
        refused = server.get("/api/v1/listings/")
        alive = server.get("/healthz")[0]
    finally:
        cluster.start()
    assert down == 6 * [503]
    assert (refused[0], refused[2]["error"]["code"], refused[1]["Retry-After"]) == (503, "try_again", "1")
    assert alive == 200
    assert [server.get("/readyz")[0] for _ in range(10)] == 10 * [200]
    assert server.get("/nothing")[1]["X-Release-Id"] == RELEASE
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {line["release"] for line in lines} == {RELEASE}
    assert "gunicorn.error" in {line["logger"] for line in lines}


def connections(cluster: Cluster) -> int:
    """How many connections servers have open; the tests' own bears the same name and is not counted."""
    with psycopg.connect(
        host=str(cluster.directory), user=USER, dbname=connection.settings_dict["NAME"]
    ) as watcher:
        row = watcher.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [f"booking {RELEASE}"]
        ).fetchone()
    assert row
    return int(row[0]) - (connection.connection is not None)


@pytest.mark.django_db(transaction=True)
def test_no_connection_is_opened_before_the_fork_and_each_thread_keeps_at_most_one(
    serve: Callable[..., Server], cluster: Cluster
) -> None:
    server = serve(
        BOOKING_DATABASE_HOST=str(cluster.directory), BOOKING_DATABASE_NAME=connection.settings_dict["NAME"]
    )
    server.answer("/healthz")
    assert connections(cluster) == 0
    assert at_once(8, lambda _: [server.get("/readyz")[0] for _ in range(5)]) == 8 * [5 * [200]]
    assert 1 <= connections(cluster) <= WORKERS * THREADS


@pytest.mark.django_db(transaction=True)
def test_control_a_connection_opened_before_the_fork_is_seen(
    serve: Callable[..., Server], cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "eager.py").write_text(
        "from config.wsgi import application\n"
        "from django.db import connection\n"
        "connection.ensure_connection()\n"
    )
    server = serve(
        "eager:application",
        PYTHONPATH=str(tmp_path),
        BOOKING_DATABASE_HOST=str(cluster.directory),
        BOOKING_DATABASE_NAME=connection.settings_dict["NAME"],
    )
    server.answer("/healthz")
    assert connections(cluster) == 1


def test_a_build_that_is_told_to_serve_ends_with_its_reason(serve: Callable[..., Server]) -> None:
    server = serve(BOOKING_BUILD="1")
    assert server.process.wait(timeout=START_SECONDS) != 0
    assert "BOOKING_BUILD is set" in server.log.read_text()


@pytest.mark.parametrize(("status", "well"), [(200, True), (400, False), (301, False)], ids=str)
def test_a_container_is_asked_under_the_name_of_the_service(
    monkeypatch: pytest.MonkeyPatch, status: int, well: bool
) -> None:
    from config import healthcheck

    heard: list[tuple[str, str | None, str | None]] = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append((self.path, self.headers["Host"], self.headers["X-Forwarded-Proto"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("PORT", str(server.server_port))
        monkeypatch.setenv("BOOKING_ALLOWED_HOSTS", " .booking.example, other.example")
        if well:
            healthcheck.main()
        else:
            with pytest.raises(HTTPError):
                healthcheck.main()
    assert heard == [("/healthz", "booking.example", "https")]
