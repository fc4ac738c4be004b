"""App configuration."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """Work that a transaction leaves behind: mail, refunds."""

    name = "booking.outbox"
