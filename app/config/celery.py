"""Celery: how work that a request leaves behind is queued, and how a worker takes it.

A worker:

    python -m celery --quiet --app config.celery worker --without-gossip --without-mingle --without-heartbeat
"""

import os
import ssl
from typing import Any
from urllib.parse import quote

from celery import Celery, signals
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")  # read by Celery's own care for Django

from django.conf import settings

# Quorum queues outlive their broker's host. What is rejected, or has taken DELIVERIES workers with it, goes
# to the second one, which nobody consumes: `manage.py replay_dead` empties it.
DELIVERIES = 5
DEAD = Queue("booking.dead", durable=True, queue_arguments={"x-queue-type": "quorum"})
QUEUE = Queue(
    "booking",
    durable=True,
    queue_arguments={
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERIES,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": DEAD.name,
    },
)
SECONDS = 100  # what a task may take; less than a message is lent for (booking.outbox.services.LENT)


def address(broker: dict[str, Any]) -> str:
    """The URL of settings.BROKER."""
    user, password, vhost = (quote(broker[key], safe="") for key in ("userid", "password", "virtual_host"))
    return f"{broker['transport']}://{user}:{password}@{broker['hostname']}:{broker['port']}/{vhost}"


app = Celery("booking")
app.conf.update(
    broker_url=address(settings.BROKER),
    broker_use_ssl=settings.BROKER_CA
    and {
        "ca_certs": settings.BROKER_CA,
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": settings.BROKER["hostname"],
    },
    # Seconds. Who publishes has a guest waiting; the worker asks again for as long as it takes.
    broker_connection_timeout=1,
    broker_connection_max_retries=None,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True, "max_retries": 0},
    task_default_queue=QUEUE.name,
    task_queues=[QUEUE],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_soft_time_limit=SECONDS,
    task_time_limit=SECONDS + 10,
    # Once more and at once: a kept connection may have ended meanwhile.
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0},
    broker_heartbeat=10,  # seconds; a worker whose host is gone gives its task back after two of them
    worker_consumer="booking.outbox.worker:Consumer",
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_redirect_stdouts=False,
    include=["booking.outbox.tasks"],
)


@signals.setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Leaves the logs as settings.LOGGING has them: Celery sets up none where somebody listens."""
