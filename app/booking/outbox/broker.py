"""The broker, as the service uses it: to say that a message of the outbox is due."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from booking.core.breaker import Breaker

BROKER = Breaker(seconds=30)
CONFIRMED_SECONDS = 1.0  # what the broker may take to confirm that it has stored a message


@contextmanager
def guarded() -> Iterator[None]:
    """Raises booking.core.breaker.Unavailable for whatever is wrong with the broker."""
    from amqp.exceptions import AMQPError
    from kombu.exceptions import KombuError

    with BROKER.guard(AMQPError, KombuError, OSError):
        yield


def publish(messages: Iterable[int]) -> None:
    """Has the messages with these primary keys delivered by a worker. Raises Unavailable."""
    from booking.outbox.tasks import deliver
    from config.celery import DEAD, QUEUE

    with guarded():
        for key in messages:
            deliver.apply_async(
                kwargs={"message_id": key}, declare=[QUEUE, DEAD], confirm_timeout=CONFIRMED_SECONDS
            )


@contextmanager
def channel() -> Iterator[Any]:
    """A channel of a connection of its own. Raises Unavailable."""
    from config.celery import app

    with guarded(), app.connection_for_write() as connection:
        yield connection.default_channel


def waiting() -> tuple[int, int]:
    """How many messages wait for a worker, and how many are dead letters. Raises Unavailable."""
    from config.celery import DEAD, QUEUE

    with channel() as open_channel:
        work, dead = (queue.bind(open_channel).queue_declare().message_count for queue in (QUEUE, DEAD))
        return int(work), int(dead)


def empty_dead() -> int:
    """How many messages the dead-letter queue had; it has none now. Raises Unavailable."""
    from config.celery import DEAD

    with channel() as open_channel:
        dead = DEAD.bind(open_channel)
        dead.queue_declare()
        return int(dead.purge() or 0)
