"""The clock and people: what is due is published again, what is dead is put back, what is old forgotten."""

from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from booking.outbox import broker, services
from booking.outbox.models import Message
from booking.outbox.services import ATTEMPTS, deliver, sweep
from tests.outbox import message

pytestmark = pytest.mark.django_db


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
