"""The outbox on Celery: a broker that says nothing, and one within this process."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from booking.accounts.models import User
from booking.bookings.models import Booking
from booking.listings.models import Listing
from booking.outbox import broker
from booking.outbox.models import Message
from booking.outbox.services import HANDLERS, sweep
from tests.helpers import client_of, stay
from tests.outbox import celery_at, committed, message

pytestmark = pytest.mark.django_db


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A broker that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        app = celery_at(f"amqp://127.0.0.1:{server.getsockname()[1]}//", monkeypatch)
        yield
        app.pool.force_close_all()


@committed
@pytest.mark.usefixtures("silent")
def test_a_broker_that_does_not_answer_costs_a_second_once(guest: User, listing: Listing) -> None:
    client, took = client_of(guest), []
    for first in (1, 3):
        began = time.monotonic()
        assert client.post("/api/v1/bookings/", stay(listing, first, first + 2)).status_code == 201
        took.append(time.monotonic() - began)
    assert 1 < took[0] < 2.5, "one time-out, for the first of two mails"
    assert took[1] < 0.9
    assert Message.objects.count() == 4


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The Celery app, on kombu's broker in memory."""
    from config.celery import QUEUE

    app = celery_at("memory://", monkeypatch)
    yield app
    with app.connection_for_write() as connection:
        QUEUE.bind(connection.default_channel).purge()


@pytest.mark.usefixtures("memory")
def test_what_is_published_waits_in_the_queue_and_the_sweep_sees_it() -> None:
    posted = message()
    assert (broker.waiting(), sweep()) == ((0, 0), 1)
    assert (broker.waiting(), sweep()) == ((1, 0), 0)
    broker.publish([posted.pk])
    assert broker.waiting() == (2, 0)


def test_the_dead_letter_queue_is_emptied(memory: Any) -> None:
    from config.celery import DEAD

    with memory.connection_for_write() as connection:
        dead = DEAD.bind(connection.default_channel)
        dead.declare()
        memory.amqp.Producer(connection.default_channel).publish({}, routing_key=DEAD.name)
    assert broker.waiting() == (0, 1)
    assert broker.empty_dead() == 1
    assert broker.empty_dead() == 0


@committed
def test_a_worker_does_what_a_booking_leaves_behind(
    memory: Any, guest: User, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celery.contrib.testing.worker import start_worker

    sent: list[str] = []
    monkeypatch.setitem(HANDLERS, "mail.booking", lambda each: sent.append(each.key))
    with start_worker(memory, perform_ping_check=False, pool="solo"):
        assert client_of(guest).post("/api/v1/bookings/", stay(listing)).status_code == 201
        deadline = time.monotonic() + 20
        while Message.objects.filter(done_at=None).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    booking = Booking.objects.get().pk
    assert sorted(sent) == [f"mail.confirmed.{booking}.guest", f"mail.confirmed.{booking}.host"]
