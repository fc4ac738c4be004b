"""The one task there is; imported on the first use, with Celery."""

from typing import Any

from celery.exceptions import Reject

from booking.outbox import services
from config.celery import app


@app.task(name="booking.outbox.deliver")
def deliver(message_id: int, *_: Any, **__: Any) -> None:
    """Does a message of the outbox; what a newer release sends beside its key is not for us.

    Raises Reject for one that is given up, which takes it to the dead-letter queue.
    """
    if not services.deliver(message=message_id):
        raise Reject(f"message {message_id} is dead", requeue=False)
