"""`manage.py send_reminders`."""

from typing import Any

from django.core.management.base import BaseCommand

from booking.bookings.mails import reminders_post


class Command(BaseCommand):
    """Once a day, and as often as wanted."""

    help = "Have guests reminded whose stay begins tomorrow; each once."

    def handle(self, *args: Any, **options: Any) -> str:
        """What was done, in one line."""
        return f"reminders posted: {reminders_post()}"
