"""Work that a transaction leaves behind: none is lost, none is done twice, whoever dies or is away."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from booking.accounts.models import User
from booking.bookings.models import Booking
from booking.listings.models import Listing
from booking.outbox import broker, services
from booking.outbox.models import Message
from booking.outbox.services import ATTEMPTS, HANDLERS, GivenUp, deliver, post, sweep
from tests.helpers import at_once, client_of, stay

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)
KIND = "of the tests"
Act = Callable[[Message], None]


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the work of each key was done."""
    counter: Counter[str] = Counter()
    monkeypatch.setitem(HANDLERS, KIND, lambda message: counter.update([message.key]))
    return counter


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was published, on a broker that takes everything and keeps nothing waiting."""
    keys: list[int] = []
    monkeypatch.setattr(broker, "publish", keys.extend)
    monkeypatch.setattr(broker, "waiting", lambda: (0, 0))
    monkeypatch.setattr(broker, "empty_dead", lambda: 0)
    return keys


def act(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    """Makes all work fail."""

    def fail(message: Message) -> None:
        raise raised

    monkeypatch.setitem(HANDLERS, KIND, fail)


def message(key: str = "once", **fields: Any) -> Message:
    """A message that is due."""
    values = {"kind": KIND, "payload": {}, "due_at": timezone.now()} | fields
    return Message.objects.create(key=key, **values)


def due_in(posted: Message) -> float:
    """Seconds until it is due again."""
    posted.refresh_from_db()
    return (posted.due_at - timezone.now()).total_seconds()


# --- Posting ------------------------------------------------------------------------------------------


@committed
def test_what_is_posted_is_published_when_the_transaction_is_through_and_not_before(
    published: list[int],
) -> None:
    with transaction.atomic():
        assert post(key="once", kind=KIND, payload={"a": 1})
        assert published == []
    assert published == [Message.objects.get(payload={"a": 1}).pk]
    assert str(Message.objects.get()) == "once"


@committed
def test_what_is_rolled_back_was_never_posted(published: list[int]) -> None:
    with transaction.atomic():
        post(key="once", kind=KIND, payload={})
        transaction.set_rollback(True)
    assert not Message.objects.exists()
    assert published == []


@committed
def test_the_same_key_is_posted_once_whoever_posts_it(published: list[int]) -> None:
    assert sorted(at_once(4, lambda _: post(key="once", kind=KIND, payload={}))) == [False] * 3 + [True]
    assert len(published) == Message.objects.count() == 1


@committed
def test_without_a_broker_a_booking_is_made_and_its_mail_waits(
    guest: User, listing: Listing, caplog: pytest.LogCaptureFixture
) -> None:
    assert client_of(guest).post("/api/v1/bookings/", stay(listing)).status_code == 201
    assert Message.objects.filter(done_at=None, dead_at=None).count() == 2
    assert broker.BROKER.failure is not None
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == 2 * [
        "not published"
    ]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@committed
def test_a_defect_in_publishing_is_no_defect_of_the_booking(
    guest: User, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(keys: list[int]) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(broker, "publish", fail)
    assert client_of(guest).post("/api/v1/bookings/", stay(listing)).status_code == 201
    assert Message.objects.count() == 2


def celery_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Celery app, on another broker, until the end of the test."""
    from config.celery import app

    monkeypatch.setattr(app.conf, "broker_url", url)
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    return app


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


# --- Doing --------------------------------------------------------------------------------------------


def test_a_message_is_done_once(done: Counter[str]) -> None:
    posted = message()
    assert [deliver(message=posted.pk) for _ in range(3)] == [True] * 3
    assert done == {"once": 1}
    posted.refresh_from_db()
    assert posted.done_at
    assert (posted.attempts, posted.error) == (1, "")


@committed
def test_of_four_workers_with_the_same_message_one_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    posted, done = message(), []

    def slow(each: Message) -> None:
        done.append(each.key)
        time.sleep(0.3)

    monkeypatch.setitem(HANDLERS, KIND, slow)
    assert at_once(4, lambda _: deliver(message=posted.pk)) == [True] * 4
    assert done == ["once"]


def test_a_message_that_is_not_due_dead_or_not_there_is_left_alone(done: Counter[str]) -> None:
    later = message("later", due_at=timezone.now() + timedelta(seconds=5))
    dead = message("dead", dead_at=timezone.now())
    assert [deliver(message=key) for key in (later.pk, dead.pk, 10**9)] == [True] * 3
    assert not done


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 10), (1, 20), (2, 40), (8, 2560), (9, 3600), (ATTEMPTS - 2, 3600)]
)
def test_what_fails_is_tried_again_later_and_later(
    monkeypatch: pytest.MonkeyPatch, attempts: int, seconds: int
) -> None:
    act(monkeypatch, OSError("no\x00route " + "x" * 300))
    posted = message(attempts=attempts)
    assert deliver(message=posted.pk)
    assert seconds - 5 < due_in(posted) <= seconds
    assert (posted.attempts, posted.done_at, posted.dead_at) == (attempts + 1, None, None)
    assert posted.error.startswith("OSError('no\\x00route")


def test_after_its_last_attempt_a_message_is_dead(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    act(monkeypatch, OSError("no route"))
    posted = message(attempts=ATTEMPTS - 1)
    assert not deliver(message=posted.pk)
    posted.refresh_from_db()
    assert posted.dead_at
    assert deliver(message=posted.pk), "and stays so"
    assert "manage.py replay_dead" in caplog.text


def test_what_can_never_succeed_is_dead_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, GivenUp("no such recipient"))
    posted = message()
    assert not deliver(message=posted.pk)
    posted.refresh_from_db()
    assert posted.dead_at
    assert "no such recipient" in posted.error


def test_a_worker_that_dies_is_replaced_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, done: Counter[str]
) -> None:
    posted, finish = message(), HANDLERS[KIND]
    act(monkeypatch, SystemExit())
    with pytest.raises(SystemExit):
        deliver(message=posted.pk)
    monkeypatch.setitem(HANDLERS, KIND, finish)
    assert deliver(message=posted.pk)
    assert not done, "it may only be slow"
    assert 115 < due_in(posted) <= 120
    Message.objects.update(due_at=timezone.now())
    assert deliver(message=posted.pk)
    assert done == {"once": 1}
    posted.refresh_from_db()
    assert posted.attempts == 2, "a message that kills its worker does not do so for ever"


def test_work_of_a_newer_release_waits_for_it(done: Counter[str], caplog: pytest.LogCaptureFixture) -> None:
    posted = message(kind="not known yet")
    assert deliver(message=posted.pk)
    assert 115 < due_in(posted) <= 120
    assert (posted.attempts, posted.done_at, posted.dead_at) == (0, None, None)
    assert "unknown kind" in caplog.text
    Message.objects.update(kind=KIND, due_at=timezone.now())
    assert deliver(message=posted.pk)
    assert done == {"once": 1}


def test_the_task_does_a_message_whatever_a_newer_release_sends_beside_its_key(done: Counter[str]) -> None:
    from booking.outbox.tasks import deliver as task

    task(message("one").pk)
    task(message_id=message("two").pk, request="of a newer release")
    assert done == {"one": 1, "two": 1}


def test_the_task_has_a_dead_message_taken_to_the_dead_letter_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    from celery.exceptions import Reject

    from booking.outbox.tasks import deliver as task

    act(monkeypatch, GivenUp("never"))
    with pytest.raises(Reject) as rejected:
        task(message_id=message().pk)
    assert rejected.value.requeue is False


# --- The clock, and people ------------------------------------------------------------------------------


def test_the_sweep_publishes_what_is_due_and_nothing_else(
    published: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    now = timezone.now()
    late, earlier = message("late"), message("earlier", due_at=now - timedelta(hours=1))
    message("ahead", due_at=now + timedelta(seconds=5))
    message("done", done_at=now)
    message("dead", dead_at=now)
    call_command("sweep_outbox")
    assert published == [earlier.pk, late.pk]
    assert capsys.readouterr().out == "messages published: 2\n"


def test_the_sweep_adds_nothing_to_a_queue_that_workers_have_not_emptied(
    published: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    message()
    monkeypatch.setattr(broker, "waiting", lambda: (1, 0))
    assert sweep() == 0
    assert published == []


@pytest.mark.parametrize(
    ("letters", "dead", "emptied"), [(1, False, 1), (1, True, 0), (0, False, 0)], ids=str
)
def test_dead_letters_of_which_none_is_dead_any_more_are_thrown_away(
    published: list[int], monkeypatch: pytest.MonkeyPatch, letters: int, dead: bool, emptied: int
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(broker, "waiting", lambda: (1, letters))
    monkeypatch.setattr(broker, "empty_dead", lambda: calls.append(1))
    message(dead_at=timezone.now() if dead else None)
    sweep()
    assert len(calls) == emptied
    assert published == []


def test_without_a_broker_the_sweep_says_so_and_fails() -> None:
    message()
    with pytest.raises(CommandError, match=r"the broker does not answer.*Connection refused") as failed:
        call_command("sweep_outbox")
    assert failed.value.returncode == 1


@pytest.mark.parametrize(("options", "back"), [({}, 2), ({"key": "one"}, 1), ({"key": "none"}, 0)], ids=str)
def test_dead_messages_are_put_back_all_or_by_key(
    published: list[int],
    done: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, str],
    back: int,
) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(broker, "waiting", lambda: (0, 2))
    monkeypatch.setattr(broker, "empty_dead", lambda: emptied.append(1))
    for key in ("one", "two"):
        message(key, dead_at=timezone.now(), attempts=ATTEMPTS, error="why", due_at=timezone.now())
    call_command("replay_dead", **options)
    assert capsys.readouterr().out == f"messages put back: {back}\n"
    assert len(published) == back
    assert len(emptied) == (back == 2), "emptied when it has nothing more to say"
    for number in published:
        assert deliver(message=number)
    assert sum(done.values()) == back
    assert Message.objects.exclude(dead_at=None).count() == 2 - back


def test_without_a_broker_dead_messages_are_put_back_and_their_queue_is_emptied_next_time() -> None:
    posted = message(dead_at=timezone.now())
    with pytest.raises(CommandError, match="put back, but the broker does not answer"):
        call_command("replay_dead")
    posted.refresh_from_db()
    assert posted.dead_at is None


def test_old_messages_are_forgotten_when_they_are_done(done: Counter[str]) -> None:
    ago = timezone.now() - timedelta(days=31)
    message("old", done_at=ago)
    message("fresh", done_at=timezone.now() - timedelta(days=29))
    message("dead", dead_at=ago)
    message("waits", due_at=ago)
    assert services.messages_prune() == 1
    assert sorted(Message.objects.values_list("key", flat=True)) == ["dead", "fresh", "waits"]


# --- Celery, on a broker within this process --------------------------------------------------------------


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
