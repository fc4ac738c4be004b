"""`manage.py sweep_outbox`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from booking.core.breaker import Unavailable
from booking.outbox.services import sweep


class Command(BaseCommand):
    """Every minute."""

    help = "Publish what is due in the outbox and has no worker."

    def handle(self, *args: Any, **options: Any) -> str:
        """What was done, in one line."""
        try:
            return f"messages published: {sweep()}"
        except Unavailable as error:
            raise CommandError(f"the broker does not answer, the outbox waits: {error.__cause__}") from error
