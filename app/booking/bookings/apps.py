"""App configuration."""

from django.apps import AppConfig


class BookingsConfig(AppConfig):
    """Stays that guests book."""

    name = "booking.bookings"

    def ready(self) -> None:
        """Connects what listens to moves, and what the outbox has done."""
        from booking.bookings import audit, mails  # noqa: F401  (importing connects)
