"""The cache in Redis, a help and never a need: what fails is a miss, and is not tried for a while."""

from functools import partial
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from booking.core.breaker import Breaker, Unavailable

REDIS = Breaker(seconds=5)


class TolerantClient:
    """Django's client of Redis; what it is not answered is what it says of a key that is not there."""

    def __init__(self, servers: list[str], **options: Any) -> None:
        self.client = RedisCacheClient(servers, **options)

    def __getattr__(self, name: str) -> Any:
        return partial(self.ask, name)

    def ask(self, name: str, *arguments: Any) -> Any:
        """The answer to the operation `name`. Raises ValueError for an `incr` that cannot be done."""
        from redis.exceptions import RedisError  # late, as Django does: it takes a while to import

        try:
            with REDIS.guard(RedisError, OSError):
                return getattr(self.client, name)(*arguments)
        except Unavailable as error:
            if name == "incr":
                raise ValueError(f"Key {arguments[0]!r} not found: Redis does not answer") from error
            # get(key, default); the names and values of get_many; else "not there" and "not done".
            return arguments[1] if name == "get" else {} if name == "get_many" else False


class TolerantCache(RedisCache):
    """A failed read finds nothing, a failed write writes nothing, and neither raises.

    A Redis that never answers costs OPTIONS' time-outs, to connect and to be answered, once in REDIS.seconds
    and process.
    """

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = TolerantClient
