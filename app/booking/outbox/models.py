"""The outbox: what is written in the transaction that makes it due, and done by a worker afterwards."""

from django.db import models


class Message(models.Model):
    """One piece of work: done once (`done_at`), tried again (`due_at`), or given up (`dead_at`)."""

    key = models.CharField(max_length=120, unique=True)  # the same piece of work has the same key, for ever
    kind = models.CharField(max_length=40)
    payload = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)  # why the last attempt failed
    done_at = models.DateTimeField(null=True, blank=True)
    dead_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (
            models.Index(
                fields=["due_at"],
                condition=models.Q(done_at__isnull=True, dead_at__isnull=True),
                name="outbox_message_waiting",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(done_at__isnull=True) | models.Q(dead_at__isnull=True),
                name="outbox_message_one_end",
            ),
        )

    def __str__(self) -> str:
        return self.key
