"""What is written to the outbox, and how a worker does it.

A message is due until it is done or dead. Whoever does it borrows it first: it is due again only after LENT,
so that no other worker does it meanwhile, no transaction is open while a mail server takes its time, and a
worker that dies is replaced.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from booking.core.breaker import Unavailable
from booking.outbox import broker
from booking.outbox.models import Message

logger = logging.getLogger("booking.outbox")

LENT = timedelta(seconds=120)  # longer than a task may take (config.celery)
WAITS = timedelta(seconds=10)  # after the first failure; twice as long after each later one
WAITS_MAXIMUM = timedelta(hours=1)
ATTEMPTS = 30  # some 22 hours
BATCH = 1000  # messages that one sweep publishes
DONE_KEPT = timedelta(days=30)

Handler = Callable[[Message], None]
HANDLERS: dict[str, Handler] = {}

WAITING = Q(done_at=None, dead_at=None)


class GivenUp(Exception):
    """A handler's: no later attempt can succeed."""


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Makes a function the handler of a kind of message. It may be called again after it succeeded."""

    def register(handler: Handler) -> Handler:
        HANDLERS[kind] = handler
        return handler

    return register


def post(*, key: str, kind: str, payload: dict[str, Any]) -> bool:
    """Has a piece of work done after the caller's transaction; False where its `key` was posted before.

    It is published on commit. A broker that is away costs nothing but time: `sweep` publishes it later.
    """
    # The database's clock decides what is due: those of two hosts differ.
    message, new = Message.objects.get_or_create(
        key=key, defaults={"kind": kind, "payload": payload, "due_at": Now()}
    )
    if new:
        transaction.on_commit(lambda: _published(message.pk), robust=True)
    return new


def _published(message: int) -> None:
    try:
        broker.publish([message])
    except Unavailable as error:
        logger.warning("not published", extra={"outbox": message, "error": repr(error.__cause__)})


def deliver(*, message: int) -> bool:
    """Does the message with this primary key if it is due and nobody else has it; False if it is dead now."""
    borrowed = _borrow(message)
    if borrowed is None:
        return True
    told = {"key": borrowed.key, "kind": borrowed.kind, "attempts": borrowed.attempts}
    found = Message.objects.filter(WAITING, pk=message)
    try:
        HANDLERS[borrowed.kind](borrowed)
    except Exception as error:  # whatever it is, the message is neither lost nor tried for ever
        dead = isinstance(error, GivenUp) or borrowed.attempts >= ATTEMPTS
        logger.log(
            logging.ERROR if dead else logging.WARNING,
            "message is dead: manage.py replay_dead puts it back" if dead else "message failed",
            extra=told,
            exc_info=True,
        )
        after = min(WAITS * 2 ** (borrowed.attempts - 1), WAITS_MAXIMUM)
        found.update(error=repr(error)[:200], due_at=Now() + after, dead_at=Now() if dead else None)
        return not dead
    found.update(done_at=Now(), error="")
    logger.info("message done", extra=told)
    return True


@transaction.atomic
def _borrow(message: int) -> Message | None:
    due = Message.objects.select_for_update(skip_locked=True).filter(WAITING, due_at__lte=Now())
    found = due.filter(pk=message).first()
    if found is None:
        return None
    found.due_at = Now() + LENT
    if known := found.kind in HANDLERS:
        found.attempts += 1
    else:  # of a newer release, which will do it, or did until a rollback
        logger.warning("message of an unknown kind waits", extra={"key": found.key, "kind": found.kind})
    found.save(update_fields=["due_at", "attempts"])
    return found if known else None


def sweep() -> int:
    """How many messages were published that are due and have no worker. Raises Unavailable.

    While the queue is not empty workers are behind, or none are there, and what is due is in it already. Dead
    letters of which none is dead any more are thrown away: one may come after its message was put back.
    """
    work, dead = broker.waiting()
    if dead and not Message.objects.exclude(dead_at=None).exists():
        broker.empty_dead()
    if work:
        return 0
    due = Message.objects.filter(WAITING, due_at__lte=Now()).order_by("due_at")
    keys = list(due.values_list("pk", flat=True)[:BATCH])
    broker.publish(keys)
    return len(keys)


def replay_dead(*, key: str = "") -> int:
    """How many dead messages (all, or the one of `key`) wait again, with all their attempts before them.

    Once none is dead the dead-letter queue is emptied; what is due is published. Raises Unavailable after
    the messages were put back.
    """
    dead = Message.objects.exclude(dead_at=None)
    chosen = dead.filter(key=key) if key else dead
    count = chosen.update(dead_at=None, attempts=0, due_at=Now(), error="")
    sweep()
    return count


def messages_prune() -> int:
    """How many messages were forgotten that were done long ago."""
    return Message.objects.filter(done_at__lt=Now() - DONE_KEPT).delete()[0]
