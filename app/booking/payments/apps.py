"""App configuration."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """What guests pay, by Chapa."""

    name = "booking.payments"

    def ready(self) -> None:
        """Connects what makes refunds due, and what the outbox does about them."""
        from booking.payments import services  # noqa: F401  (importing connects)
