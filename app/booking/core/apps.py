"""App configuration."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Health, errors, middleware: what belongs to no domain."""

    name = "booking.core"
