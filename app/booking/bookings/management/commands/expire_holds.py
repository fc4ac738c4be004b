"""`manage.py expire_holds`."""

from typing import Any

from django.core.management.base import BaseCommand

from booking.bookings.services import holds_expire


class Command(BaseCommand):
    """Every minute."""

    help = "Give back the dates of bookings that were not paid in time."

    def handle(self, *args: Any, **options: Any) -> str:
        """What was done, in one line."""
        return f"holds expired: {holds_expire()}"
