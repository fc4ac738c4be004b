"""Counters in the cache: atomic where Redis answers, and no more than not counted where it does not."""

from contextlib import suppress

from django.core.cache import cache


def count(key: str, *, seconds: int) -> int:
    """The number of this call among those of `key` within `seconds` of the first; 0 where nobody can tell."""
    for _ in range(2):
        with suppress(ValueError):  # there is no such key, or no Redis
            return cache.incr(key)
        if cache.add(key, 1, timeout=seconds):
            return 1
    return 0


def take(key: str, number: int) -> int:
    """Takes `number` off a counter: `number`, or 0 where somebody else has taken it meanwhile."""
    with suppress(ValueError):
        if cache.decr(key, number) >= 0:
            return number
        cache.incr(key, number)
    return 0
