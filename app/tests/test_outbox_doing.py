"""Posted work is done once, whoever dies; what fails is tried again, and is dead in the end."""

import time
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from booking.outbox.models import Message
from booking.outbox.services import ATTEMPTS, HANDLERS, GivenUp, deliver
from tests.helpers import at_once
from tests.outbox import KIND, act, committed, due_in, message

pytestmark = pytest.mark.django_db


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
