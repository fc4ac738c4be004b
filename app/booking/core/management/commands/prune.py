"""`manage.py prune`."""

from typing import Any

from django.core.management.base import BaseCommand

from booking.accounts.services import accounts_prune
from booking.bookings.services import answers_prune
from booking.core.visits import flush
from booking.outbox.services import messages_prune


class Command(BaseCommand):
    """Once an hour."""

    help = "Delete what has served its time, and store the counts of the day."

    def handle(self, *args: Any, **options: Any) -> str:
        """What was done, in one line."""
        deleted = f"answers {answers_prune()}, messages {messages_prune()}, logins {accounts_prune()}"
        return f"deleted: {deleted}; requests counted: {flush()}"
