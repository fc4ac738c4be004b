"""`manage.py settle_payments`."""

from typing import Any

from django.core.management.base import BaseCommand

from booking.core.errors import ApplicationError
from booking.payments.services import payments_settle


class Command(BaseCommand):
    """Every minute."""

    help = "Ask the payment provider about payments that it has not told of; see to refunds that are due."

    def handle(self, *args: Any, **options: Any) -> str:
        """What was done, in one line."""
        try:
            asked, posted = payments_settle()
        except ApplicationError as error:
            return f"payments wait: {error}"
        return f"payments asked after: {asked}; refunds posted anew: {posted}"
