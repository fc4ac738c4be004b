"""`manage.py replay_dead`."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from booking.core.breaker import Unavailable
from booking.outbox.services import replay_dead


class Command(BaseCommand):
    """By hand, once what killed the messages is mended."""

    help = "Put dead messages of the outbox back, and empty the dead-letter queue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which."""
        parser.add_argument("--key", default="", help="of one message (default: all that are dead)")

    def handle(self, *args: Any, **options: Any) -> str:
        """What was done, in one line."""
        try:
            return f"messages put back: {replay_dead(key=options['key'])}"
        except Unavailable as error:
            problem = f"the messages are put back, but the broker does not answer: {error.__cause__}"
            raise CommandError(f"{problem}\n  manage.py replay_dead, again, empties its queue") from error
