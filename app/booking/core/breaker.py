"""A circuit breaker: what has just failed is not tried again for a while: its time-out is paid once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Unavailable(Exception):
    """The other side failed, now or a moment ago; the cause is what it failed with."""


class Breaker:
    """One for each thing that may be away, kept by this process and shared by its threads.

    After a failure nothing is tried for `seconds`; then a single caller tries, and the others go on being
    refused until it has found out. Callers that were waiting already when the first failure came pay their
    own time-outs, at the same time.
    """

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds
        self.failure: Exception | None = None  # what it failed with last; None while all is well
        self._until = 0.0
        self._lock = Lock()

    @contextmanager
    def guard(self, *failures: type[Exception]) -> Iterator[None]:
        """Runs the block, of which `failures` count against the other side.

        Raises Unavailable from such a failure, and without running the block while the breaker is open.
        """
        with self._lock:
            if self.failure and time.monotonic() < self._until:
                raise Unavailable from self.failure
            self._until = time.monotonic() + self.seconds
        try:
            yield
        except failures as error:
            with self._lock:
                self.failure, self._until = error, time.monotonic() + self.seconds
            raise Unavailable from error
        self.failure = None
