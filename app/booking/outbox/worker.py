"""What differs in our workers from Celery's; imported by workers alone."""

from celery.worker import consumer


class Consumer(consumer.Consumer):
    """Celery's, without its delays: 28 more queues for tasks with a time to wait for, and we have none."""

    class Blueprint(consumer.Consumer.Blueprint):
        default_steps = [  # noqa: RUF012  (Celery's own form)
            step
            for step in consumer.Consumer.Blueprint.default_steps
            if not step.endswith(":DelayedDelivery")
        ]
