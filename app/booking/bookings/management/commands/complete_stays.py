"""`manage.py complete_stays`."""

from typing import Any

from django.core.management.base import BaseCommand

from booking.bookings.services import stays_complete


class Command(BaseCommand):
    """Once a day."""

    help = "Complete the stays that ended by today."

    def handle(self, *args: Any, **options: Any) -> str:
        """What was done, in one line."""
        return f"stays completed: {stays_complete()}"
