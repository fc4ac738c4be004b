"""App configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users and their tokens."""

    name = "booking.accounts"
