"""App configuration."""

from django.apps import AppConfig


class ListingsConfig(AppConfig):
    """Places that hosts offer."""

    name = "booking.listings"
