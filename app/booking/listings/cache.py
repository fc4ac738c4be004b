"""Listings in Redis, kept as the bytes that are answered, under a version that every change replaces.

Who reads takes the version first and asks the database then: what was read before a change is stored under a
version that nobody asks for after it. The version is new each time, never counted up, so that one that Redis
has lost does not bring back what was stored under it.

A change is acknowledged after its version is in Redis, and from then on no reader sees an older state. Only
where Redis fails the writer in between may others be given the state before: for at most SECONDS.

Two releases that serve at once share the version and nothing else: each writes its answers in its own shape.
"""

from collections.abc import Callable
from hashlib import sha256
from uuid import uuid4

from django.conf import settings
from django.core.cache import cache
from django.db import transaction

SECONDS = 30
VERSION = "listings"


def forget() -> None:
    """What is kept is not read any more, once the caller's transaction is there to be seen.

    Called by every service that changes what listings show.
    """
    transaction.on_commit(lambda: cache.set(VERSION, uuid4().hex, timeout=None))


def kept(what: str, read: Callable[[], bytes]) -> bytes:
    """What is kept of `what`, else what `read` gives; the same for whoever asks, so it may hold no secret."""
    version = cache.get(VERSION)
    if version is None and not cache.add(VERSION, version := uuid4().hex, timeout=None):
        version = cache.get(VERSION)  # another has just set it, or Redis is away
    if version is None:
        return read()
    key = f"{VERSION}:{version}:{sha256(f'{settings.RELEASE_ID} {what}'.encode()).hexdigest()}"
    body: bytes | None = cache.get(key)
    if body is None:
        body = read()
        cache.set(key, body, SECONDS)
    return body
