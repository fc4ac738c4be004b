"""App configuration."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """What guests pay, by Chapa."""

    name = "booking.payments"
