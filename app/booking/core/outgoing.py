"""What connections to the world outside trust."""

import ssl
from functools import cache

from django.conf import settings


@cache
def trusted(more: str) -> ssl.SSLContext:
    """The system's authorities, and those of the PEM file `more` (a path; "" for none)."""
    context = ssl.create_default_context()
    if more:
        context.load_verify_locations(more)
    return context


def outgoing() -> ssl.SSLContext:
    """What settings.OUTGOING_CA makes of it."""
    return trusted(settings.OUTGOING_CA)
