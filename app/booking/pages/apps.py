"""App configuration."""

from django.apps import AppConfig


class PagesConfig(AppConfig):
    """What people look at: places, stays, a host's report."""

    name = "booking.pages"
