"""The commands that time runs: one line each, and a second run does nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from threading import Timer

import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone

from booking.accounts.models import LoginEvent, User
from booking.bookings.models import Booking, IdempotentAnswer
from booking.listings.models import Listing
from tests.helpers import client_of, day, stay
from tests.test_idempotency import book


def run(capsys: pytest.CaptureFixture[str], name: str) -> str:
    """What a command prints."""
    call_command(name)
    return capsys.readouterr().out


def test_expire_holds(guest: User, listing: Listing, capsys: pytest.CaptureFixture[str]) -> None:
    client_of(guest).post("/api/v1/bookings/", stay(listing))
    Booking.objects.update(status="pending", expires_at=timezone.now())
    assert [run(capsys, "expire_holds") for _ in range(2)] == ["holds expired: 1\n", "holds expired: 0\n"]


def test_complete_stays(guest: User, listing: Listing, capsys: pytest.CaptureFixture[str]) -> None:
    client_of(guest).post("/api/v1/bookings/", stay(listing))
    Booking.objects.update(check_in=day(-2), check_out=day(0))
    lines = [run(capsys, "complete_stays") for _ in range(2)]
    assert lines == ["stays completed: 1\n", "stays completed: 0\n"]


def test_prune(guest: User, listing: Listing, capsys: pytest.CaptureFixture[str]) -> None:
    for number, age in enumerate((6, 8)):
        book(guest, stay(listing, 1 + number, 2 + number), f"key {number}")
        answers = IdempotentAnswer.objects.filter(key=f"key {number}")
        answers.update(created_at=timezone.now() - timedelta(days=age))
    LoginEvent.objects.create(user=guest, succeeded=True)
    LoginEvent.objects.update(at=timezone.now() - timedelta(days=400))
    assert [run(capsys, "prune") for _ in range(2)] == [
        "deleted: answers 1, messages 0, logins 1; requests counted: 0\n",
        "deleted: answers 0, messages 0, logins 0; requests counted: 0\n",
    ]
    assert IdempotentAnswer.objects.get().key == "key 0"
    assert str(IdempotentAnswer.objects.get()) == f"{guest.pk}: key 0"


# --- Celery's configuration, in a process of its own -----------------------------------------------------


def python(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    """A process with the settings of the tests, or with those of `environ` beside them."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_broker_is_trusted_by_its_authority_and_by_its_name(tmp_path: Path) -> None:
    code = (
        "import json; from config.celery import app, QUEUE, DEAD; c = app.conf;"
        "print(json.dumps([c.broker_url, {k: str(v) for k, v in c.broker_use_ssl.items()},"
        " QUEUE.queue_arguments, DEAD.queue_arguments]))"
    )
    (tmp_path / "rabbitmq_password").write_text("p/w@d\n")
    secrets = {"CREDENTIALS_DIRECTORY": "", "RABBITMQ_PASSWORD_FILE": str(tmp_path / "rabbitmq_password")}
    for name in ("secret_key", "database_password", "redis_password"):
        secrets[f"{name.upper()}_FILE"] = f"{os.environ['CREDENTIALS_DIRECTORY']}/{name}"
    broker = {
        "BOOKING_BROKER_TLS_CA": "/ca.pem",
        "BOOKING_BROKER_HOST": "mq.example",
        "BOOKING_BROKER_PORT": "",
    }
    out, err = python("-c", code, **secrets, **broker).communicate(timeout=30)
    assert json.loads(out or err) == [
        "amqps://booking:p%2Fw%40d@mq.example:5671/booking",
        {"ca_certs": "/ca.pem", "cert_reqs": "2", "server_hostname": "mq.example"},
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": 5,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "booking.dead",
        },
        {"x-queue-type": "quorum"},
    ]


def test_a_worker_waits_for_its_broker_logs_as_the_service_does_and_ends_when_told(tmp_path: Path) -> None:
    options = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--concurrency=1")
    worker = python(
        *("-W", "ignore", "-m", "celery", "--quiet", "--app", "config.celery", "worker"), *options
    )
    assert worker.stderr
    first = json.loads(worker.stderr.readline())
    assert "Connection refused" in first["message"]
    assert first["level"] == "error"
    time.sleep(0.1)
    worker.send_signal(signal.SIGTERM)
    _, rest = worker.communicate(timeout=30)
    assert worker.returncode == 0, rest


@pytest.mark.parametrize("woken", [True, False], ids=["it is woken", "control"])
def test_a_signal_ends_the_wait_of_a_worker_that_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch, woken: bool
) -> None:
    from kombu.asynchronous import Hub

    from booking.outbox import worker

    hub, (quiet, other), before = Hub(), socket.socketpair(), signal.set_wakeup_fd(-1)
    hub.add_reader(quiet, quiet.recv, 1)
    hub.timer.call_after(2, lambda: None)
    monkeypatch.setattr(worker, "get_event_loop", lambda: hub)
    handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        if woken:
            worker.wake_at_signals()
        began = time.monotonic()
        Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        next(hub.create_loop())
        assert (time.monotonic() - began < 1.5) == woken
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGUSR1, handler)
        hub.close()
        for end in (quiet, other):
            end.close()


def test_no_part_of_the_service_that_serves_imports_what_only_workers_and_payments_need() -> None:
    code = (
        "import sys, django; django.setup(); import config.urls;"
        "print([name for name in ('celery', 'kombu', 'httpx', 'tenacity') if name in sys.modules])"
    )
    out, err = python("-c", code).communicate(timeout=30)
    assert out == "[]\n", err
