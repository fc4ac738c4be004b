"""What differs in our workers from Celery's; imported by workers alone."""

import os
import signal
from typing import Any

from celery import signals
from celery.worker import consumer
from kombu.asynchronous import get_event_loop

WOKEN, WAKE = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)


class Consumer(consumer.Consumer):
    """Celery's, without its delays: 28 more queues for tasks with a time to wait for, and we have none."""

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps = [  # noqa: RUF012  (Celery's own form)
            step
            for step in consumer.Consumer.Blueprint.default_steps
            if not step.endswith(":DelayedDelivery")
        ]


@signals.worker_ready.connect
def wake_at_signals(**_: Any) -> None:
    """Lets a signal end the wait for messages, as often as the worker has connected anew.

    Celery's handler only notes that the worker is to end; who waits sees it when a timer is due, which is
    that of the heartbeat, up to five seconds later.
    """
    signal.set_wakeup_fd(WAKE, warn_on_full_buffer=False)
    if hub := get_event_loop():  # a broker in memory has none
        hub.add_reader(WOKEN, os.read, WOKEN, 4096)
