"""To wait on a condition, bounded; never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from deploy.errors import NexusError

Answer = TypeVar("Answer")

POLL_SECONDS = 0.05


def wait_until(check: Callable[[], Answer], seconds: float, what: str) -> Answer:
    """The first true answer of *check*. A service that does not answer yet (NexusError) is no answer.

    AssertionError with *what*, and why there was no answer, after so many seconds.
    """
    deadline, why = time.monotonic() + seconds, ""
    while True:
        try:
            if found := check():
                return found
            why = ""
        except NexusError as error:
            why = f": {error}"
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s{why}"
        time.sleep(POLL_SECONDS)
