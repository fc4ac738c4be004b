"""What the tests of the outbox share: messages, work that fails, and the broker of a test."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from booking.outbox.models import Message
from booking.outbox.services import HANDLERS

committed = pytest.mark.django_db(transaction=True)
KIND = "of the tests"
Act = Callable[[Message], None]


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


def celery_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Celery app, on another broker, until the end of the test."""
    from config.celery import app

    monkeypatch.setattr(app.conf, "broker_url", url)
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    return app
