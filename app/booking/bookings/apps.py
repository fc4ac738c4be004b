"""App configuration."""

from django.apps import AppConfig


class BookingsConfig(AppConfig):
    """Stays that guests book."""

    name = "booking.bookings"
