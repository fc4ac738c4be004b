"""Failures on demand: which of the next calls goes wrong, and how."""

from __future__ import annotations

import threading
from dataclasses import dataclass

ENDPOINTS = ("initialize", "verify", "refund", "verify-refund", "checkout", "pay")
KINDS = ("500", "drop", "hang", "lost", "unpaid")


@dataclass
class Failure:
    """*times* calls of *endpoint* ("any": of all) fail as *kind* says; *seconds* is how long "hang" hangs."""

    endpoint: str
    kind: str
    times: int = 1
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.endpoint not in (*ENDPOINTS, "any"):
            raise ValueError(f"endpoint {self.endpoint!r} must be any, or one of {', '.join(ENDPOINTS)}")
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} must be one of {', '.join(KINDS)}")
        if not isinstance(self.times, int) or self.times < 1:
            raise ValueError(f"times {self.times!r} must be 1 or more")
        if not isinstance(self.seconds, int | float) or self.seconds < 0:
            raise ValueError(f"seconds {self.seconds!r} must not be negative")


class Trouble:
    """What is to go wrong. May be asked from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: list[Failure] = []
        self._over = threading.Event()
        self.down = False

    def add(self, failure: Failure) -> None:
        """From now on, after what was asked for before."""
        with self._lock:
            self._failures.append(failure)

    def next(self, endpoint: str) -> Failure | None:
        """How this call of *endpoint* fails, if it does; counts it."""
        with self._lock:
            if self.down:
                return Failure("any", "drop")
            found = next((each for each in self._failures if each.endpoint in (endpoint, "any")), None)
            if found:
                found.times -= 1
                self._failures = [each for each in self._failures if each.times]
            return found

    def hang(self, seconds: float) -> None:
        """Wait so long, or until everything is forgotten."""
        with self._lock:
            over = self._over
        over.wait(seconds)

    def forget(self) -> None:
        """Nothing goes wrong any more, and what hangs is let go."""
        with self._lock:
            self._over.set()
            self._over = threading.Event()
            self._failures, self.down = [], False
